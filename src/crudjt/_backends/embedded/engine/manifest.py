"""The manifest: the facts about a store, in one small file that is replaced as a whole.

Two lines of text: a JSON object, and the CRC-32 of its bytes in hexadecimal.
"""

import zlib
from pathlib import Path

import msgspec

from crudjt import _filesystem
from crudjt._core.moves import Arrival
from crudjt._filesystem import contents, host
from crudjt.errors import StoreCorrupt, StoreFormatError

MANIFEST_FORMAT = 1
MOVING_FORMAT = 2
"""Format of a store in a move: it holds marks or stages, which earlier versions take for damage."""
NAME = "manifest"


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """The snapshot that recovery starts from, with its checksum."""

    segment: int  # the first segment to replay over it
    sequence: int  # the last entry it holds
    sessions: int
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The facts that every process must agree on.

    Attributes:
        format: of the whole directory.
        map_size: of the view; it never shrinks, since LMDB cuts the file to it at every open.
        salt: public, for the derivation of subkeys, in hexadecimal.
        keys: fingerprints of the secret keys that were used, in hexadecimal.
        placement: the placement key, sealed under each of them, in hexadecimal; by fingerprint.
        boot: the boot in which the view was made; ``None`` while there is no view to trust.
        base: the snapshot to replay the log over, if there is one.
        segment: the newest segment when this was written. It and those before it, back to the base or to the first,
            must be there.
        doubtful: whether a sync to disk has failed, so that what the files show may exist in memory only. Recovery
            rewrites everything.
        arrival: the move that made this store, if one has.

    """

    format: int = MANIFEST_FORMAT
    map_size: int
    salt: str
    keys: list[str]
    placement: dict[str, str] = {}
    boot: host.Boot | None
    base: Base | None
    segment: int
    doubtful: bool
    arrival: Arrival | None = None

    def save(self, directory: Path) -> None:
        """Replace the manifest of a store, durably."""
        body = msgspec.json.encode(self)
        _filesystem.replace_file(directory / NAME, body + b"\n%08x\n" % zlib.crc32(body))


def load(directory: Path) -> Manifest:
    """Read the manifest of a store.

    Raises:
        FileNotFoundError: there is none.
        StoreCorrupt: it is damaged.
        StoreFormatError: a newer version wrote it.

    """
    path = directory / NAME
    body, _, rest = contents.read_file(path).partition(b"\n")
    if rest != b"%08x\n" % zlib.crc32(body):
        raise StoreCorrupt(path, 0, "the manifest is damaged")
    try:
        found = msgspec.json.decode(body, type=_FormatOnly).format
        if found > MOVING_FORMAT:
            raise StoreFormatError(path, found, MOVING_FORMAT)
        return msgspec.json.decode(body, type=Manifest)
    except msgspec.MsgspecError:
        raise StoreCorrupt(path, 0, "the manifest is not what this version writes") from None


class _FormatOnly(msgspec.Struct):
    format: int
