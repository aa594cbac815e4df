"""What a store says of itself."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from crudjt.engine import control as control_block
from crudjt.engine import maintenance
from crudjt.engine.engine import Engine


@dataclass(frozen=True, kw_only=True)
class Stats:
    """The state of a store at one moment, seen from any process.

    Attributes:
        sessions: how many are stored; expired ones count until they are swept.
        log_bytes: log that a recovery would read.
        unsynced_bytes: log that is not known to be on disk yet.
        view_bytes: pages of the view that hold live data.
        max_size: bytes the view may grow to.
        synced_at: when the log was last synced, in UTC, or ``None`` since the view was made; as the next two.
        swept_at: when expired sessions were last removed.
        compacted_at: when the log was last replaced by a snapshot.

    """

    sessions: int
    log_bytes: int
    unsynced_bytes: int
    view_bytes: int
    max_size: int
    synced_at: datetime | None
    swept_at: datetime | None
    compacted_at: datetime | None


def read_stats(engine: Engine) -> Stats:
    """Read the counters; nothing is scanned."""
    words = engine.words
    end = engine.log_end()
    synced = words[control_block.WORD_SYNCED_SEQUENCE] >= end.sequence
    return Stats(
        sessions=end.sessions,
        log_bytes=maintenance.log_bytes(engine),
        unsynced_bytes=0 if synced else max(end.end - words[control_block.WORD_SYNCED_END], 0),
        view_bytes=engine.view.used_bytes,
        max_size=engine.map_size,
        synced_at=_moment(words[control_block.WORD_SYNCED_AT]),
        swept_at=_moment(words[control_block.WORD_SWEPT_AT]),
        compacted_at=_moment(words[control_block.WORD_COMPACTED_AT]),
    )


def _moment(ms: int) -> datetime | None:
    return datetime.fromtimestamp(0, timezone.utc) + timedelta(milliseconds=ms) if ms else None
