"""A mutant counts as caught by a violation alone, and none ends the run."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import crudjt
from tests.faults.mutants import BROKEN, CAUGHT, MISSED, PATIENCE, Mutant, verdicts
from tests.faults.tally import Tally, Violation


def nothing() -> None:
    pass


def violates() -> None:
    raise Violation("a promise")


def refuses() -> None:
    raise crudjt.StoreCorrupt(Path("place"), 0, "damaged")


def dies() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def has_a_bug() -> None:
    raise AttributeError("_durable")


def asserts() -> None:
    raise AssertionError("of the harness itself")


def hangs() -> None:
    if os.fork():  # a process of the scenario, which must not outlive it
        time.sleep(60)
    time.sleep(60)


ENDS: list[tuple[Callable[[], None], str, str]] = [
    (violates, CAUGHT, "a promise"),
    (refuses, CAUGHT, "the store refused to work: StoreCorrupt"),
    (dies, CAUGHT, f"signal {signal.SIGTERM.value}"),
    (nothing, MISSED, ""),
    (hangs, MISSED, "did not end in 2.0 seconds"),
    (has_a_bug, BROKEN, "AttributeError: _durable"),
    (asserts, BROKEN, "AssertionError"),
]


@pytest.mark.parametrize(
    ("end", "outcome", "by"),
    [pytest.param(*each, id=each[0].__name__, marks=pytest.mark.slow if each[0] is hangs else ()) for each in ENDS],
)
def test_only_a_violation_catches_a_mutant_and_the_rest_still_run(
    tmp_path: Path, end: Callable[[], None], outcome: str, by: str
) -> None:
    def scenario(_seed: int, _rounds: int, _directory: Path) -> Tally:
        end()
        return Tally()

    def violated(_seed: int, _rounds: int, _directory: Path) -> Tally:
        raise Violation("another promise")

    mutants = [Mutant("one", nothing, scenario, 1), Mutant("another", nothing, violated, 1)]
    # What hangs is waited for, and the rest must not count as such on a busy machine.
    one, another = verdicts(0, tmp_path, mutants, patience=2.0 if end is hangs else PATIENCE)
    assert one.outcome == outcome
    assert by in one.by
    assert another.outcome == CAUGHT
