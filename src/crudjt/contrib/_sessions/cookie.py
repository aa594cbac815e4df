"""The cookie of a session: its settings, checked once, and the headers that set and remove it."""

import math
import re
from typing import Literal, get_args

import crudjt
from crudjt._core.validation import MAX_SECONDS
from crudjt.contrib._device_bound.settings import DeviceBound

TWO_WEEKS = 14 * 24 * 60 * 60
"""The seconds that a session lives by default, and its cookie."""

SameSite = Literal["lax", "strict", "none"]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ATTRIBUTE = re.compile(r"[ -:<-~]+")
_PAST = "expires=Thu, 01 Jan 1970 00:00:00 GMT"


class Cookie:
    """The name and the attributes of a cookie."""

    def __init__(
        self,
        *,
        name: str,
        max_age: int | None,
        path: str,
        same_site: SameSite,
        https_only: bool,
        domain: str | None,
        partitioned: bool,
    ) -> None:
        """Take the settings of `SessionMiddleware`, which explains them.

        Raises:
            InvalidParameter: a setting cannot be used.

        """
        check_seconds("max_age", max_age, -MAX_SECONDS)
        check_flag("https_only", https_only)
        check_flag("partitioned", partitioned)
        _check(name, path, same_site, domain, https_only=https_only, partitioned=partitioned)
        self.name = name
        self.https_only = https_only
        self._alone = f"{name}=".encode("latin-1")
        self.max_age = max_age
        self._same_site, self._domain, self._path, self._partitioned = same_site, domain, path, partitioned
        never = max_age is not None and max_age <= 0
        self._forget = f"null{f'; Max-Age={int(max_age or 0)}' if never else ''}; {_PAST}"
        self._attributes = "".join(
            [
                f"; path={path}; httponly; samesite={same_site}",
                "; secure" if https_only else "",
                "" if domain is None else f"; domain={domain}",
                "; partitioned" if partitioned else "",
            ]
        )

    def device_bound(self, offers: bool, path: str) -> DeviceBound:
        """Return the settings of device bound sessions beside this cookie.

        Raises:
            InvalidParameter: they do not go together.

        """
        bound = DeviceBound(offers, path, cookie_name=self.name, same_site=self._same_site)
        bound.require_usable(
            secure=self.https_only,
            domain=self._domain,
            path=self._path,
            partitioned=self._partitioned,
            lifetime=self.max_age,
        )
        return bound

    def value(self, headers: list[tuple[bytes, bytes]]) -> str | None:
        """Return the value that a request sends; ``None`` if it does not send the cookie."""
        wanted = self.name
        found = None
        for name, line in headers:
            if name == b"cookie":
                if line.startswith(self._alone) and b";" not in line:
                    found = line[len(self._alone) :].decode("latin-1").strip().strip('"')
                    continue
                for pair in line.decode("latin-1").split(";"):
                    key, equals, value = pair.partition("=")
                    if equals and key.strip() == wanted:
                        found = value.strip().strip('"')
        return found

    def set(self, token: str, lifetime: float | None) -> str:
        """Return the header that gives a browser a token, for seconds or until the browser closes."""
        max_age = "" if lifetime is None else f"; Max-Age={math.ceil(lifetime)}"
        return f"{self.name}={token}{max_age}{self._attributes}"

    def forget(self) -> str:
        """Return the header that removes the cookie."""
        return f"{self.name}={self._forget}{self._attributes}"


def check_seconds(parameter: str, seconds: float | None, least: float) -> None:
    """Raise `InvalidParameter` if a duration is not a number of seconds, or too small."""
    if seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise crudjt.InvalidType(parameter, f"{parameter} must be seconds or None, not {type(seconds).__name__}")
    if not least <= seconds < float("inf"):
        raise crudjt.InvalidParameter(parameter, f"{parameter} must be at least {least} seconds, not {seconds!r}")


def check_flag(parameter: str, flag: bool) -> None:
    """Raise `InvalidType` if a flag is no bool: the text of an environment variable is true, also that of "no"."""
    given: object = flag
    if not isinstance(given, bool):
        raise crudjt.InvalidType(parameter, f"{parameter} must be True or False, not {type(given).__name__}")


def _check(
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
