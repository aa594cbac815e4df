"""What every scenario has in common: what it counts, and what it raises when a promise is broken."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import crudjt

TOKEN_CHARACTERS = 22


@dataclass
class Tally:
    """What a scenario did.

    Attributes:
        operations: calls of the store.
        kills: processes that were killed.
        crashes: disks as a power failure left them, or may leave them, that a store was opened on.
        faults: calls to the operating system that were made to fail.
        measured: other figures worth to know; the largest counts.

    """

    operations: int = 0
    kills: int = 0
    crashes: int = 0
    faults: int = 0
    measured: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        for each in fields(self):
            if each.name != "measured":
                setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
        for name, value in other.measured.items():
            self.measure(name, value)

    def measure(self, name: str, value: int) -> None:
        self.measured[name] = max(value, self.measured.get(name, value))


# Given a seed, how much to do, and an empty directory to do it in.
Scenario = Callable[[int, int, Path], Tally]


class Violation(AssertionError):
    """A promise of the store was broken; `history` is what led to it, oldest first."""

    def __init__(self, promise: str, history: Iterable[object] = ()) -> None:
        super().__init__(promise)
        self.promise = promise
        self.history = list(history)

    def write(self, path: Path, **circumstances: object) -> None:
        """Write all of it to a file, as JSON, without a token."""
        content = {"promise": self.promise, **circumstances, "history": [hashed(event) for event in self.history]}
        path.write_text(json.dumps(content, indent=1))


def hashed(value: Any) -> Any:
    """Return a value as JSON can carry it, with whatever may be a token replaced by a hash that tells it apart."""
    if isinstance(value, dict):
        return {str(hashed(key)): hashed(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [hashed(each) for each in value]
    if isinstance(value, str) and len(value) == TOKEN_CHARACTERS:
        return "#" + hashlib.sha256(value.encode()).hexdigest()[:12]
    return value if isinstance(value, int | float | str | None) else repr(value)


def play(scenario: Scenario, seed: int, rounds: int, directory: Path) -> Tally:
    """Run a scenario. A store that refuses what no scenario lets it refuse is a violation."""
    try:
        return scenario(seed, rounds, directory)
    except crudjt.StoreError as error:
        raise Violation(f"the store refused to work: {type(error).__name__}: {error}") from error


class Unavailable(Exception):
    """A scenario cannot be played here; says why."""
