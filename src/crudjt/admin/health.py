"""Concerns about a store that its counters show, with the remedy of each."""

from collections.abc import Iterator
from datetime import datetime

from crudjt._core.stats import Stats
from crudjt.admin.words import duration, size

_NEARLY_FULL = 0.8
_UNSYNCED_SECONDS = 60
_UNSWEPT_SECONDS = 3 * 86_400
_LOG_TO_LIVE = 5
_LARGE_LOG_BYTES = 10**9


def concerns(stats: Stats, now: datetime) -> Iterator[str]:
    """Yield what an operator should look at; nothing where all is well. The alerts in ``deploy/`` have these limits."""
    if stats.max_size and stats.view_bytes > _NEARLY_FULL * stats.max_size:
        yield (
            f"The store has {size(stats.view_bytes)} of at most {size(stats.max_size)} (max_size). Open it with a "
            "larger max_size once no other process has it open, or end sessions earlier (ttl, idle)."
        )
    if stats.max_memory_bytes and (stats.memory_bytes or 0) > _NEARLY_FULL * stats.max_memory_bytes:
        yield (
            f"The servers use {size(stats.memory_bytes or 0)} of {size(stats.max_memory_bytes)} (maxmemory). A full "
            "server refuses new sessions: raise maxmemory or add primaries."
        )
    if stats.primaries is not None and (stats.replicas or 0) < stats.primaries:
        yield (
            f"{stats.primaries} primaries have {stats.replicas or 0} replicas: a primary that dies may take sessions, "
            "and the ends of sessions, with it. Bring the replicas back."
        )
    synced_ago = _seconds_since(stats.synced_at, now)
    if stats.unsynced_bytes and synced_ago is not None and synced_ago > _UNSYNCED_SECONDS:
        yield (
            f"Changes have not reached the disk for {duration(synced_ago)}; a power failure would undo them. Look at "
            "the load and the errors of the disk."
        )
    swept_ago = _seconds_since(stats.swept_at, now)
    if stats.sessions and swept_ago is not None and swept_ago > _UNSWEPT_SECONDS:
        yield (
            f"Expired sessions have not been removed for {duration(swept_ago)}. Run crudjt sweep, and look for errors "
            "in the log of the application."
        )
    if stats.log_bytes > max(_LARGE_LOG_BYTES, _LOG_TO_LIVE * stats.view_bytes):
        yield (
            f"The log has {size(stats.log_bytes)} and is not compacted, so a start after a power failure takes longer. "
            "Look for a full disk, and for errors in the log of the application."
        )


def _seconds_since(time: datetime | None, now: datetime) -> float | None:
    return None if time is None else (now - time).total_seconds()
