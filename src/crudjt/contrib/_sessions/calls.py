"""The calls of a store that the session core yields, as values; `on` makes one, also on an `AsyncStore`."""

from typing import Any, NamedTuple

from crudjt._core.details import Client
from crudjt._core.validation import KEEP, KeepType

Data = dict[Any, Any]


class Lifetime(NamedTuple):
    """How long a session lives from now on, in seconds; ``None`` for no such limit, `KEEP` for the one it has."""

    ttl: float | KeepType | None = KEEP
    idle: float | KeepType | None = KEEP


class Create(NamedTuple):
    """Start a session."""

    data: Data
    subject: str | None
    lifetime: Lifetime
    max_sessions: int | None = None
    client: Client | None = None
    labels: tuple[str, ...] = ()

    def on(self, store: Any) -> Any:
        """Call the store."""
        ttl, idle = self.lifetime
        return store.create(
            self.data,
            ttl,
            idle=idle,
            subject=self.subject,
            max_sessions=self.max_sessions,
            client=self.client,
            labels=self.labels,
        )


class Update(NamedTuple):
    """Replace the data of a session."""

    token: str
    data: Data
    lifetime: Lifetime
    if_version: int

    def on(self, store: Any) -> Any:
        """Call the store."""
        ttl, idle = self.lifetime
        return store.update(self.token, self.data, ttl, idle=idle, if_version=self.if_version)


class Touch(NamedTuple):
    """Give a session new limits."""

    token: str
    lifetime: Lifetime

    def on(self, store: Any) -> Any:
        """Call the store."""
        return store.touch(self.token, self.lifetime.ttl, idle=self.lifetime.idle)


class Peek(NamedTuple):
    """Look at a session."""

    token: str

    def on(self, store: Any) -> Any:
        """Call the store."""
        return store.peek(self.token)


class Rotate(NamedTuple):
    """Move a session to a new token, with other data, another subject and other limits, in one transaction."""

    token: str
    data: Data | None
    subject: str | KeepType | None
    lifetime: Lifetime
    if_version: int | None
    max_sessions: int | None = None
    client: Client | KeepType | None = KEEP
    labels: tuple[str, ...] | KeepType = KEEP

    def on(self, store: Any) -> Any:
        """Call the store."""
        ttl, idle = self.lifetime
        return store.rotate(
            self.token,
            data=self.data,
            subject=self.subject,
            ttl=ttl,
            idle=idle,
            if_version=self.if_version,
            max_sessions=self.max_sessions,
            client=self.client,
            labels=self.labels,
        )


class Delete(NamedTuple):
    """End a session."""

    token: str

    def on(self, store: Any) -> Any:
        """Call the store."""
        return store.delete(self.token)


class Take(NamedTuple):
    """Take something that can be taken once, with what `Purpose.once` returns."""

    arguments: dict[str, Any]

    def on(self, store: Any) -> Any:
        """Call the store."""
        return store.create(**self.arguments)


UNKNOWN: Any = object()
"""In place of the answer to a call that was not made yet."""

Call = Create | Update | Touch | Peek | Rotate | Delete | Take
