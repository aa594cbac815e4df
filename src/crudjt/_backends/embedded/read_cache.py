"""The read cache of one process, which never serves a session that any process has changed.

The control block holds pairs of words (begin, end), chosen by id. A writer sets ``begin`` to its transaction id
before it commits, and ``end`` after. A reader notes the pair before it reads the view and keeps what it read only if
both words were equal; it uses what it kept only while ``begin`` still equals what it noted.

Why that is enough: what was read before a commit was noted before it too, and from before that commit on ``begin``
differs from the note for good, since it is set under the write lock and transaction ids only grow. A writer that
dies, or is late, leaves a pair unequal: that costs misses until the next write to the pair, never a stale hit.
"""

from collections import OrderedDict

from crudjt._core.session import Envelope

ENTRIES = 40_000
_CHANCES = 8  # bounds what one read may have to do for the others


class Cached(Envelope, gc=False):
    """An unsealed session of unlimited reads. It is the envelope of the sessions it serves: one object less to touch.

    Nothing in it burdens the garbage collector: forty thousand entries would make every collection of the application
    slow. The data stays packed: to decode it for each caller takes no longer than to copy a map that lies all over
    memory.
    """

    key: int  # which of the ring, from the newest on
    words: memoryview  # of the control block
    word: int  # where its pair begins in the control block
    noted: int  # what both words were
    until_ns: int  # from when on it has to be looked at again, 0 for never
    packed: bytes  # the data, to be decoded for each caller
    used: bool = False  # set by a hit, and taken back when its turn to go has come

    def holds(self) -> bool:
        """Tell whether no process has changed the session; under the write lock, that stays so until the commit."""
        return self.words[self.word] == self.noted

    def __reduce__(self) -> tuple[type[Envelope], tuple[object, ...]]:
        """Pickle and copy the envelope alone: the rest belongs to the cache of this process."""
        return Envelope, (self.id, self.head, self.subject)


class ReadCache:
    """Tokens to sessions; of those that nobody has used since they came, the oldest go first.

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
            for _ in range(_CHANCES):
                oldest, candidate = entries.popitem(last=False)
                if not candidate.used:
                    return
                candidate.used = False
                entries[oldest] = candidate
            entries.popitem(last=False)

    def drop(self, token: str) -> None:
        """Forget a token whose entry is of no more use."""
        self._entries.pop(token, None)
