"""The read cache of one process, which never serves a session that any process has changed.

The control block holds pairs of words (begin, end), chosen by id. A writer sets ``begin`` to its transaction id
before it commits, and ``end`` after. A reader notes the pair before it reads the view and keeps what it read only if
both words were equal; it uses what it kept only while both still equal what it noted.

Why that is enough: what was read before a commit was noted before it too, and from before that commit on ``begin``
differs from the note for good, since transaction ids only grow. A writer that dies, or is late, leaves a pair
unequal: that costs misses until the next write to the pair, never a stale hit.
"""

from collections import OrderedDict
from typing import NamedTuple

from crudjt.records import Header

ENTRIES = 40_000


class Cached(NamedTuple):
    """An unsealed session of unlimited reads."""

    pair: int  # the word of its pair in the control block
    noted: int  # what both words were
    until_ns: int  # from when on it has to be looked at again
    packed: bytes  # the data, to be decoded afresh for each caller
    id: bytes
    header: Header
    subject: str | None


class ReadCache:
    """Tokens to sessions; the least recently used go first.

    `get` and `used` are the mapping's own methods, since a call of ours would cost a tenth of a cached read.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._entries: OrderedDict[str, Cached] = OrderedDict()
        self.get = self._entries.get
        self.used = self._entries.move_to_end

    def keep(self, token: str, entry: Cached) -> None:
        """Add an entry, which may replace one."""
        self._entries[token] = entry
        if len(self._entries) > ENTRIES:
            self._entries.popitem(last=False)

    def drop(self, token: str) -> None:
        """Forget a token whose entry is of no more use."""
        self._entries.pop(token, None)
