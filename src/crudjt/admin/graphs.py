"""Graphs of the last minutes: points of SVG lines, and the same in words."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from crudjt.admin.pulse import Beat
from crudjt.admin.words import duration

_WIDTH, _HEIGHT = 600, 120  # of a graph, in its own units

Points = Sequence[tuple[float, float]]
"""Times in seconds, with a number for each."""


class Graph(NamedTuple):
    """Some lines over the same time; `id` names it to the stream."""

    id: str
    title: str
    lines: tuple[str, ...]
    words: str


def graphs(beats: Sequence[Beat]) -> list[Graph]:
    """Return the stored sessions and, where there are events, how many have begun and ended a second."""
    stored = [(beat.at, beat.stats.sessions) for beat in beats if beat.stats]
    shown = [_graph("stored", "Stored sessions", ("",), stored)]
    counted = [beat for beat in beats if beat.counts]
    if counted:
        begun = _rates([(beat.at, beat.counts.begun) for beat in counted if beat.counts])
        ended = _rates([(beat.at, beat.counts.ended) for beat in counted if beat.counts])
        shown.append(_graph("rates", "Sessions a second", ("begun", "ended (dashed)"), begun, ended))
    return shown


def rate(points: Points) -> str:
    """Return by how much a number has changed a second from its first to its last point."""
    if len(points) < 2:  # noqa: PLR2004 - a difference needs two
        return "…"
    (first, before), (last, after) = points[0], points[-1]
    return f"{(after - before) / (last - first):+,.1f} /s"


def _rates(points: Points) -> Points:
    return [(later, (b - a) / (later - sooner)) for (sooner, a), (later, b) in pairwise(points)]


def _graph(name: str, title: str, labels: tuple[str, ...], *lines: Points) -> Graph:
    if min(map(len, lines)) < 2:  # noqa: PLR2004 - a line needs two points
        return Graph(name, title, ("",) * len(lines), "It begins when this page has been open for some seconds.")
    start, end = lines[0][0][0], lines[0][-1][0]
    numbers = [number for line in lines for _, number in line]
    lowest, highest = min(numbers), max(numbers)
    if isinstance(lowest, float):
        lowest = 0.0  # a rate is drawn from there on
    drawn = tuple(
        " ".join(
            f"{_WIDTH * (at - start) / (end - start):.1f},{_height(number, lowest, highest):.1f}" for at, number in line
        )
        for line in lines
    )
    words = "; ".join(f"{label} {_range(line)}".strip() for label, line in zip(labels, lines, strict=True))
    return Graph(name, title, drawn, f"In the last {duration(end - start)}: {words}.")


def _height(number: float, lowest: float, highest: float) -> float:
    return _HEIGHT * (highest - number) / (highest - lowest) if highest > lowest else _HEIGHT / 2


def _range(line: Points) -> str:
    lowest, highest = min(number for _, number in line), max(number for _, number in line)
    if isinstance(lowest, int) and isinstance(highest, int):
        return f"{lowest:,}" if lowest == highest else f"from {lowest:,} to {highest:,}"
    return f"at most {highest:,.1f}"
