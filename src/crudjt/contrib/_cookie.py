"""The cookie of an asynchronous framework's session: its attributes, checked once, and what a response says of it."""

import re
from typing import Literal, get_args

import crudjt
from crudjt.aio import AsyncStore, wrap
from crudjt.contrib._asgi import BrowserSession

SameSite = Literal["lax", "strict", "none"]

WITH_HEADERS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""The messages that may set a cookie."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ATTRIBUTE = re.compile(r"[ -:<-~]+")
_FORGET = "expires=Thu, 01 Jan 1970 00:00:00 GMT"


class CookieSessions:
    """Loads and saves the sessions of browsers, which bring their token in a cookie."""

    def __init__(
        self,
        store: crudjt.Store | AsyncStore,
        *,
        name: str,
        max_age: int | None,
        idle_timeout: float | None,
        path: str,
        same_site: SameSite,
        https_only: bool,
        domain: str | None,
        partitioned: bool,
    ) -> None:
        """Take an open store, and the settings of `crudjt.contrib.starlette.SessionMiddleware`, which explains them.

        Raises:
            InvalidParameter: a setting cannot be used.

        """
        if not isinstance(store, crudjt.Store | AsyncStore):
            raise crudjt.InvalidType("store", f"store must be a Store or an AsyncStore, not {type(store).__name__}")
        _check_seconds("max_age", max_age)
        _check_seconds("idle_timeout", idle_timeout)
        if max_age is None and idle_timeout is None:
            raise crudjt.InvalidParameter(
                "max_age", "max_age and idle_timeout must not both be None: sessions must end"
            )
        _check_cookie(name, path, same_site, domain, https_only=https_only, partitioned=partitioned)
        self.store = wrap(store)
        self.name = name
        self._ttl = max_age
        self._idle = idle_timeout
        self._max_age = "" if max_age is None else f"; Max-Age={int(max_age)}"
        self._attributes = "".join(
            [
                f"; path={path}; httponly; samesite={same_site}",
                "; secure" if https_only else "",
                "" if domain is None else f"; domain={domain}",
                "; partitioned" if partitioned else "",
            ]
        )

    async def load(self, token: str | None) -> BrowserSession:
        """Return the session of the value of a cookie; ``None`` for no cookie."""
        return await BrowserSession.load(self.store, token)

    async def save(self, session: BrowserSession) -> str | None:
        """Write what was changed, before the headers are sent; return the cookie to set, if there is one to be set."""
        outcome = await session.save(self.store, self._ttl, self._idle)
        if outcome == "kept":
            return None
        value = f"{session.token}{self._max_age}" if outcome == "begun" else f"null; {_FORGET}"
        return f"{self.name}={value}{self._attributes}"

    async def save_late(self, session: BrowserSession) -> None:
        """Write what was changed after that, when no cookie can be set any more."""
        await session.save(self.store, self._ttl, self._idle, late=True)


def _check_seconds(parameter: str, seconds: float | None) -> None:
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 1):
        raise crudjt.InvalidParameter(parameter, f"{parameter} must be at least 1 second, or None, not {seconds!r}")


def _check_cookie(
    name: str, path: str, same_site: SameSite, domain: str | None, *, https_only: bool, partitioned: bool
) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise crudjt.InvalidParameter(
            "session_cookie", "session_cookie must be the name of a cookie: letters, digits, and some punctuation"
        )
    for parameter, value in (("path", path), ("domain", domain)):
        if value is not None and not _ATTRIBUTE.fullmatch(value):
            raise crudjt.InvalidParameter(parameter, f"{parameter} must be printable ASCII without ';'")
    if same_site not in get_args(SameSite):
        raise crudjt.InvalidParameter("same_site", f"same_site must be 'lax', 'strict' or 'none', not {same_site!r}")
    if https_only:
        if name.lower().startswith("__host-") and (path != "/" or domain is not None):
            raise crudjt.InvalidParameter("session_cookie", "a __Host- cookie requires path='/' and no domain")
    elif same_site == "none" or partitioned or name.lower().startswith(("__host-", "__secure-")):
        raise crudjt.InvalidParameter(
            "https_only", "https_only must be True with this name of the cookie, same_site or partitioned"
        )
