"""The read cache of one process, which never serves a session that any process has changed.

The control block holds words, chosen by id. A writer sets the word to its transaction id before it commits. A reader
notes the word, and keeps what it read only if the snapshot it read from includes that transaction. It uses what it kept
only while the word still equals what it noted.

Why that is enough: what was read before a commit either noted an earlier id, from which the word differs permanently
from that commit on, since it is set under the write lock and transaction ids only grow; or it noted the id of the
transaction that it does not include, and was not kept. So it does not matter whether the note or the snapshot was
taken first: processors other than x86 may change their order. A writer that dies or fails before its commit leaves an
id that no snapshot includes until another transaction with that id commits: that costs misses, never a stale hit.
"""

from collections import OrderedDict

from crudjt._core.session import Envelope, OlderEnvelope

_ENTRY_BYTES = 500  # of an entry and its token, measured; besides data, subject and details
_DETAILS_BYTES = 70  # of the objects that hold details
_MAX_SECOND_CHANCES = 8  # entries re-queued per insertion


class Cached(Envelope, gc=False):
    """A decrypted session. Also the envelope of the sessions it serves.

    Nothing in it burdens the garbage collector: tens of thousands of entries would make every collection of the
    application slow. The data stays packed: to decode it for each caller takes no longer than to copy a map that lies
    all over memory.
    """

    key: int  # index in the ring, from the newest on
    words: memoryview  # of the control block
    word: int  # its index among them
    noted: int  # the value of the word
    until_ns: int  # a read before that time needs no write; 0: no read does, negative: each does
    packed: bytes  # the data, to be decoded for each caller
    used: bool = False  # set by a hit, cleared when it is the oldest

    @property
    def stored(self) -> bytes:
        """The packed data."""
        return self.packed

    @property
    def is_of_older_key(self) -> bool:
        """Whether `key` is not the newest."""
        return self.key > 0

    def __reduce__(self) -> tuple[type[Envelope], tuple[object, ...]]:
        """Pickle and copy the envelope alone: the rest belongs to the cache of this process."""
        return OlderEnvelope if self.key else Envelope, (self.id, self.head, self.subject, self.details)


class ReadCache:
    """Cache from token to session, with second-chance (CLOCK) eviction, bounded by the memory that it takes.

    A hit sets a flag and moves nothing: the links of an ordered map lie far apart in memory, and following them took a
    fifth of a cached read. `get` is the mapping's own method, since a call of ours would take a tenth.

    Attributes:
        max_bytes: memory that it may take.

    """

    def __init__(self, max_bytes: int) -> None:
        """Start empty, with room for `max_bytes`; 0 keeps nothing."""
        self._entries: OrderedDict[str, Cached] = OrderedDict()
        self.get = self._entries.get
        self.max_bytes = max_bytes
        # Exact without a lock: one call of the mapping tells whether an entry was added or removed, and CPython runs no
        # other thread between reading and writing an attribute in ``+=``, unless there is a call in it.
        self._free_bytes = max_bytes

    @property
    def used_bytes(self) -> int:
        """Memory that it takes."""
        return self.max_bytes - self._free_bytes

    def keep(self, token: str, entry: Cached) -> None:
        """Add an entry, unless another thread has added one since this one was read."""
        if self._entries.setdefault(token, entry) is entry:
            size = _ENTRY_BYTES + len(entry.packed)  # `_size`, here and in `drop`: the call takes 1 % of a read
            if entry.subject is not None:
                size += len(entry.subject)
            if entry.details is not None:
                size += _DETAILS_BYTES + len(entry.details.packed)
            self._free_bytes -= size
            if self._free_bytes < 0:
                self._evict(token, size)

    def replace(self, token: str, entry: Cached) -> None:
        """Add an entry in place of an older one."""
        self.drop(token)
        self.keep(token, entry)

    def drop(self, token: str) -> None:
        """Remove the entry of a token."""
        entry = self._entries.pop(token, None)
        if entry is not None:
            size = _ENTRY_BYTES + len(entry.packed)
            if entry.subject is not None:
                size += len(entry.subject)
            if entry.details is not None:
                size += _DETAILS_BYTES + len(entry.details.packed)
            self._free_bytes += size

    def _evict(self, added: str, size: int) -> None:
        """Remove old entries until the others fit; only the one that was added, if it is larger than the cache."""
        if size > self.max_bytes:
            self.drop(added)
        entries, chances = self._entries, _MAX_SECOND_CHANCES
        while self._free_bytes < 0:
            try:
                oldest, candidate = entries.popitem(last=False)
            except KeyError:  # other threads were first
                return
            if candidate.used and chances:
                chances -= 1
                candidate.used = False
                if entries.setdefault(oldest, candidate) is candidate:
                    continue
            size = _size(candidate)
            self._free_bytes += size


def _size(entry: Cached) -> int:
    details = 0 if entry.details is None else _DETAILS_BYTES + len(entry.details.packed)
    return _ENTRY_BYTES + len(entry.packed) + len(entry.subject or "") + details
