"""Headers of the responses that set or remove the cookie of a session.

As in the session core, calls of the store are yielded as values, and their answers are sent in.
"""

import logging
from collections.abc import Generator
from typing import Any
from urllib.parse import quote

from crudjt.contrib._device_bound.answers import offer
from crudjt.contrib._device_bound.endpoints import seconds
from crudjt.contrib._device_bound.settings import DeviceBound
from crudjt.contrib._sessions.calls import Call, Peek
from crudjt.contrib._sessions.states import Held
from crudjt.errors import CrudjtError

logger = logging.getLogger("crudjt.contrib")


def quoted_root(root: str) -> str:
    """Return what comes before the path in the URL of an application, from what the server has decoded."""
    return quote(root.rstrip("/"), safe="/")


def response_headers(
    settings: DeviceBound, root: str, before: Held | None, after: Held | None
) -> Generator[Call, Any, list[tuple[str, str]]]:
    """Return headers by the session that the request found and the one that it leaves.

    Args:
        settings: of the application.
        root: what comes before the path in the URL, as the server has decoded it.
        before: the session that the request found.
        after: the session whose token is set; ``None`` if the cookie is removed.

    """
    if after is None:
        was_bound = before is not None and before.device is not None and before.device.registered
        return [("Set-Cookie", settings.forget_cookie())] if was_bound else []
    binding = after.device
    has_new_token = before is None or before.token != after.token
    if binding is None or binding.registered or not (settings.offers and has_new_token):
        return []
    try:  # no error may keep the browser from its new token
        read = yield Peek(after.token)
    except CrudjtError:
        logger.exception("the store failed, so a session is not offered to the device of its browser")
        return []
    return [] if read is None else [offer(settings, quoted_root(root), binding, seconds(read))]
