"""No operation has become slow: a smoke test by ratios to a floor that is measured at the same time."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.guard import EXPECTED, TOLERANCE, allowed, opened, ratios


def test_no_operation_costs_much_more_than_it_did() -> None:
    """Lower EXPECTED when a path gets faster; raise it only for what is worth the time."""
    with opened() as (ours, floor):
        found = ratios(ours, floor)
    too_slow = {
        name: f"{ratio:.2f}, allowed {allowed(name):.2f}" for name, ratio in found.items() if ratio > allowed(name)
    }
    assert too_slow == {}


def test_a_doubling_of_any_operation_is_noticed() -> None:
    """Else the guard would guard nothing."""
    with opened() as (ours, floor):
        found = ratios(ours, floor)
        assert ours.update is not None
        assert ours.delete is not None
        doubled = replace(
            ours,
            create=twice_as_long(ours.create),
            read=twice_as_long(ours.read),
            update=twice_as_long(ours.update),
            delete=twice_as_long(ours.delete),
        )
        slow = ratios(doubled, floor)
    missed = {name: (found[name], slow[name]) for name in EXPECTED if slow[name] <= TOLERANCE * found[name]}
    assert missed == {}


def twice_as_long(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return what does the same, and then nothing for as long again."""

    def slow(*arguments: Any) -> Any:
        started = time.perf_counter_ns()
        result = call(*arguments)
        end = 2 * time.perf_counter_ns() - started
        while time.perf_counter_ns() < end:
            pass
        return result

    return slow
