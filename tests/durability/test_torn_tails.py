"""The end of a log that a power failure has torn: cut off, kept aside, and never served."""

import logging
import os
import shutil
import signal
import struct
from pathlib import Path

import pytest

import crudjt
from crudjt._backends.embedded.engine import segment
from crudjt._backends.embedded.engine.segment_reader import SegmentReader
from crudjt._core.changes import DELETE
from crudjt._core.header import HEADER_BYTES
from crudjt._core.tokens import ID_BYTES
from tests.support.disks import (
    MIB,
    QUIET,
    WAYS_TO_WRITE,
    Machine,
    cut_power,
    die_after_appending,
    entries,
    exit_code_of_child,
    log_end,
    segments,
    write_log,
)


class Tail:
    """A store after a power cut: three entries that were synced, three that were not."""

    def __init__(self, directory: Path, secret_key: str, machine: Machine) -> None:
        self.secret_key = secret_key
        self.directory = directory
        with crudjt.open(directory / "live", secret_key=secret_key, sync_interval=QUIET) as store:
            self.synced = [store.create({"synced": n}, subject="anna") for n in range(3)]
            store.sync()
            self.unsynced = [store.create({"unsynced": n}, subject="anna") for n in range(3)]
            self.image = cut_power(directory / "live", directory / "image")
        machine.reboot()
        self.whole = segments(self.image)[-1].read_bytes()[: log_end(segments(self.image)[-1])]
        self.ends = [entry.end for entry in entries(segments(self.image)[-1])]
        self._copies = 0

    def recover(self, content: bytes, caplog: pytest.LogCaptureFixture) -> tuple[list[bool], list[Path], list[str]]:
        """Open a copy whose segment has `content`; return who is alive, what was kept aside, and the warnings."""
        self._copies += 1
        copy = self.directory / f"copy {self._copies}"
        shutil.copytree(self.image, copy)
        segments(copy)[-1].write_bytes(content)
        caplog.clear()
        with crudjt.open(copy, secret_key=self.secret_key) as store:
            alive = [store.peek(token) is not None for token in self.synced + self.unsynced]
            assert len(list(store.sessions("anna"))) == store.stats().sessions == sum(alive)
        warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        return alive, sorted((copy / "log").glob("*.torn-*")), warnings


@pytest.fixture
def tail(tmp_path: Path, secret_key: str, machine: Machine) -> Tail:
    return Tail(tmp_path, secret_key, machine)


@pytest.mark.slow
def test_a_tail_cut_at_any_byte_is_cut_off_kept_aside_and_reported(
    tail: Tail, caplog: pytest.LogCaptureFixture
) -> None:
    start, end = tail.ends[-2:]
    for size in range(start, end):
        alive, kept, warnings = tail.recover(tail.whole[:size], caplog)
        assert alive == [True] * 5 + [False]
        if size == start:
            assert (kept, warnings) == ([], [])
        else:
            assert [file.name for file in kept] == [f"0000000001.torn-{start}"]
            torn = tail.whole[start:size].rstrip(b"\0")  # room that was allocated ahead is zeros too
            assert kept[0].read_bytes() == torn
            assert len(warnings) == 1
            assert f"{len(torn)} bytes" in warnings[0]
            assert f"offset {start}" in warnings[0]
            assert kept[0].name in warnings[0]


@pytest.mark.parametrize(
    ("name", "junk"),
    [
        ("a page that was lost, and one that was not", bytes(4096) + b"x" * 4096),
        ("a megabyte of zeros, and one byte", bytes(MIB) + b"x"),
        ("garbage", os.urandom(499) + b"x"),
        ("a length that points far past the end", b"\xff" * 40),
        ("a length of nothing", struct.pack("<IIQ", 8, 0, 7 << 56)),
    ],
)
def test_junk_behind_the_last_entry_is_cut_off_kept_aside_and_reported(
    tail: Tail, caplog: pytest.LogCaptureFixture, name: str, junk: bytes
) -> None:
    alive, kept, warnings = tail.recover(tail.whole + junk, caplog)
    assert alive == [True] * 6, name
    assert [file.read_bytes() for file in kept] == [junk]
    assert len(warnings) == 1


@pytest.mark.parametrize("size", [1, 16, 4096, MIB])
def test_zeros_behind_the_last_entry_are_room_and_are_cut_off_without_a_word(
    tail: Tail, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    assert tail.recover(tail.whole + bytes(size), caplog) == ([True] * 6, [], [])


def test_an_old_entry_behind_the_last_one_is_not_applied_again(tail: Tail, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever byte it ends with: zeros at the end are taken for room."""
    first = tail.whole[segment.HEADER_BLOCK_BYTES : tail.ends[0]]
    crc_salt = SegmentReader(segments(tail.image)[-1]).header.crc_salt
    ending = segment.encode_change(1, DELETE, b"i" * ID_BYTES, bytes(HEADER_BYTES), crc_salt)
    assert ending.endswith(bytes(16))
    for old in (first, ending):
        alive, kept, _ = tail.recover(tail.whole + old, caplog)
        assert alive == [True] * 6
        assert [file.read_bytes() for file in kept] == [old.rstrip(b"\0")]


def test_half_an_entry_and_zeros_are_a_torn_tail(tail: Tail, caplog: pytest.LogCaptureFixture) -> None:
    start, end = tail.ends[-2:]
    half = tail.whole[: start + (end - start) // 2]
    alive, kept, _ = tail.recover(half + bytes(4096 - len(half) % 4096), caplog)
    assert alive == [True] * 5 + [False]
    assert len(kept) == 1


@pytest.mark.parametrize("offset", range(0, 190, 19))
def test_nothing_behind_an_unsynced_hole_is_applied(tail: Tail, caplog: pytest.LogCaptureFixture, offset: int) -> None:
    """A disk may write the last entries and not the one before them; the order of changes must hold."""
    at = tail.ends[2] + offset % (tail.ends[3] - tail.ends[2])
    content = bytearray(tail.whole)
    content[at : tail.ends[3]] = bytes(tail.ends[3] - at)
    alive, kept, warnings = tail.recover(bytes(content), caplog)
    assert alive == [True] * 3 + [False] * 3
    assert [file.read_bytes() for file in kept] == [bytes(content[tail.ends[2] :]).rstrip(b"\0")]
    assert len(warnings) == 1


def test_a_store_goes_on_after_a_torn_tail_through_further_boots(tail: Tail, secret_key: str, machine: Machine) -> None:
    segments(tail.image)[-1].write_bytes(tail.whole[:-1])
    alive = tail.synced + tail.unsynced[:-1]
    for n in range(3):
        with crudjt.open(tail.image, secret_key=secret_key) as store:
            alive.append(store.create({"after": n}, subject="anna"))
            assert all(store.peek(token) for token in alive)
            assert store.peek(tail.unsynced[-1]) is None
            assert store.stats().sessions == len(alive)
        machine.reboot()


@WAYS_TO_WRITE
def test_a_tail_that_a_dead_writer_left_is_not_served_and_never_comes_back(
    path: Path, secret_key: str, machine: Machine, monkeypatch: pytest.MonkeyPatch, mapped: bool
) -> None:
    """Bytes behind the log's end, of a writer that died before its commit, are cut off by the next writer."""
    write_log(monkeypatch, mapped=mapped)
    with crudjt.open(path, secret_key=secret_key) as store:
        before = store.create({"n": 1})
        size = log_end(segments(path)[-1])

    def die_before_the_commit() -> None:
        die_after_appending()
        crudjt.open(path, secret_key=secret_key).create({"n": 2})

    assert exit_code_of_child(die_before_the_commit) == -signal.SIGKILL
    assert log_end(segments(path)[-1]) > size
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.stats().sessions == 1
        after = store.create({"n": 3})
    machine.reboot()
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.stats().sessions == 2
        assert store.peek(before) is not None
        assert store.peek(after) is not None
