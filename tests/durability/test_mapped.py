"""The newest segment is allocated ahead and written through a map: what others, a cut, a full disk and a boot see."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import crudjt
from crudjt import _filesystem
from crudjt._backends.embedded.doctor.check import examine
from crudjt._backends.embedded.doctor.repair import repair
from crudjt._backends.embedded.engine import control_block, mmap_writer, opening
from crudjt._backends.embedded.engine.control_block import ControlBlock
from crudjt._filesystem import host
from tests.support.disks import (
    QUIET,
    WAYS_TO_WRITE,
    Machine,
    cut_power,
    die_after_appending,
    entries,
    log_end,
    picture,
    segments,
    write_log,
)
from tests.support.embedded import end_segment, ends_exactly, stored
from tests.support.processes import Forker, StoreProcess, replayed_content

pytestmark = pytest.mark.slow

STEP = mmap_writer._STEP_BYTES
RESERVE = mmap_writer.RESERVE_BYTES


def room(path: Path) -> int:
    """Return how many bytes the newest segment has behind its last entry."""
    newest = segments(path)[-1]
    return newest.stat().st_size - log_end(newest)


@contextmanager
def boot_finds_the_same(store: crudjt.Store, path: Path, secret_key: str, tmp_path: Path) -> Iterator[None]:
    """After the block, see that the log says what the view says."""
    yield
    assert ends_exactly(store)
    assert replayed_content(path, secret_key, tmp_path / "copy") == stored(store)


def test_the_newest_segment_has_room_and_one_that_has_ended_has_none(path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        for n in range(3):
            store.create({"n": n})
            assert RESERVE <= room(path) <= RESERVE + STEP
            end_segment(store)
            assert room(path) == 0
        assert [log_end(each) for each in segments(path)] == [each.stat().st_size for each in segments(path)]
        store.create({"n": 3})
    assert examine(path).healthy


def test_where_nothing_is_allocated_ahead_a_segment_ends_with_its_last_entry(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(monkeypatch, mapped=False)
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create_many([{"n": n} for n in range(3)])
        assert room(path) == 0


@pytest.mark.parametrize("size", [1, 100, 3 * STEP // 2, 3 * STEP])
def test_entries_of_any_size_are_written_across_the_ends_of_the_room(
    path: Path, secret_key: str, tmp_path: Path, size: int
) -> None:
    with (
        crudjt.open(path, secret_key=secret_key, max_data_bytes=4 * STEP) as store,
        boot_finds_the_same(store, path, secret_key, tmp_path),
    ):
        for n in range(4):
            store.create_many([{"n": n}, {"x": "x" * size}])
        assert store.stats().sessions == 8


def test_many_small_entries_are_written_across_the_ends_of_the_room(
    path: Path, secret_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each boundary of a page and of a step, by two processes in turn."""
    monkeypatch.setattr(mmap_writer, "_STEP_BYTES", _filesystem.BLOCK_BYTES)
    with (
        StoreProcess(path, secret_key) as other,
        crudjt.open(path, secret_key=secret_key) as store,
        boot_finds_the_same(store, path, secret_key, tmp_path),
    ):
        for n in range(150):
            token = store.create({"n": n}, subject="anna")
            assert other.call("update", token, {"x": "x" * n})
            if n % 2:
                assert store.delete(token)


def die_with_more_room(path: Path, secret_key: str, size: int) -> None:
    store = crudjt.open(path, secret_key=secret_key, max_data_bytes=4 * STEP, sync_interval=QUIET)
    die_after_appending()
    store.create({"x": "x" * size})


def cut_and_create(path: Path, secret_key: str, mapped: bool) -> str:
    """Be the next writer after a dead one: cut off what it has left, and write."""
    if not mapped:
        host.PREALLOCATING_FILE_SYSTEMS = frozenset()  # this process ends with the function
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        return store.create({})


@WAYS_TO_WRITE
@pytest.mark.parametrize("size", [1, 5000, 2 * STEP])
def test_a_process_goes_on_writing_after_another_has_cut_the_segment(
    path: Path, secret_key: str, tmp_path: Path, forker: Forker, size: int, mapped: bool
) -> None:
    """Its own map reaches past the new end of the file: to write there would be the death of it.

    Whether or not the other has a map too: in another container it may not know the file system.
    """
    with (
        crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store,
        boot_finds_the_same(store, path, secret_key, tmp_path),
    ):
        tokens = [store.create({"n": n}) for n in range(3)]
        for n in range(3):
            assert forker.run(die_with_more_room, path, secret_key, size).killed
            tokens.append(forker.run(cut_and_create, path, secret_key, mapped).result)
            tokens += [store.create({"n": n, "x": "x" * 3000}) for _ in range(10)]
        assert all(store.read(token) for token in tokens)


@pytest.mark.parametrize("size", [1, 5000])
def test_a_process_killed_between_the_steps_of_a_cut_leaves_it_to_the_next(
    path: Path, secret_key: str, tmp_path: Path, forker: Forker, size: int
) -> None:
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        tokens = [store.create({"n": n}) for n in range(3)]
        for before in (True, False):
            assert forker.run(die_with_more_room, path, secret_key, size).killed
            assert forker.run(die_cutting, path, secret_key, before).killed
            with boot_finds_the_same(store, path, secret_key, tmp_path):
                tokens += [store.create({"x": "x" * 3000}) for _ in range(5)]
        assert all(store.read(token) for token in tokens)


def die_cutting(path: Path, secret_key: str, before: bool) -> None:
    """Die at the cut of the file, before or after it."""
    store = crudjt.open(path, secret_key=secret_key, sync_interval=QUIET)
    truncate = _filesystem.truncate

    def die(descriptor: int, size: int) -> None:
        if not before:
            truncate(descriptor, size)
        signal.raise_signal(signal.SIGKILL)

    _filesystem.truncate = die
    store.create({})


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("step", ["allocate", "map_window"])
def test_a_process_killed_while_it_makes_room_leaves_what_others_write_on(
    path: Path, secret_key: str, tmp_path: Path, forker: Forker, step: str, before: bool
) -> None:
    assert forker.run(die_making_room, path, secret_key, step, before).killed
    with (
        crudjt.open(path, secret_key=secret_key) as store,
        boot_finds_the_same(store, path, secret_key, tmp_path),
    ):
        tokens = [store.create({"n": n}) for n in range(20)]
        assert all(store.read(token) for token in tokens)
        assert store.stats().sessions == 20


def die_making_room(path: Path, secret_key: str, step: str, before: bool) -> None:
    store = crudjt.open(path, secret_key=secret_key)
    real = getattr(_filesystem, step)

    def die(descriptor: int, offset: int, size: int, *rest: Path) -> None:
        if not before:
            real(descriptor, offset, size, *rest)
        signal.raise_signal(signal.SIGKILL)

    setattr(_filesystem, step, die)
    store.create({})


def test_where_there_is_no_room_to_allocate_ahead_there_is_the_reserve_and_no_more(
    path: Path, secret_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        crudjt.open(path, secret_key=secret_key) as store,
        boot_finds_the_same(store, path, secret_key, tmp_path),
    ):
        store.create({"before": 1})
        end_segment(store)
        with monkeypatch.context() as patch:
            patch.setattr(mmap_writer, "_STEP_BYTES", 2**50)
            tokens = [store.create({"n": n}) for n in range(5)]
            assert RESERVE <= room(path) < RESERVE + _filesystem.BLOCK_BYTES
        tokens += [store.create({"n": n}) for n in range(5)]
        assert room(path) >= RESERVE
        assert all(store.delete(token) for token in tokens[::2])
        assert store.stats().sessions == 6


@WAYS_TO_WRITE
def test_after_a_power_failure_the_room_is_gone_without_a_word(
    path: Path, secret_key: str, tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, mapped: bool,
) -> None:  # fmt: skip
    write_log(monkeypatch, mapped=mapped)
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        tokens = [store.create({"n": n}, subject="anna") for n in range(5)]
        store.delete(tokens.pop())
        before = picture(store, tokens, ["anna"])
        image = cut_power(path, tmp_path / "image")
    for _ in range(2):
        machine.reboot()
        with crudjt.open(image, secret_key=secret_key) as store:
            assert picture(store, tokens, ["anna"]) == before
    assert [log_end(each) for each in segments(image)] == [each.stat().st_size for each in segments(image)]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert not list(image.glob("log/*.torn-*"))


@pytest.mark.parametrize("position", range(4))
def test_zeros_in_the_place_of_entries_that_were_on_disk_are_refused(
    path: Path, secret_key: str, machine: Machine, position: int
) -> None:
    """They look like room, but the synced mark lies behind them."""
    with crudjt.open(path, secret_key=secret_key) as store:
        for n in range(4):
            store.create({"n": n})
    segment = segments(path)[-1]
    at = entries(segment)[position].offset
    content = segment.read_bytes()
    segment.write_bytes(content[:at] + bytes(len(content) - at))
    machine.reboot()
    with pytest.raises(crudjt.StoreCorrupt, match="missing at the end") as caught:
        crudjt.open(path, secret_key=secret_key)
    assert (caught.value.path, caught.value.offset) == (segment, at)


def test_a_repair_counts_zeros_as_lost_up_to_the_synced_mark_and_no_further(
    path: Path, secret_key: str, machine: Machine
) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        tokens = [store.create({"n": n}) for n in range(4)]
    segment = segments(path)[-1]
    at, end = entries(segment)[2].offset, log_end(segment)
    content = segment.read_bytes()
    segment.write_bytes(content[:at] + bytes(len(content) - at))
    machine.reboot()
    texts = [finding.text for finding in repair(path).findings]
    assert f"lost {end - at} bytes of the log segment {segment.name} from offset {at} on" in texts
    with crudjt.open(path, secret_key=secret_key) as store:
        assert [store.read(token) is not None for token in tokens] == [True, True, False, False]


OLDER_VERSION = 0x31304C5254434A54


def test_a_view_of_an_older_version_is_made_again(path: Path, secret_key: str) -> None:
    """Its processes did not know that a segment may end in room."""
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({"a": 1})
    control = ControlBlock(path / "control")
    control.words[control_block.WORD_MAGIC] = OLDER_VERSION
    control.close()
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.read(token)
    assert len(segments(path)) == 2


def test_a_view_that_another_version_has_open_is_not_touched(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StoreProcess(path, secret_key) as other:
        token = other.call("create", {"a": 1})
        control = ControlBlock(path / "control")
        control.words[control_block.WORD_MAGIC] = OLDER_VERSION
        monkeypatch.setattr(opening, "_WAIT_SECONDS", 0.1)
        with pytest.raises(crudjt.StoreBusy, match="another version"):
            crudjt.open(path, secret_key=secret_key)
        control.close()
        assert other.call("read", token)
    assert len(segments(path)) == 1
