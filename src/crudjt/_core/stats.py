"""`Stats`: the counters of a store."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Stats:
    """The state of a store at one time, the same from any process but for the read cache, which each process has.

    Attributes:
        sessions: number of stored sessions; expired ones count until they are swept.
        log_bytes: log that a recovery would read.
        unsynced_bytes: log that is not known to be on disk yet.
        view_bytes: pages of the view that hold live data.
        max_size: bytes the view may grow to.
        synced_at: when the log was last synced, in UTC, or ``None`` since the view was made; as the next two.
        swept_at: when expired sessions were last removed.
        compacted_at: when the log was last replaced by a snapshot.
        cache_bytes: memory that the read cache takes in this process; of a server, in the worker that answered. 0 where
            there is no cache; as the next one.
        max_cache_bytes: memory that it may take.

    """

    sessions: int
    log_bytes: int
    unsynced_bytes: int
    view_bytes: int
    max_size: int
    synced_at: datetime | None
    swept_at: datetime | None
    compacted_at: datetime | None
    cache_bytes: int = 0
    max_cache_bytes: int = 0
