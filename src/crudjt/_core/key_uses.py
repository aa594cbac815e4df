"""Count the live sessions of each secret key, so that an operator knows when an old key can be dropped."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from crudjt._core.clock import NS_PER_MS, Clock, iso, utc
from crudjt._core.keyring import Key, Keyring
from crudjt._core.lookup import opens
from crudjt._core.record import DamagedRecord, read_header


@dataclass
class KeyUse:
    """The live sessions of a secret key.

    Attributes:
        fingerprint: names the key, as the manifest of the store does; ``None`` for the sessions that no key opens.
        is_newest: whether new sessions are made with it.
        sessions: how many are alive.
        endless: how many of them have no end that is sure to come, since they have no absolute lifetime.
        ends_ms: when the last of the others has ended for certain, in milliseconds since 1970; 0 if there are none.

    """

    fingerprint: str | None
    is_newest: bool
    sessions: int = 0
    endless: int = 0
    ends_ms: int = 0

    def verdict(self) -> str:
        """Return in words what the key is for now, and when it can be dropped."""
        if self.fingerprint is None:
            return "of keys that were not given here"
        if self.is_newest:
            return "makes the new sessions"
        if not self.sessions:
            return "can be dropped now"
        if self.endless:
            return f"cannot be dropped: {self.endless} have no lifetime (ttl), and end when they are rotated or ended"
        return f"can be dropped at {iso(utc(self.ends_ms))}"


@runtime_checkable
class HasKeys(Protocol):
    """A store that has its secret keys: any but that of a server of crudjt."""

    def key_uses(self) -> list[KeyUse]:
        """Look at all live sessions, and return the uses of the keys."""
        ...


def key_uses(keyring: Keyring, records: Iterable[tuple[bytes, bytes]], clock: Clock) -> list[KeyUse]:
    """Return the uses of the keys, oldest first, and at the end that of the sessions that none of them opens."""
    uses = {key.fingerprint: KeyUse(key.fingerprint, key is keyring.newest) for key in reversed(keyring.newest_first)}
    foreign = KeyUse(None, is_newest=False)
    latest = keyring.newest
    for id_, record in records:
        try:
            header = read_header(record)
        except DamagedRecord:
            continue
        if not header.alive(clock() // NS_PER_MS):
            continue
        key = _key_of((latest, *keyring.newest_first), id_, record)
        latest = key or latest  # neighbours often have the same
        use = foreign if key is None else uses[key.fingerprint]
        use.sessions += 1
        use.endless += not header.hard_expiry
        use.ends_ms = max(use.ends_ms, header.hard_expiry)
    return [*uses.values(), foreign]


def _key_of(keys: Iterable[Key], id_: bytes, record: bytes) -> Key | None:
    return next((key for key in keys if opens(key, id_, record)), None)
