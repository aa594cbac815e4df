"""The manifest of a store on servers: its salt and which secret keys it was written with, in one key.

It is written once by whichever process comes first, and exchanged only while it is as it was read. Without it no
session can be read, so a store is never made where sessions lie already.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec

from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.requests import Ask, Reply, Steps
from crudjt._backends.valkey.scripts import EXCHANGE
from crudjt._backends.valkey.steps.scanning import Scan
from crudjt._core.keyring import PLACEMENT_KEY_BYTES, Keyring, Placement
from crudjt._core.moves import Arrival, Identity
from crudjt.errors import StoreBusy, StoreCorrupt, StoreFormatError, StoreInaccessible, StoreMoved, StoreUnavailable

MANIFEST_FORMAT = 1
MOVING_FORMAT = 2
"""Format of a store whose sessions are moved elsewhere: it holds marks, which earlier versions take for damage."""
AT_REST = b'{"format":1,'
"""First bytes of the manifest of any other store."""
SALT_BYTES = 32

MAX_ROUNDS = 100
NO_MANIFEST = "there are sessions, but no manifest, without which none can be read"


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """A move of sessions from this store to another.

    Attributes:
        move: its random id, in hexadecimal.
        epoch: of the newest mover.
        location: of the other store, for messages.

    """

    move: str
    epoch: int
    location: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The facts that every process must agree on.

    Attributes:
        format: of all keys of the namespace.
        salt: public, for the derivation of subkeys, in hexadecimal.
        keys: fingerprints of the secret keys that were used, in hexadecimal.
        placement: the placement key, sealed under each of them, in hexadecimal; by fingerprint.
        arrival: the move that made this store, if one has.
        departure: the move that takes its sessions elsewhere, if one has begun.

    """

    format: int = MANIFEST_FORMAT
    salt: str
    keys: list[str]
    placement: dict[str, str]
    arrival: Arrival | None = None
    departure: Departure | None = None

    @property
    def identity(self) -> Identity:
        """The facts that two stores share so that sessions can move between them."""
        return Identity(self.salt, tuple(self.keys), self.placement)


class Opened(NamedTuple):
    """The keys of an open store: those of this process, and the places of subjects; and the move that made it."""

    keyring: Keyring
    placement: Placement
    arrival: Arrival | None


def open_manifest(
    location: str,
    layout: Layout,
    secrets: Sequence[bytes],
    replicas: int,
    *,
    create: bool,
    identity: Identity | None = None,
    leaving: bool = False,
) -> Steps[Opened]:
    """Read the manifest, or make it if there is no store, and add the secret keys that it lacks.

    Args:
        location: of the store, for errors.
        layout: the keys of its namespace.
        secrets: the secret keys, oldest to newest.
        replicas: how many must have what is written.
        create: whether to make a store if there is none.
        identity: of the store that sessions are moved from; ``None`` to open the store alone.
        leaving: whether sessions may be moved from it.

    Raises:
        StoreMoved: sessions are being moved to the store or from it, and it is to be opened alone.
        StoreUnavailable: too few replicas have what was written.
        StoreInaccessible: there is no store and none is to be made, or none of the secret keys is of this store.
        StoreCorrupt: the manifest is damaged, or is missing while there are sessions.
        StoreFormatError: a newer version wrote it.

    """
    for _ in range(MAX_ROUNDS):
        (reply,) = yield [Ask(layout.manifest, (b"GET", layout.manifest))]
        text = cast("bytes | None", reply.value)
        if text is None:
            yield from _make(location, layout, secrets, replicas, create=create, identity=identity)
            continue
        found = decoded(location, text)
        check_arrival(location, found, identity)
        if found.departure is not None and not leaving:
            raise moved(location, found.departure)
        keyring = _keyring(location, found, secrets)
        placement_key = keyring.open_placement_key(found.placement)
        if not any(fingerprint in found.keys for fingerprint in keyring.fingerprints):
            raise StoreInaccessible(
                location,
                "no session of this store was made with this secret key; use the key that it was made with, and add a "
                "new key behind it to rotate them",
            )
        if placement_key is None:
            raise StoreCorrupt(location, None, "the manifest holds no placement key for this secret key")
        missing = [key for key in keyring.fingerprints if key not in found.keys or key not in found.placement]
        if not missing:
            return Opened(keyring, Placement(placement_key), found.arrival)
        changed = msgspec.structs.replace(
            found,
            keys=found.keys + [key for key in missing if key not in found.keys],
            placement=keyring.seal_placement_key(placement_key) | found.placement,
        )
        yield from exchange(location, layout, text, msgspec.json.encode(changed), replicas)
    raise busy(location)


def exchange(location: str, layout: Layout, read: bytes, changed: bytes, replicas: int) -> Steps[bool]:
    """Replace the manifest if it still is as it was read; return whether it was."""
    (reply,) = yield [Ask(layout.manifest, (1, layout.manifest, read, changed), EXCHANGE, replicas)]
    _require_acknowledged(location, reply, replicas)
    return reply.value == 1


def read_manifest(location: str, layout: Layout) -> Steps[Manifest]:
    """Return the manifest of an open store."""
    return decoded(location, (yield from read_text(location, layout)))


def read_identity(location: str, layout: Layout) -> Steps[Identity]:
    """Return salt and keys, for a copy of the store.

    Raises:
        StoreMoved: its sessions are moved elsewhere, so that a copy would hold a part of them.

    """
    found = yield from read_manifest(location, layout)
    if found.departure is not None:
        raise moved(location, found.departure)
    return found.identity


def moved(location: str, departure: Departure) -> StoreMoved:
    """Return the error for a store whose sessions are moved elsewhere."""
    to = departure.location
    return StoreMoved(location, f"its sessions are moved to {to}; open it with moving_to={to!r}")


def read_text(location: str, layout: Layout) -> Steps[bytes]:
    """Return the text of the manifest of an open store."""
    (reply,) = yield [Ask(layout.manifest, (b"GET", layout.manifest))]
    text = cast("bytes | None", reply.value)
    if text is None:
        raise StoreCorrupt(location, None, "the manifest is gone")
    return text


def busy(location: str) -> StoreBusy:
    """Return the error for a manifest that cannot be exchanged."""
    return StoreBusy(location, "the manifest was changed by other processes all the time", 0)


def check_arrival(location: str, found: Manifest, identity: Identity | None) -> None:
    """Refuse a store that is not complete yet, and a destination that is another store."""
    if identity is None:
        if found.arrival is not None and not found.arrival.finished:
            raise StoreMoved(location, "sessions are being moved to it; open the store that they come from, and say so")
    elif found.salt != identity.salt:
        raise StoreInaccessible(
            location,
            "it is another store, with sessions of its own; move to another namespace: put a name behind the URL",
        )
    elif found.arrival is None:
        raise StoreInaccessible(
            location, "it was made with the same salt, but not for a move; move to another namespace"
        )


def _make(
    location: str,
    layout: Layout,
    secrets: Sequence[bytes],
    replicas: int,
    *,
    create: bool,
    identity: Identity | None,
) -> Steps[None]:
    """Write a new manifest, unless another process has, or there are sessions without one."""
    if (yield from holds_keys(layout)):
        (reply,) = yield [Ask(layout.manifest, (b"GET", layout.manifest))]
        if reply.value is None:
            raise StoreCorrupt(location, None, NO_MANIFEST)
        return
    if not create:
        raise StoreInaccessible(location, "there is no store here; open it once with create=True (crudjt init)")
    made = _new(secrets) if identity is None else _copied(identity)
    command = b"SET", layout.manifest, msgspec.json.encode(made), b"NX"
    (reply,) = yield [Ask(layout.manifest, command, replicas=replicas)]
    _require_acknowledged(location, reply, replicas)


def _new(secrets: Sequence[bytes]) -> Manifest:
    salt = os.urandom(SALT_BYTES)
    keyring = Keyring(secrets, salt)
    sealed = keyring.seal_placement_key(os.urandom(PLACEMENT_KEY_BYTES))
    return Manifest(salt=salt.hex(), keys=keyring.fingerprints, placement=sealed)


def _copied(identity: Identity) -> Manifest:
    keys, placement = list(identity.keys), dict(identity.placement)
    return Manifest(salt=identity.salt, keys=keys, placement=placement, arrival=Arrival.begun())


def _require_acknowledged(location: str, reply: Reply, replicas: int) -> None:
    """Refuse a manifest that a failover could undo: the sessions under it could not be read any more."""
    if reply.value and reply.acknowledged < replicas:
        raise StoreUnavailable(location, f"only {reply.acknowledged} of {replicas} replicas have the manifest")


def holds_keys(layout: Layout) -> Steps[bool]:
    """Tell whether any key of the namespace exists; it looks at all keys of all primaries."""
    scan = Scan(layout.everything)
    while not scan.ended:
        if (yield from scan.step()):
            return True
    return False


def decoded(location: str, text: bytes) -> Manifest:
    """Return the manifest of a text.

    Raises:
        StoreCorrupt: it is damaged.
        StoreFormatError: a newer version wrote it.

    """
    try:
        found = msgspec.json.decode(text, type=_FormatOnly).format
        if found > MOVING_FORMAT:
            raise StoreFormatError(location, found, MOVING_FORMAT)
        return msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError:
        raise StoreCorrupt(location, None, "the manifest is not what this version writes") from None


def _keyring(location: str, found: Manifest, secrets: Sequence[bytes]) -> Keyring:
    try:
        return Keyring(secrets, bytes.fromhex(found.salt))
    except ValueError:
        raise StoreCorrupt(location, None, "the salt in the manifest is damaged") from None


class _FormatOnly(msgspec.Struct):
    format: int
