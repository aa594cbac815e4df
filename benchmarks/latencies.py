"""Percentiles of single operations, over the samples of several processes."""

from array import array
from collections.abc import Iterable
from pathlib import Path

from benchmarks.tasks.mix import Samples

PERCENTILES = (50.0, 99.0, 99.9)


def merged(paths: Iterable[Path], start: float = 0, end: float = float("inf")) -> "array[int]":
    """Return what operations took, in nanoseconds and ascending, that began from `start` to before `end`."""
    took = array("q")
    for path in paths:
        samples = Samples.load(path)
        took.extend(
            took_ns for began, took_ns in zip(samples.started, samples.took, strict=True) if start <= began < end
        )
    return array("q", sorted(took))


def percentiles(kind: str, took: "array[int]") -> dict[str, float]:
    """Return the percentiles of one kind of operation, in microseconds; nothing where there was none."""
    if not took:
        return {}
    last = len(took) - 1
    return {f"{kind} p{percent:g}, µs": took[round(last * percent / 100)] / 1000 for percent in PERCENTILES}
