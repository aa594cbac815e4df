"""The read cache of one process, which never serves a session that any process has changed.

The control block holds pairs of words (begin, end), chosen by id. A writer sets ``begin`` to its transaction id
before it commits, and ``end`` after. A reader notes the pair before it reads the view and keeps what it read only if
both words were equal; it uses what it kept only while ``begin`` still equals what it noted.

Why that is enough: what was read before a commit was noted before it too, and from before that commit on ``begin``
differs from the note permanently, since it is set under the write lock and transaction ids only grow. A writer that
dies, or is late, leaves a pair unequal: that costs misses until the next write to the pair, never a stale hit.
"""

from collections import OrderedDict

from crudjt._core.session import Envelope

ENTRIES = 40_000
_MAX_SECOND_CHANCES = 8  # entries re-queued per insertion


class Cached(Envelope, gc=False):
    """A decrypted session with unlimited reads. Also the envelope of the sessions it serves.

    Nothing in it burdens the garbage collector: forty thousand entries would make every collection of the application
    slow. The data stays packed: to decode it for each caller takes no longer than to copy a map that lies all over
    memory.
    """

    key: int  # index in the ring, from the newest on
    words: memoryview  # of the control block
    word: int  # where its pair begins in the control block
    noted: int  # the value of both words
    until_ns: int  # when it expires from the cache, 0 for never
    packed: bytes  # the data, to be decoded for each caller
    used: bool = False  # set by a hit, cleared when it is the oldest

    def holds(self) -> bool:
        """Tell whether no process has changed the session; under the write lock, that stays so until the commit."""
        return self.words[self.word] == self.noted

    def __reduce__(self) -> tuple[type[Envelope], tuple[object, ...]]:
        """Pickle and copy the envelope alone: the rest belongs to the cache of this process."""
        return Envelope, (self.id, self.head, self.subject)


class ReadCache:
    """Cache from token to session, with second-chance (CLOCK) eviction.

    A hit sets a flag and moves nothing: the links of an ordered map lie far apart in memory, and following them took a
    fifth of a cached read. `get` is the mapping's own method, since a call of ours would take a tenth.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._entries: OrderedDict[str, Cached] = OrderedDict()
        self.get = self._entries.get

    def keep(self, token: str, entry: Cached) -> None:
        """Add an entry, which may replace one."""
        entries = self._entries
        entries[token] = entry
        if len(entries) > ENTRIES:
            for _ in range(_MAX_SECOND_CHANCES):
                oldest, candidate = entries.popitem(last=False)
                if not candidate.used:
                    return
                candidate.used = False
                entries[oldest] = candidate
            entries.popitem(last=False)

    def drop(self, token: str) -> None:
        """Remove the entry of a token."""
        self._entries.pop(token, None)
