"""What lies in a store's directory, for whom, and how the slots of the control block say where the log ends."""

import itertools
import os
import signal
import sys
from mmap import mmap
from pathlib import Path

import pytest

import crudjt
from crudjt._backends.embedded.engine import control_block, engine
from crudjt._backends.embedded.engine.control_block import ControlBlock, LogEnd
from tests.support.disks import (
    QUIET,
    WAYS_TO_WRITE,
    Machine,
    die_after_appending,
    exit_code_of_child,
    in_child,
    log_end,
    segments,
    write_log,
)
from tests.support.embedded import compact


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_everything_in_a_store_is_for_its_owner_alone(
    path: Path, secret_key: str, machine: Machine, umask: int
) -> None:
    """Whatever the umask: after making, after a boot, with a base, and with a torn tail."""
    old = os.umask(umask)
    try:
        for _ in range(3):
            with crudjt.open(path, secret_key=secret_key) as store:
                store.create({"a": 1})
                compact(store)
                store.create({"a": 2})
                assert_private(path)
            with segments(path)[-1].open("ab") as segment:
                segment.write(b"torn")
            assert_private(path)
            machine.reboot()
    finally:
        os.umask(old)
    assert list(path.glob("log/*.torn-*"))


def assert_private(path: Path) -> None:
    for found in (path, *path.rglob("*")):
        assert found.stat().st_mode & 0o777 == (0o700 if found.is_dir() else 0o600), found


def test_a_store_holds_the_files_that_its_format_names(path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create({"a": 1})
        compact(store)
    assert sorted(str(found.relative_to(path)) for found in path.rglob("*")) == [
        "base",
        "base/0000000002.mdb",
        "control",
        "lock",
        "log",
        "log/0000000002.log",
        "manifest",
        "view",
        "view/data.mdb",
        "view/lock.mdb",
    ]


def test_nothing_on_disk_holds_a_token_its_data_its_subject_or_the_key(path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key, max_size=1024**2) as store:
        token = store.create({"secret": "wormwood-and-gall"}, subject="anna-of-the-hill")
        compact(store)
        store.update(token, {"secret": "wormwood-and-gall"})
    for file in (found for found in path.rglob("*") if found.is_file()):
        content = file.read_bytes()
        for secret in (token, "wormwood-and-gall", "anna-of-the-hill", secret_key):
            assert secret.encode() not in content, file


def test_a_control_block_says_where_the_log_ends_after_each_of_the_last_two_transactions(tmp_path: Path) -> None:
    path = tmp_path / "control"
    ControlBlock.create(path).begin(LogEnd(1, 4096, 0, 0), 6)
    control = ControlBlock(path)
    assert control.valid
    assert not control.failed
    control.fill_slot(7, 1, 5000, 1, 1)
    assert (control.slot(6), control.slot(7)) == (LogEnd(1, 4096, 0, 0), LogEnd(1, 5000, 1, 1))
    assert (control.holds(6), control.holds(7), control.holds(8)) == (True, True, False)
    control.fill_slot(8, 1, 6000, 2, 2)
    assert (control.holds(6), control.holds(7), control.holds(8)) == (False, True, True)
    control.close()


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (LogEnd(1, 5000, 10, 10), LogEnd(1, 5100, 12, 12)),
        (LogEnd(1, 5000, 10, 10), LogEnd(1, 5100, 12, 8)),
        (LogEnd(1, 5000, 10, 10), LogEnd(2, 4096, 11, 10)),
        (LogEnd(2, 4096, 0, 0), LogEnd(2, 4196, 1, 1)),
    ],
)
def test_a_slot_that_mixes_two_transactions_is_taken_for_neither(tmp_path: Path, older: LogEnd, newer: LogEnd) -> None:
    """Whatever words of it are seen to be those of the other: a processor may change the order of loads and stores."""
    ControlBlock.create(tmp_path / "control").close()
    control = ControlBlock(tmp_path / "control")
    at = control_block.SLOT_WORDS[0]
    states: list[list[int]] = []
    for transaction, end in ((6, older), (8, newer)):
        control.fill_slot(transaction, *end)
        assert control.log_end(transaction) == end
        states.append(list(control.words[at : at + 6]))
    for mixture in itertools.product((0, 1), repeat=6):
        for word, state in enumerate(mixture):
            control.words[at + word] = states[state][word]
        seen = list(control.words[at : at + 6])
        assert control.log_end(6) == (older if seen == states[0] else None), mixture
        assert control.log_end(8) == (newer if seen == states[1] else None), mixture
    control.close()


def test_a_control_block_of_a_python_with_other_hashes_is_not_valid(tmp_path: Path) -> None:
    control = ControlBlock.create(tmp_path / "control")
    control.begin(LogEnd(1, 4096, 0, 0), 6)
    valid = control.valid
    control.words[control_block.WORD_HASH] ^= 1
    assert (valid, control.valid) == (True, False)
    control.close()


def test_a_control_block_that_was_not_made_completely_is_not_valid(tmp_path: Path) -> None:
    path = tmp_path / "control"
    path.touch()
    os.truncate(path, control_block.CONTROL_BYTES)
    assert not ControlBlock(path).valid


def write_and_die_in_the_slot(path: Path, secret_key: str, words: int) -> None:
    """Die with `words` of the slot of the next transaction written, as if killed between two of them."""
    store = crudjt.open(path, secret_key=secret_key, sync_interval=QUIET)

    def pack_slot(block: mmap, offset: int, *fields: int) -> None:
        for word, value in list(enumerate(fields))[:words]:
            block[offset + 8 * word : offset + 8 * word + 8] = (value & 2**64 - 1).to_bytes(8, sys.byteorder)
        os.kill(os.getpid(), signal.SIGKILL)

    engine.pack_slot = pack_slot  # type: ignore[attr-defined,assignment] # in this process only
    store.create({"never": "acknowledged"})


@pytest.mark.parametrize("words", range(7))
@pytest.mark.parametrize("earlier", [1, 2])
def test_a_slot_that_a_dead_writer_left_half_filled_is_ignored(
    path: Path, secret_key: str, machine: Machine, words: int, earlier: int
) -> None:
    """For transactions of either parity, at any word, and for whoever reads it: reader, writer, sync and rebuild."""
    with crudjt.open(path, secret_key=secret_key) as store:
        tokens = [store.create({"n": n}) for n in range(earlier)]
        before = store.stats()
    for _ in range(2):
        assert exit_code_of_child(write_and_die_in_the_slot, path, secret_key, words) == -signal.SIGKILL
        with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
            assert store.stats().sessions == len(tokens)
            assert store.stats().log_bytes == before.log_bytes
            store.sync()
            assert all(store.read(token) for token in tokens)
    assert in_child(create_one_more, path, secret_key) == len(tokens) + 1
    machine.reboot()
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.stats().sessions == len(tokens) + 1
        assert all(store.read(token) for token in tokens)


def create_one_more(path: Path, secret_key: str) -> int:
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create({"one": "more"})
        return store.stats().sessions


@WAYS_TO_WRITE
def test_what_is_behind_the_log_end_is_cut_off_by_the_next_writer(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch, mapped: bool
) -> None:
    """A dead writer's entry may be longer than the next one, and must not show up behind it."""
    write_log(monkeypatch, mapped=mapped)
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        store.create({"n": 1})
        end = log_end(segments(path)[-1])
    assert exit_code_of_child(write_much_and_die, path, secret_key) == -signal.SIGKILL
    assert log_end(segments(path)[-1]) > end + 3000
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        store.create({"n": 2})
        assert len(segments(path)[-1].read_bytes().rstrip(b"\0")) < end + 400


def write_much_and_die(path: Path, secret_key: str) -> None:
    store = crudjt.open(path, secret_key=secret_key, sync_interval=QUIET)
    die_after_appending()
    store.create({"x": "x" * 3000})
