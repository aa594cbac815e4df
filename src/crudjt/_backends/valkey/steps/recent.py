"""Sessions that this process has met last, so that a change need not fetch the record that it rests on."""

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from crudjt._core.header import HEADER_BYTES, LIMITS, NO_LIMITS_BYTES, Header, unpack_header
from crudjt._core.session import Envelope, OlderEnvelope

NEVER: Final = sys.maxsize

_MAX_BYTES = 2**23  # that are kept, twice
_OVERHEAD_BYTES = 900  # of an entry, besides its data, which it holds packed and as it is stored
_HOLDS: Final = memoryview(b"\0")


def due_ms_of(header: Header) -> int:
    """Return from when on a read changes a session, or finds it gone."""
    return 0 if header.reads_left else header.still_until() or NEVER


class Met(Envelope, gc=False):
    """A session as this process has read or made it; a `Known` of the decisions, which always holds.

    Also the envelope of the sessions that are made of it: another object would cost a tenth of a read of many.

    Attributes:
        id: its id.
        head: the header's bytes.
        subject: its owner.
        details: its details.
        record: as the servers have it, with the nonce that a commit compares.
        packed: its data.
        key: of the keyring, counted from the newest.
        at: its key on the servers.
        due_ms: from when on a read changes it, or finds it gone; always for one that counts its reads.

    """

    record: bytes
    packed: bytes
    key: int
    at: bytes
    due_ms: int = -1  # not known yet
    until_ns: int = 1  # its deadline is looked at
    words: "memoryview[int]" = _HOLDS
    word: int = 0
    noted: int = 0

    @property
    def stored(self) -> bytes:
        """The packed data."""
        return self.packed

    @property
    def is_of_older_key(self) -> bool:
        """Whether `key` is not the newest."""
        return self.key > 0

    def __reduce__(self) -> tuple[type[Envelope], tuple[object, ...]]:
        """Pickle and copy the envelope alone."""
        return OlderEnvelope if self.key else Envelope, (self.id, self.head, self.subject, self.details)

    def replaced(self, record: bytes, packed: bytes | None, due_ms: int = -1) -> "Met":
        """Return the session with another record, and other data unless it is ``None``."""
        kept = self.packed if packed is None else packed
        head = record[:HEADER_BYTES]
        return Met(self.id, head, self.subject, self.details, record, kept, self.key, self.at, due_ms)

    def look_when_due(self) -> int:
        """Return `due_ms`, and keep it."""
        due = self.due_ms
        if due < 0:
            head = self.head
            due = self.due_ms = NEVER if head[LIMITS] == NO_LIMITS_BYTES else due_ms_of(Header(*unpack_header(head)))
        return due


class Recent:
    """Sessions by token. Other processes may have changed or ended them since.

    So no call is answered from here. A read fetches the record, and need not decrypt it if it is byte for byte the one
    that is known. A change that rests on such a session compares nonces, as all changes do: if the record has changed,
    nothing is changed, and what is there now comes back.

    They are forgotten by halves: one takes new sessions until it is full, and then replaces the other. Threads share
    it: what is lost in a race between them is fetched.
    """

    __slots__ = ("_before", "_free", "_now")

    def __init__(self) -> None:
        """Begin without any."""
        self._now: dict[str, Met] = {}
        self._before: dict[str, Met] = {}
        self._free = _MAX_BYTES

    def get(self, token: str) -> Met | None:
        """Return the session of a token as it was, if it is known."""
        if token.__class__ is not str:  # a caller's mistake, which is named later
            return None
        return self._now.get(token) or self._before.get(token)

    def get_many(self, tokens: Sequence[str]) -> list[Met | None]:
        """Return the result of `get` for each token."""
        if set(map(type, tokens)) != {str}:
            return list(map(self.get, tokens))
        now, before = self._now.get, self._before.get
        return [now(token) or before(token) for token in tokens]

    def note(self, token: str, met: Met) -> None:
        """Keep a session that was read or made."""
        known = self._now.get(token)
        self._free -= 2 * len(met.packed) + (_OVERHEAD_BYTES if known is None else -2 * len(known.packed))
        if self._free < 0:
            self._before, self._now, self._free = self._now, {}, _MAX_BYTES - 2 * len(met.packed) - _OVERHEAD_BYTES
        self._now[token] = met

    def note_many(self, met: Mapping[str, Met]) -> None:
        """Keep sessions that were read, in a third of the time if none of them was known."""
        size = sum([2 * len(each.packed) + _OVERHEAD_BYTES for each in met.values()])
        if size > self._free or not met.keys().isdisjoint(self._now):
            for token, each in met.items():
                self.note(token, each)
        else:
            self._now.update(met)
            self._free -= size

    def forget(self, token: str) -> None:
        """Drop a session that has ended, or is not as it was."""
        self._before.pop(token, None)
        known = self._now.pop(token, None)
        if known is not None:
            self._free += 2 * len(known.packed) + _OVERHEAD_BYTES
