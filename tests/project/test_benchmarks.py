"""The benchmark suite measures what it says: payloads of their sizes, percentiles, tables that compare."""

import shlex
import sys
from array import array
from pathlib import Path

import msgspec
import pytest

from benchmarks.latencies import merged, percentiles
from benchmarks.payloads import PAYLOADS, updated
from benchmarks.report import table
from benchmarks.rounds import Section, take_turns
from benchmarks.tasks.mix import Samples
from benchmarks.work.interpreters import by_interpreter, under
from benchmarks.work.settings import Settings


@pytest.mark.parametrize("size", PAYLOADS)
def test_a_payload_has_its_size_before_and_after_an_update(size: int) -> None:
    before, after = PAYLOADS[size], updated(PAYLOADS[size])
    assert before != after
    assert len(msgspec.msgpack.encode(before)) == len(msgspec.msgpack.encode(after)) == size


def test_contestants_take_turns_and_the_median_of_their_rounds_counts() -> None:
    calls = []

    def turn(name: str, costs: list[float]) -> dict[str, float]:
        calls.append(name)
        return {"read": costs.pop()}

    first, second = [1.0, 9.0, 2.0], [4.0, 4.0, 50.0]
    turns = {"a": lambda: turn("a", first), "b": lambda: turn("b", second)}
    section = take_turns(Section("part", "title", base="a"), turns, 3)
    assert calls == ["a", "b"] * 3
    assert section.medians() == {"a": {"read": 2.0}, "b": {"read": 4.0}}


def test_a_table_names_ratios_to_the_base_and_leaves_out_what_was_not_measured() -> None:
    section = Section("part", "title", {"a": {"read": [2.0], "update": [3.0]}, "b": {"read": [5.0]}}, base="a")
    assert table(section).splitlines()[2:] == ["| read | 2 | 5 (2.5\N{MULTIPLICATION SIGN}) |", "| update | 3 |  |"]


def test_percentiles_are_of_all_processes_and_of_the_time_that_is_asked_for(tmp_path: Path) -> None:
    paths = []
    for process in range(2):
        samples = Samples()
        samples.started = array("q", range(1000))
        samples.took = array("q", [1000 * (process + 1)] * 1000)
        paths.append(tmp_path / str(process))
        samples.save(paths[-1])
    assert len(merged(paths)) == 2000
    assert len(merged(paths, 10, 20)) == 20
    assert percentiles("read", merged(paths)) == {"read p50, µs": 2.0, "read p99, µs": 2.0, "read p99.9, µs": 2.0}
    assert percentiles("read", merged(paths[:1])) == {"read p50, µs": 1.0, "read p99, µs": 1.0, "read p99.9, µs": 1.0}
    assert percentiles("read", merged(paths, 5000)) == {}


@pytest.mark.slow
def test_an_interpreter_may_be_a_script_that_starts_one(tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    script.chmod(0o755)
    settings = Settings(
        contestants=under([script], 0.0),
        operations=100,
        rounds=1,
        payloads=(196,),
        seconds=0.0,
        shuffle=False,
        sizes=(),
        frameworks=(),
        pause_seconds=0.0,
    )
    operations, requests = (section.medians() for section in by_interpreter(settings))
    assert {"create", "read, cached", "read, not cached", "update", "rotate", "delete"} <= operations[
        str(script)
    ].keys()
    assert {"read, processor", "write, processor"} <= requests[str(script)].keys()
