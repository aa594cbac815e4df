"""The read cache of one process, which never serves a session that any process has changed.

The control block holds pairs of words (begin, end), chosen by id. A writer sets ``begin`` to its transaction id
before it commits, and ``end`` after. A reader notes the pair before it reads the view and keeps what it read only if
both words were equal; it uses what it kept only while ``begin`` still equals what it noted.

Why that is enough: what was read before a commit was noted before it too, and from before that commit on ``begin``
differs from the note for good, since it is set under the write lock and transaction ids only grow. A writer that
dies, or is late, leaves a pair unequal: that costs misses until the next write to the pair, never a stale hit.
"""

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from crudjt.records import Header

ENTRIES = 40_000

_IMMUTABLE = frozenset({bool, bytes, datetime, float, int, str, type(None)})


class Cached(NamedTuple):
    """An unsealed session of unlimited reads."""

    pair: int  # the word of its pair in the control block
    noted: int  # what both words were
    until_ns: int  # from when on it has to be looked at again
    fresh: Callable[[], dict[Any, Any]]  # makes the data anew for each caller
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


def copier(data: dict[Any, Any]) -> Callable[[], dict[Any, Any]] | None:
    """Return what makes copies of a map that share nothing that can change, or ``None`` where only decoding does.

    Most sessions are flat, or hold flat lists and maps: to copy those takes a fifth of the time of decoding them.
    """
    nested = []
    for key, value in data.items():
        kind = type(value)
        if kind in _IMMUTABLE:
            continue
        if kind is list:
            inner: Any = value
        elif kind is dict:
            inner = value.values()
        else:
            return None
        if not _IMMUTABLE.issuperset(map(type, inner)):
            return None
        nested.append((key, value.copy))
    copy = data.copy
    if not nested:
        return copy

    def fresh() -> dict[Any, Any]:
        made = copy()
        for key, again in nested:
            made[key] = again()
        return made

    return fresh
