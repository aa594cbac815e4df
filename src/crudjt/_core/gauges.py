"""The metrics that every store has, defined once for all that export them: names, descriptions, units and values.

No name or value holds a token, a subject or data.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from crudjt._core.stats import Stats


class Gauge(NamedTuple):
    """One metric.

    Attributes:
        name: its name, as Prometheus has it.
        description: a sentence.
        unit: its unit, as UCUM writes it; "1" for none.
        counter: the attribute of `Stats` that it shows; none for `UP`.

    """

    name: str
    description: str
    unit: str
    counter: str = ""


UP = Gauge("crudjt_store_up", "Whether the store answers.", "1")
"""1 or 0; where it is 0, all others are absent."""

GAUGES = (
    Gauge("crudjt_sessions", "Stored sessions; expired ones count until swept.", "1", "sessions"),
    Gauge("crudjt_log_bytes", "Log that a recovery would read.", "By", "log_bytes"),
    Gauge("crudjt_unsynced_bytes", "Log not known to be on disk yet.", "By", "unsynced_bytes"),
    Gauge("crudjt_view_bytes", "Pages of the view that hold live data.", "By", "view_bytes"),
    Gauge("crudjt_max_size_bytes", "What the view may grow to.", "By", "max_size"),
    Gauge(
        "crudjt_last_sync_timestamp_seconds",
        "When the log was last synced, in seconds since 1970; 0 for never.",
        "s",
        "synced_at",
    ),
    Gauge(
        "crudjt_last_sweep_timestamp_seconds",
        "When expired sessions were last removed, in seconds since 1970; 0 for never.",
        "s",
        "swept_at",
    ),
    Gauge(
        "crudjt_last_compaction_timestamp_seconds",
        "When the log was last compacted, in seconds since 1970; 0 for never.",
        "s",
        "compacted_at",
    ),
    Gauge("crudjt_memory_bytes", "Memory that the primaries use, for all that they hold.", "By", "memory_bytes"),
    Gauge("crudjt_max_memory_bytes", "Memory that the primaries may use.", "By", "max_memory_bytes"),
    Gauge("crudjt_primaries", "Primaries that hold the store.", "1", "primaries"),
    Gauge("crudjt_replicas", "Replicas of the primaries that are connected.", "1", "replicas"),
)
"""What is read from `Stats`. A store has those that its backend counts."""


def values(stats: Stats) -> Iterator[tuple[Gauge, float]]:
    """Yield the metrics that a store has, with their values."""
    counters = stats.counters()
    for gauge in GAUGES:
        if gauge.counter not in counters:
            continue
        value = counters[gauge.counter]
        if isinstance(value, datetime):
            yield gauge, value.timestamp()
        elif value is not None:
            yield gauge, value
        elif gauge.unit == "s":
            yield gauge, 0
