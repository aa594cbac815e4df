"""The answer to a request of the provider, as OpenID Connect Back-Channel Logout 1.0 names it (section 2.8)."""

import json
import logging
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qs

from crudjt.contrib.back_channel_logout._logout import AsyncBackChannelLogout, BackChannelLogout
from crudjt.contrib.back_channel_logout._tokens import LogoutTokenRefused
from crudjt.errors import StoreError

MAX_BODY_BYTES = 64 * 1024
"""More than any logout token takes: what is longer need not be read."""

HEADERS = {"Cache-Control": "no-store", "Content-Type": "application/json"}

_FORM = "application/x-www-form-urlencoded"

logger = logging.getLogger("crudjt.contrib")


class LogoutAnswer(NamedTuple):
    """The status and the body of a response; `HEADERS` go with each."""

    status: HTTPStatus
    body: bytes


def answer(logout: BackChannelLogout, content_type: str | None, body: bytes) -> LogoutAnswer:
    """End what the logout token in a form names, and return the answer."""
    try:
        ended = logout.end(_token(content_type, body))
    except (LogoutTokenRefused, StoreError) as error:
        return _refusal(error)
    return _success(ended)


async def answer_async(logout: AsyncBackChannelLogout, content_type: str | None, body: bytes) -> LogoutAnswer:
    """End what the logout token in a form names, and return the answer."""
    try:
        ended = await logout.end(_token(content_type, body))
    except (LogoutTokenRefused, StoreError) as error:
        return _refusal(error)
    return _success(ended)


def _token(content_type: str | None, body: bytes) -> str:
    if (content_type or "").partition(";")[0].strip().lower() != _FORM:
        raise LogoutTokenRefused(f"the request is no form: send {_FORM}")
    if len(body) > MAX_BODY_BYTES:
        raise LogoutTokenRefused(f"the form has more than {MAX_BODY_BYTES} bytes")
    try:
        tokens = parse_qs(body.decode("ascii"), max_num_fields=20).get("logout_token", [])
    except ValueError:
        tokens = []
    if len(tokens) != 1:
        raise LogoutTokenRefused("the form has no logout_token, or several")
    return tokens[0]


def _success(ended: int) -> LogoutAnswer:
    logger.info("the identity provider has ended %d sessions", ended)
    return LogoutAnswer(HTTPStatus.OK, b"{}")


def _refusal(error: LogoutTokenRefused | StoreError) -> LogoutAnswer:
    if isinstance(error, StoreError):
        # Also 400: by the specification, of a request that was right as well, if the logout has failed.
        logger.error("a logout by the identity provider has failed: %s", str(error))
        return _failure("server_error", "the sessions could not be ended")
    logger.warning("a logout token was refused: %s", str(error))
    return _failure("invalid_request", f"the logout token was refused: {error}")


def _failure(error: str, description: str) -> LogoutAnswer:
    return LogoutAnswer(HTTPStatus.BAD_REQUEST, json.dumps({"error": error, "error_description": description}).encode())
