"""Long work shows on a terminal how far it has come, and nowhere else."""

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import crudjt
from crudjt._backends.embedded.doctor.check import examine
from crudjt._backends.embedded.store import EmbeddedStore
from crudjt.cli.progress import progress
from tests.cli.shell import Shell
from tests.cli.terminal import Terminal


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


def test_nothing_is_drawn_between_results_on_the_same_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = threading.active_count()
    with os.fdopen(os.dup(terminal.writing), "w") as results, terminal.as_standard_error():
        monkeypatch.setattr("sys.stdout", results)
        with progress("Exporting", after=0, prints=True) as work:
            work.reach(1, 4)
            assert threading.active_count() == before  # nothing draws
        print("a result", file=results, flush=True)
    terminal.wait_for("a result")
    assert "Exporting" not in terminal.text


def test_a_bar_shows_the_part_that_is_done(terminal: Terminal) -> None:
    with terminal.as_standard_error(), progress("Checking", after=0) as work:
        work.reach(1, 4)
        terminal.wait_for(r"Checking .*  25%")
        work.reach(3, 4)
        terminal.wait_for(r"  75%")


@pytest.mark.slow
def test_work_of_unknown_size_shows_the_time_that_it_takes(terminal: Terminal) -> None:
    with terminal.as_standard_error(), progress("Copying", after=0):
        terminal.wait_for(r"Copying .*  \d+ s")
        terminal.wait_for(r"  [1-9]\d* s")


def test_work_that_is_soon_done_draws_nothing(terminal: Terminal) -> None:
    with terminal.as_standard_error(), progress("Checking") as work:
        work.reach(1, 4)
    os.write(terminal.writing, b"end")
    terminal.wait_for("end")
    assert terminal.text == "end"


def test_an_error_ends_the_bar(terminal: Terminal) -> None:
    with contextlib.suppress(ZeroDivisionError), terminal.as_standard_error(), progress("Checking", after=0):
        terminal.wait_for("Checking")
        raise ZeroDivisionError
    terminal.wait_for(r"\n")


@pytest.mark.slow
def test_the_doctor_reports_every_file_that_it_reads(path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create_many([{"text": "x" * 10_000}] * 3000)
    reported: list[tuple[int, int]] = []
    assert examine(path, lambda done, total: reported.append((done, total))).healthy
    [total] = {total for _, total in reported}
    done = [done for done, _ in reported]
    assert done == sorted(done)
    assert 60_000_000 < done[-1] <= total  # thirty million bytes in the log, and again in the view


def test_a_sweep_reports_every_session_that_it_looks_at(path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        assert isinstance(store, EmbeddedStore)
        store.create_many([{}] * 150)
        looked_at: list[int] = []
        assert store.sweep(looked_at=looked_at.append) == 0
    assert sum(looked_at) == 150
    assert len(looked_at) > 1


@pytest.mark.slow
def test_a_command_draws_on_a_terminal_only(shell: Shell, terminal: Terminal) -> None:
    assert shell("create", "{}").returncode == 0
    with (shell.home / "data" / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # for which the doctor waits
        with (
            shell.start("doctor") as elsewhere,
            shell.start("doctor", "--json", stderr=terminal.writing) as as_json,
            shell.start("doctor", stderr=terminal.writing) as there,
        ):
            terminal.wait_for(r"Checking .*  [1-9]\d* s")
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert elsewhere.communicate(timeout=60)[1] == ""
            for process in (there, as_json):
                process.communicate(timeout=60)
    assert [each.returncode for each in (elsewhere, as_json, there)] == [0, 0, 0]
    os.write(terminal.writing, b"end")
    terminal.wait_for("end")
    assert terminal.text.count("\x1b[?25h") == 1  # a single bar has ended: none beside JSON
