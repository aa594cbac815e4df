"""Settings of device bound sessions: whether a login offers them, the paths, and the bound cookie."""

import re
from collections.abc import Callable

from crudjt._core.session import Session, seconds_of_lifetime
from crudjt.contrib._device_bound.tickets import COOKIE_SECONDS
from crudjt.errors import InvalidParameter, InvalidType

PATH = "/-/device"
"""Where the browser reaches the application, if the application does not say otherwise."""

LEAST_SECONDS = 300
"""The shortest life of a session: browsers refresh its cookie 2 minutes before the end, and only so many times."""

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+", re.ASCII)
_HOST = "__Host-"


class DeviceBound:
    """The settings of device bound sessions. The check and the paths are in place also where none is offered."""

    def __init__(
        self,
        offers: bool,
        path: str,
        *,
        cookie_name: str,
        same_site: str,
        names: Callable[[str], str] = lambda name: name,
    ) -> None:
        """Take the settings.

        Args:
            offers: whether a login offers the browser to bind its session.
            path: what the paths of registration and refresh begin with.
            cookie_name: the name of the session cookie.
            same_site: of the session cookie.
            names: returns the framework's name of a setting of the ASGI adapters.

        Raises:
            InvalidParameter: a setting cannot be used.

        """
        self._names = names
        given: object = offers
        if not isinstance(given, bool):
            name = names("device_bound")
            raise InvalidType(name, f"{name} must be True or False, not {type(given).__name__}")
        if not isinstance(path, str) or not _PATH.fullmatch(path):
            name = names("device_bound_path")
            raise InvalidParameter(name, f"{name} must be a path without '/' at its end, such as {PATH!r}")
        self.offers = offers
        self.path = path
        self.registration: str = f"{path}/register"
        self.refresh: str = f"{path}/refresh"
        self.cookie_name: str = f"{_HOST}{cookie_name.removeprefix(_HOST)}-bound"
        self.attributes: str = f"Path=/; Secure; HttpOnly; SameSite={same_site.capitalize()}"

    def owns(self, path: str) -> bool:
        """Return whether the browser uses a path for the device."""
        return path in (self.registration, self.refresh)

    def set_cookie(self, value: str, session: Session) -> str:
        """Return the header that gives a browser a bound cookie."""
        left = seconds_of_lifetime(session)
        seconds = COOKIE_SECONDS if left is None else max(0, min(COOKIE_SECONDS, int(left)))
        return f"{self.cookie_name}={value}; Max-Age={seconds}; {self.attributes}"

    def forget_cookie(self) -> str:
        """Return the header that removes the bound cookie."""
        return f"{self.cookie_name}=; Max-Age=0; {self.attributes}"

    def require_usable(
        self,
        *,
        secure: bool,
        domain: str | None,
        path: str | None,
        partitioned: bool,
        lifetime: float | None,
    ) -> None:
        """Raise `InvalidParameter` if device bound sessions are offered beside settings that they do not go with.

        Args:
            secure: whether the session cookie is for TLS only.
            domain: of the session cookie.
            path: of the session cookie.
            partitioned: of the session cookie.
            lifetime: seconds that a session lives at most.

        """
        if not self.offers:
            return
        wrong = {
            "https_only": (not secure, "must be True: browsers bind sessions over TLS only"),
            "domain": (domain is not None, "must be left out: the cookie is for one host"),
            "path": (path not in ("/", None), "must be '/': the cookie is for the whole host"),
            "partitioned": (bool(partitioned), "must be False: browsers do not bind partitioned cookies"),
            "max_age": (
                lifetime is not None and lifetime < LEAST_SECONDS,
                f"must be at least {LEAST_SECONDS} seconds: browsers refresh the cookie 2 minutes before its end",
            ),
        }
        for parameter, (is_wrong, text) in wrong.items():
            if is_wrong:
                name = self._names(parameter)
                raise InvalidParameter(name, f"{name} {text} (with {self._names('device_bound')})")
