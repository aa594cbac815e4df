"""Requests and refusals of FastAPI, for the dependencies that take tokens."""

from collections.abc import Mapping
from urllib.parse import quote

from fastapi import HTTPException, Request

from crudjt.contrib._access import AccessRefused


def refusal(refused: AccessRefused, schemes: Mapping[str, str]) -> HTTPException:
    """Return the exception that answers a request; the schemes are those that the dependency takes."""
    headers = {"WWW-Authenticate": refused.challenge(schemes)}
    if refused.nonce is not None:
        headers |= {"DPoP-Nonce": refused.nonce, "Cache-Control": "no-store"}
    return HTTPException(refused.status, refused.description, headers)


def url_of(request: Request) -> str:
    """Return the URL of a request as the client has sent it, without its query."""
    sent: bytes | None = request.scope.get("raw_path")  # not every server tells it
    path = quote(request.scope["path"]) if sent is None else sent.decode("latin-1")
    return f"{request.url.scheme}://{request.url.netloc}{path}"
