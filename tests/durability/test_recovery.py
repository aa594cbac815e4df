"""After a new boot the view is made again from base and log, and equals what it was."""

import logging
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crudjt
from crudjt._backends.embedded.engine import manifest, opening, recovery
from crudjt._filesystem import flock, host
from crudjt.testing import FakeClock
from tests.support.disks import (
    MIB,
    QUIET,
    Machine,
    cut_power,
    data_file,
    die_at_line,
    exit_code_of_child,
    fork,
    in_child,
    picture,
    segments,
    spoil_view,
)
from tests.support.embedded import compact, map_size_of
from tests.support.thorough import every

pytestmark = pytest.mark.slow

SUBJECTS = ("anna", "ben", "chris")


class Life:
    """A store that goes through operations, boots and compactions, and everything that was ever in it."""

    def __init__(self, path: Path, secret_key: str, machine: Machine) -> None:
        self._path = path
        self._secret_key = secret_key
        self._machine = machine
        self.clock = FakeClock()
        self.tokens: list[str] = []
        self.store = self._open()

    def _open(self) -> crudjt.Store:
        return crudjt.open(self._path, secret_key=self._secret_key, clock=self.clock, sync_interval=QUIET)

    def run(self, operation: str, number: int, seconds: int | None, subject: str | None) -> None:
        """Do one step. `number` chooses a token, a subject, a count or data."""
        store = self.store
        token = self.tokens[number % len(self.tokens)] if self.tokens else "none"
        reads = 1 + number % 3 if number % 2 else None
        match operation:
            case "create":
                self.tokens.append(
                    store.create({"n": number}, ttl=seconds, max_reads=reads, idle=seconds, subject=subject)
                )
            case "create_many":
                self.tokens += store.create_many([{"i": i} for i in range(number % 5)], ttl=seconds, subject=subject)
            case "read":
                store.read(token)
            case "read_many":
                store.read_many(self.tokens[-3:])
            case "update":
                store.update(token, {"updated": number}, ttl=seconds, max_reads=reads)
            case "touch":
                store.touch(token, idle=seconds)
            case "rotate":
                self.tokens += [rotated for rotated in [store.rotate(token)] if rotated]
            case "delete":
                store.delete(token)
            case "delete_many":
                store.delete_many(self.tokens[:2])
            case "revoke":
                store.revoke(SUBJECTS[number % len(SUBJECTS)], keep=token)
            case "wait":
                self.clock.advance(number)
            case "sweep":
                store.sweep()
            case "sync":
                store.sync()
            case "compact":
                assert compact(store, self.clock() // 10**6)
            case "reopen":
                store.close()
                self.store = self._open()
            case _:
                self.reboot()

    def reboot(self) -> None:
        before = picture(self.store, self.tokens, SUBJECTS)
        self.store.close()
        self._machine.reboot()
        spoil_view(self._path)
        self.store = self._open()
        assert picture(self.store, self.tokens, SUBJECTS) == before


OPERATIONS = (
    "create", "create", "create_many", "read", "read_many", "update", "touch", "rotate", "delete", "delete_many",
    "revoke", "wait", "sweep", "sync", "compact", "reopen", "reboot",
)  # fmt: skip


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(OPERATIONS),
            st.integers(0, 50),
            st.sampled_from([None, 1, 10, 1000]),
            st.sampled_from([None, *SUBJECTS]),
        ),
        max_size=40,
    )
)
def test_a_new_boot_brings_back_what_any_mixture_of_operations_left(
    secret_key: str, machine: Machine, steps: list[tuple[str, int, int | None, str | None]]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        life = Life(Path(directory) / "store", secret_key, machine)
        try:
            for step in steps:
                life.run(*step)
            life.reboot()
        finally:
            life.store.close()


def test_many_boots_in_a_row_lose_nothing_whether_or_not_they_write(
    path: Path, secret_key: str, clock: FakeClock, machine: Machine
) -> None:
    tokens: list[str] = []
    for boot in range(12):
        with crudjt.open(path, secret_key=secret_key, clock=clock) as store:
            assert [store.read(token) is not None for token in tokens] == [True] * len(tokens)
            assert store.stats().sessions == len(tokens)
            if boot % 3 == 0:
                tokens.append(store.create({"boot": boot}, subject="anna"))
        machine.reboot()


def test_within_one_boot_the_view_is_kept(path: Path, secret_key: str, machine: Machine) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({"a": 1})
    kept = (data_file(path).stat().st_ino, [segment.name for segment in segments(path)])
    for _ in range(2):
        with crudjt.open(path, secret_key=secret_key) as store:
            assert store.read(token) is not None
        assert (data_file(path).stat().st_ino, [segment.name for segment in segments(path)]) == kept
    machine.reboot()
    crudjt.open(path, secret_key=secret_key).close()
    assert [segment.name for segment in segments(path)] != kept[1]


@pytest.mark.parametrize(("seconds", "rebuilt"), [(3, False), (-3, False), (100, True), (-100, True)])
def test_the_same_boot_id_with_another_boot_time_is_another_boot(
    path: Path, secret_key: str, machine: Machine, seconds: int, rebuilt: bool
) -> None:
    """Some kernels repeat the id; a clock that was slewed by some seconds is no new boot."""
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({"a": 1})
    machine.boot = host.Boot(machine.boot.id, machine.boot.time + seconds)
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.read(token) is not None
    assert (len(segments(path)) == 2) == rebuilt


def test_a_garbage_view_is_replaced_by_a_good_one(path: Path, secret_key: str, machine: Machine) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        tokens = [store.create({"n": n}) for n in range(20)]
    machine.reboot()
    spoil_view(path)
    with crudjt.open(path, secret_key=secret_key) as store:
        assert [session.data for session in map(store.read, tokens) if session] == [{"n": n} for n in range(20)]


@pytest.mark.parametrize("lost", ["view", "view/data.mdb", "control"])
def test_a_view_that_somebody_removed_is_made_again_within_the_same_boot(
    path: Path, secret_key: str, lost: str
) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({"a": 1})
    if (path / lost).is_dir():
        shutil.rmtree(path / lost)
    else:
        (path / lost).unlink()
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.read(token) is not None


@pytest.mark.root
def test_the_kernels_own_boot_id_is_what_counts(path: Path, secret_key: str, tmp_path: Path) -> None:
    """A real process with another /proc/sys/kernel/random/boot_id throws the view away, and so do we after it."""
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({"a": 1})
    shown = tmp_path / "boot_id"
    shown.write_text("00000000-1111-2222-3333-444444444444\n")
    program = (
        "import crudjt, sys\n"
        "with crudjt.open(sys.argv[1], secret_key=sys.argv[2]) as store:\n"
        "    print(store.read(sys.argv[3]).data['a'])\n"
    )
    mounting = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", mounting, str(shown), sys.executable, "-c", program, str(path)]
    outcome = subprocess.run(
        [*command, secret_key, token],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if "unshare failed" in outcome.stderr or "permission denied" in outcome.stderr:
        pytest.skip(f"cannot mount over the boot id: {outcome.stderr.strip()}")
    assert (outcome.stdout, outcome.stderr) == ("1\n", "")
    assert len(segments(path)) == 2
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.read(token) is not None
    assert len(segments(path)) == 3


# Several processes


def hold_open(path: Path, secret_key: str, opened: Any, release: Any) -> None:
    with crudjt.open(path, secret_key=secret_key):
        opened.set()
        assert release.wait(30)


@pytest.fixture
def held(path: Path, secret_key: str, machine: Machine) -> Any:
    """A process that has the store open, as of the boot in which the fixture began, until the event is set."""
    opened, release = fork.Event(), fork.Event()
    process = fork.Process(target=hold_open, args=(path, secret_key, opened, release))
    process.start()
    assert opened.wait(30)

    def let_go() -> None:
        release.set()
        process.join(30)
        assert process.exitcode == 0

    yield let_go
    let_go()


def test_a_process_of_another_boot_waits_and_then_says_that_the_store_is_busy(
    path: Path, secret_key: str, machine: Machine, held: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_WAIT_SECONDS", 0.2)
    machine.reboot()
    with pytest.raises(crudjt.StoreBusy, match="another boot id") as caught:
        crudjt.open(path, secret_key=secret_key)
    assert caught.value.path == path
    assert caught.value.waited > 0.2
    held()
    crudjt.open(path, secret_key=secret_key).close()
    assert len(segments(path)) == 2


def test_a_process_whose_clock_was_set_joins_the_others(
    path: Path, secret_key: str, machine: Machine, held: Callable[[], None]
) -> None:
    """The boot time seems to move with the clock; that others have the store open proves that the view lives."""
    machine.boot = host.Boot(machine.boot.id, machine.boot.time + 1000)
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create({"a": 1})
    assert len(segments(path)) == 1


def open_with_others(path: Path, secret_key: str, barrier: Any, results: Any) -> None:
    recovered: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: recovered.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("crudjt")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    barrier.wait(30)
    with crudjt.open(path, secret_key=secret_key) as store:
        sessions = store.stats().sessions
        barrier.wait(30)
        token = store.create({"pid": os.getpid()})
        barrier.wait(30)
        results.put((len(recovered), sessions, token, store.stats().sessions))


def test_of_several_processes_that_open_at_once_after_a_boot_one_rebuilds_and_all_work(
    path: Path, secret_key: str, machine: Machine
) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        for n in range(3000):
            store.create({"n": n})
    machine.reboot()
    barrier, results = fork.Barrier(4), fork.SimpleQueue()
    processes = [fork.Process(target=open_with_others, args=(path, secret_key, barrier, results)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    found = [results.get() for _ in processes]
    assert sorted(recovered for recovered, _, _, _ in found) == [0, 0, 0, 1]
    assert [sessions for _, sessions, _, _ in found] == [3000] * 4
    assert [sessions for _, _, _, sessions in found] == [3004] * 4
    with crudjt.open(path, secret_key=secret_key) as store:
        assert all(store.read(token) for _, _, token, _ in found)


# Death in the middle


def open_and_close(path: Path, secret_key: str) -> None:
    crudjt.open(path, secret_key=secret_key, sync_interval=QUIET).close()


def open_dying(path: Path, secret_key: str, line: int) -> int:
    return die_at_line([recovery], line, open_and_close, path, secret_key)


@every(31, long=7)
def test_a_process_killed_while_it_rebuilds_leaves_a_store_that_the_next_one_rebuilds(
    path: Path, tmp_path: Path, secret_key: str, machine: Machine, step: int
) -> None:
    """With a base, two segments to replay and a torn tail."""
    with crudjt.open(path, secret_key=secret_key) as store:
        tokens = [store.create({"n": n}, subject="anna") for n in range(4)]
        compact(store)
        tokens += [store.create({"n": n}, subject="anna") for n in range(4)]
        store.delete(tokens.pop(0))
    machine.reboot()
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        tokens.append(store.create({"n": 9}))
        expected = picture(store, tokens, ["anna"])
        torn = cut_power(path, tmp_path / "torn")
    with segments(torn)[-1].open("ab") as file:
        file.write(bytes(100))
    machine.reboot()
    lines = in_child(open_dying, shutil.copytree(torn, tmp_path / "counted"), secret_key, 0)
    assert lines > 100
    for line in range(1, lines, step):
        copy = Path(shutil.copytree(torn, tmp_path / f"killed at {line}"))
        assert exit_code_of_child(open_dying, copy, secret_key, line) == -signal.SIGKILL
        for _ in range(2):
            with crudjt.open(copy, secret_key=secret_key) as store:
                assert picture(store, tokens, ["anna"]) == expected
            machine.reboot()


@every(13, long=3)
def test_a_process_killed_while_it_makes_a_store_leaves_one_that_opens(
    tmp_path: Path, secret_key: str, machine: Machine, step: int
) -> None:
    lines = in_child(open_dying, tmp_path / "counted", secret_key, 0)
    for line in range(1, lines, step):
        path = tmp_path / f"killed at {line}"
        assert exit_code_of_child(open_dying, path, secret_key, line) == -signal.SIGKILL
        with crudjt.open(path, secret_key=secret_key) as store:
            token = store.create({"line": line})
        machine.reboot()
        with crudjt.open(path, secret_key=secret_key) as store:
            assert store.peek(token) is not None


# Formats and sizes


def test_a_manifest_of_a_newer_format_is_refused(path: Path, secret_key: str) -> None:
    crudjt.open(path, secret_key=secret_key).close()
    found = msgspec.structs.replace(manifest.load(path), format=3)
    found.save(path)
    before = (path / "manifest").read_bytes()
    with pytest.raises(crudjt.StoreFormatError) as caught:
        crudjt.open(path, secret_key=secret_key)
    assert (caught.value.path, caught.value.found, caught.value.supported) == (path / "manifest", 3, 2)
    assert (path / "manifest").read_bytes() == before


def test_a_segment_of_a_newer_format_is_refused(path: Path, secret_key: str, machine: Machine) -> None:
    crudjt.open(path, secret_key=secret_key).close()
    segment = segments(path)[0]
    block = bytearray(segment.read_bytes())
    for at in (0, 2048):
        block[at + 8 : at + 12] = struct.pack("<I", 7)
        block[at + 60 : at + 64] = struct.pack("<I", zlib.crc32(block[at : at + 60]))
    segment.write_bytes(block)
    machine.reboot()
    with pytest.raises(crudjt.StoreFormatError) as caught:
        crudjt.open(path, secret_key=secret_key)
    assert (caught.value.path, caught.value.found) == (segment, 7)


def test_max_size_grows_and_never_shrinks(path: Path, secret_key: str, machine: Machine) -> None:
    sizes = []
    for asked in (4 * MIB, MIB, None, 8 * MIB, MIB, None):
        with crudjt.open(path, secret_key=secret_key, max_size=asked) as store:
            store.create({"asked": asked})
            sizes.append(store.stats().max_size // MIB)
            assert map_size_of(store) >= store.stats().max_size
    assert sizes == [4, 4, 4, 8, 8, 8]
    machine.reboot()
    with crudjt.open(path, secret_key=secret_key, max_size=MIB) as store:
        assert store.stats().max_size == 8 * MIB
        assert store.stats().sessions == 6


def grow(path: Path, secret_key: str, begin: Any, done: Any) -> None:
    assert begin.wait(30)
    crudjt.open(path, secret_key=secret_key, max_size=8 * MIB).close()
    done.set()


def test_a_size_that_another_process_raises_while_this_one_opens_is_kept(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An flock is not converted in one step: others may get in between, and a map never opens with an old size."""
    crudjt.open(path, secret_key=secret_key, max_size=MIB).close()
    begin, done = fork.Event(), fork.Event()
    process = fork.Process(target=grow, args=(path, secret_key, begin, done))
    process.start()
    real = flock.lock

    def lock(descriptor: int, *, exclusive: bool, wait: bool = False) -> bool:
        if not exclusive and not begin.is_set():
            flock.unlock(descriptor)
            begin.set()
            assert done.wait(30)
        return real(descriptor, exclusive=exclusive, wait=wait)

    monkeypatch.setattr(flock, "lock", lock)
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.stats().max_size == 8 * MIB
        assert map_size_of(store) >= 8 * MIB
    process.join(30)
    assert process.exitcode == 0
