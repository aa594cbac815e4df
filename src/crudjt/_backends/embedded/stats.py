"""Read the counters of a store."""

from datetime import datetime

from crudjt._backends.embedded.engine import control_block
from crudjt._backends.embedded.engine.compaction import log_bytes
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.read_cache import ReadCache
from crudjt._core.clock import utc
from crudjt._core.stats import Stats


def read_stats(engine: Engine, cache: ReadCache) -> Stats:
    """Read the counters; nothing is scanned."""
    words = engine.words
    end = engine.log_end()
    synced = words[control_block.WORD_SYNCED_SEQUENCE] >= end.sequence
    return Stats(
        sessions=end.sessions,
        log_bytes=log_bytes(engine),
        unsynced_bytes=0 if synced else max(end.end - words[control_block.WORD_SYNCED_END], 0),
        view_bytes=engine.view.used_bytes,
        max_size=engine.map_size,
        synced_at=_time_of(words[control_block.WORD_SYNCED_AT]),
        swept_at=_time_of(words[control_block.WORD_SWEPT_AT]),
        compacted_at=_time_of(words[control_block.WORD_COMPACTED_AT]),
        cache_bytes=cache.used_bytes,
        max_cache_bytes=cache.max_bytes,
    )


def _time_of(ms: int) -> datetime | None:
    return utc(ms) if ms else None
