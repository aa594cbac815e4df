"""The decision on a request of a bound session, from its headers and without I/O."""

import logging
from collections.abc import Callable
from enum import Enum

from crudjt.contrib._device_bound.binding import Binding
from crudjt.contrib._device_bound.tickets import SLACK_SECONDS, is_cookie

logger = logging.getLogger("crudjt.contrib")

GRACE_SECONDS = 30
"""How long after the registration requests are served that the browser had sent before it."""

HeaderOf = Callable[[str], str | None]
"""Returns the value of a request's header by its name in lower case."""


class Verdict(Enum):
    """The outcomes of a request."""

    SERVE = "the session"
    RELOAD = "a page that asks for itself again, from the same site"
    REFUSE = "status 401"
    WAIT = "status 503: the browser could not refresh now"
    EMPTY = "an empty session, as for a cookie that names none"


def verdict(binding: Binding, cookie: str | None, now: int, method: str, header: HeaderOf, handle: str) -> Verdict:
    """Decide what a request gets whose session is bound, or was offered to a device.

    Args:
        binding: of its session.
        cookie: the value of the bound cookie, ``None`` if it sends none.
        now: seconds since 1970, by the clock of the store.
        method: of the request.
        header: its headers.
        handle: of the session, for the log.

    """
    if not binding.registered:
        return Verdict.SERVE
    if cookie is not None and is_cookie(binding.secret, cookie, now):
        return Verdict.SERVE
    if binding.registered_at - SLACK_SECONDS <= now <= binding.registered_at + GRACE_SECONDS:
        return Verdict.SERVE
    if header("sec-fetch-site") in ("cross-site", "same-site"):
        # Browsers do not refresh for what another site asks for. The page is asked for again by this one.
        navigates = method == "GET" and header("sec-fetch-mode") == "navigate"
        return Verdict.RELOAD if navigates else Verdict.REFUSE
    if binding.name in (header("secure-session-skipped") or ""):
        logger.info("a browser could not refresh a bound session, which is not served until then: %s", handle)
        return Verdict.WAIT
    logger.warning("bound session used without proof, and not served: %s", handle)
    return Verdict.EMPTY
