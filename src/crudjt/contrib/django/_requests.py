"""The request of a session of Django: its client, and whether its device has proven itself."""

from typing import Any

from django.http import HttpRequest

from crudjt import Client, Session
from crudjt.contrib._device_bound.binding import binding_of
from crudjt.contrib._sessions.clients import client
from crudjt.contrib._sessions.states import Held, found
from crudjt.contrib.django._expiry import LastingSession
from crudjt.contrib.django._middleware import begun_request
from crudjt.contrib.django._store import get_store, records_client


class RequestSession(LastingSession):
    """A session that was opened for a request, or outside of one."""

    _session_cache: dict[str, Any]
    _ahead: tuple[Held | None, Session | None] | None = None  # what was read to check it
    _proven = False

    def __init__(self, session_key: str | None = None) -> None:
        """Take the key of a cookie."""
        super().__init__(session_key)
        self._request = begun_request(self)

    @property
    def id(self) -> str | None:
        """The handle, as `Session.id`: no key. ``None`` if the session is not stored."""
        key = self.session_key
        if key is None:
            return None
        held = self._held
        if held is not None and held.token == key and held.id is not None:
            return held.id
        session = get_store().peek(key)
        return None if session is None else session.id

    @property
    def handle(self) -> str | None:
        """An older name of `id`."""
        return self.id

    def request(self) -> HttpRequest | None:
        """Return the request that the session was opened for, ``None`` outside of one."""
        return None if self._request is None else self._request()

    def _client(self) -> Client | None:
        """Return the client to note, as Django and its middleware give it."""
        request = self.request() if records_client() else None
        return None if request is None else client(request.META.get("REMOTE_ADDR"), request.META.get("HTTP_USER_AGENT"))

    @property
    def device_bound(self) -> bool:
        """Whether the session is of use only with the key of the browser's device; see `docs/device-bound.md`."""
        self.keys()  # loads it
        binding = binding_of(self._hidden)
        return binding is not None and binding.registered

    # For DeviceBoundMiddleware

    def read_ahead(self) -> Held | None:
        """Read the session of the key, but do not load it yet."""
        self._ahead = self._looked_up()
        return self._ahead[0]

    def admit(self) -> None:
        """Note that the request has proven that it comes from the device, or that it need not."""
        self._proven = True

    @property
    def held(self) -> Held | None:
        """The session as it is stored, if it was loaded."""
        return self._held

    @property
    def is_loaded(self) -> bool:
        """Whether the request has looked at the session."""
        return hasattr(self, "_session_cache")

    def take_request(self, other: "RequestSession") -> None:
        """Take the place of another session of the same request."""
        self._request = other._request  # noqa: SLF001 - of this class

    def _looked_up(self) -> tuple[Held | None, Session | None]:
        key = self.session_key
        session = get_store().read(key) if key else None
        return found(key, session) if key else None, session
