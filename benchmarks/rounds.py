"""Turns: the contestants of a section measure themselves one after the other, round after round."""

import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Costs = dict[str, float]
Turn = Callable[[], Costs]

MICROSECONDS = "µs per operation"


@dataclass(frozen=True)
class Section:
    """A table: for each column and row the figures of every round.

    Attributes:
        part: which part of the suite it belongs to.
        title: what was done.
        columns: who or where -> what -> figures.
        unit: of the figures; empty where each row names its own.
        base: the column that the others are set in relation to, if any.

    """

    part: str
    title: str
    columns: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    unit: str = MICROSECONDS
    base: str | None = None

    def medians(self) -> dict[str, Costs]:
        """Return the median over the rounds."""
        return {
            name: {row: statistics.median(series) for row, series in column.items()}
            for name, column in self.columns.items()
        }

    def rows(self) -> list[str]:
        """Return what was measured of any contestant."""
        return list(dict.fromkeys(row for column in self.columns.values() for row in column))


def say(text: str) -> None:
    """Report progress, apart from the result."""
    print(text, file=sys.stderr, flush=True)


def take_turns(section: Section, turns: Mapping[str, Turn], rounds: int) -> Section:
    """Fill a section, so that a noisy minute hits all contestants."""
    for number in range(1, rounds + 1):
        for name, turn in turns.items():
            costs = turn()
            say(
                f"{section.title}, round {number}, {name}: " + ", ".join(f"{k} {cost:.2f}" for k, cost in costs.items())
            )
            column = section.columns.setdefault(name, {})
            for row, cost in costs.items():
                column.setdefault(row, []).append(cost)
    return section
