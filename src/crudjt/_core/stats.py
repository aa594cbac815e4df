"""`Stats`: the counters of a store."""

from dataclasses import asdict, dataclass
from datetime import datetime

_OF_A_DIRECTORY = frozenset(
    {"log_bytes", "unsynced_bytes", "view_bytes", "max_size", "synced_at", "swept_at", "compacted_at"}
    | {"cache_bytes", "max_cache_bytes"}
)
_OF_SERVERS = frozenset({"memory_bytes", "max_memory_bytes", "primaries", "replicas"})


@dataclass(frozen=True, kw_only=True)
class Stats:
    """The state of a store at one time, the same from any process but for the read cache, which each process has.

    A backend has some of these counters (`counters`); the others are 0 or ``None``.

    Attributes:
        sessions: number of stored sessions; expired ones count until they are swept.
        log_bytes: log that a recovery would read. This and the following, up to `compacted_at`, are of a store in a
            directory.
        unsynced_bytes: log that is not known to be on disk yet.
        view_bytes: pages of the view that hold live data.
        max_size: bytes the view may grow to.
        synced_at: when the log was last synced, in UTC, or ``None`` since the view was made; as the next two.
        swept_at: when expired sessions were last removed.
        compacted_at: when the log was last replaced by a snapshot.
        cache_bytes: memory that the read cache takes in this process; of a server, in the worker that answered. 0 where
            there is no cache; as the next one.
        max_cache_bytes: memory that it may take.
        memory_bytes: memory that the primaries use, for all that they hold. This and the following are of a store in
            Valkey or Redis servers.
        max_memory_bytes: memory that the primaries may use; ``None`` where one of them has no limit.
        primaries: number of primaries.
        replicas: number of their replicas that are connected.

    """

    sessions: int
    log_bytes: int = 0
    unsynced_bytes: int = 0
    view_bytes: int = 0
    max_size: int = 0
    synced_at: datetime | None = None
    swept_at: datetime | None = None
    compacted_at: datetime | None = None
    cache_bytes: int = 0
    max_cache_bytes: int = 0
    memory_bytes: int | None = None
    max_memory_bytes: int | None = None
    primaries: int | None = None
    replicas: int | None = None

    def counters(self) -> dict[str, int | datetime | None]:
        """Return the counters that the backend of the store has, by name."""
        absent = _OF_SERVERS if self.primaries is None else _OF_A_DIRECTORY
        return {name: value for name, value in asdict(self).items() if name not in absent}
