"""The doctor finds every kind of damage, with file and offset, and raises no false alarm while a store is in use."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import crudjt
from crudjt._backends.embedded.doctor.check import examine
from crudjt._backends.embedded.engine.segment import HEADER_BLOCK_BYTES
from crudjt._core.changes import SESSION
from crudjt._core.report import Finding
from tests.support.disks import Machine, all_files, bases, data_file, entries, flip, in_child, segments, wait_for
from tests.support.embedded import changing_the_view, compact, engine_of

EXAMINATIONS = 50


def fill(store: crudjt.Store, *, compacted: bool = True) -> None:
    """Make a base, and entries of every kind behind it."""
    for number in range(2):
        tokens = store.create_many([{"n": n} for n in range(40)], ttl=50, subject="anna")
        tokens.append(store.create({"limited": True}, max_reads=5))
        assert store.read(tokens[-1])
        assert store.update(tokens[3], {"n": "new"})
        assert store.delete(tokens[-2])
        if compacted and not number:
            assert compact(store)


@pytest.fixture
def filled(path: Path, secret_key: str) -> Path:
    """Return the directory of a closed store whose view is of this boot."""
    with crudjt.open(path, secret_key=secret_key) as store:
        fill(store)
    return path


def faults(path: Path) -> list[Finding]:
    return [finding for finding in examine(path).findings if not finding.healthy]


def log_end(path: Path) -> str:
    """Return what the report of a store in use says of the end of its log."""
    report = examine(path)
    assert report.healthy, report
    return next(finding.text for finding in report.findings if finding.text.startswith("control block"))


def assert_healthy(path: Path) -> None:
    assert faults(path) == []


def test_a_closed_store_is_healthy_in_this_boot_and_the_next_and_nothing_changes(
    filled: Path, machine: Machine
) -> None:
    before = all_files(filled)
    assert_healthy(filled)
    machine.reboot()
    assert_healthy(filled)
    assert all_files(filled) == before


def test_a_new_store_and_a_backup_are_healthy(store: crudjt.Store, path: Path, tmp_path: Path) -> None:
    assert_healthy(path)
    fill(store)
    store.backup(tmp_path / "backup")
    assert_healthy(tmp_path / "backup")


def test_a_store_that_is_open_in_this_process_is_healthy_and_stays_usable(store: crudjt.Store, path: Path) -> None:
    for _ in range(3):
        fill(store)
        assert_healthy(path)
    assert store.create({})
    assert len(list(engine_of(store).view.sessions())) == store.stats().sessions


def test_no_false_alarm_while_another_thread_writes_and_compacts(store: crudjt.Store, path: Path) -> None:
    with writing(store):
        for _ in range(EXAMINATIONS // 5):
            assert_healthy(path)


class writing:  # noqa: N801 - used as a function
    """Write to a store in a thread for a block."""

    def __init__(self, store: crudjt.Store) -> None:
        self._store = store
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.rounds = 0

    def _run(self) -> None:
        while not self._stopping.wait(0.001):
            tokens = self._store.create_many([{"n": n} for n in range(3)], subject="anna")
            self._store.update(tokens[0], {"n": -1})
            self._store.revoke("anna", keep=tokens[0])
            compact(self._store)
            self.rounds += 1

    def __enter__(self) -> "writing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


def write_until_told(path: Path, secret_key: str, started: int, stop: int) -> int:
    """Write to a store, compacting it now and then, until the pipe is closed."""
    os.set_blocking(stop, False)
    with crudjt.open(path, secret_key=secret_key, sync_interval=0.01) as store, writing(store) as writer:
        os.write(started, b"x")
        os.set_blocking(stop, True)
        os.read(stop, 1)
    return writer.rounds


@pytest.mark.slow
def test_no_false_alarm_while_another_process_writes_and_compacts(path: Path, secret_key: str) -> None:
    ready, started = os.pipe()
    stop, tell = os.pipe()
    outcome: list[int] = []
    thread = threading.Thread(
        target=lambda: outcome.append(in_child(write_until_told, path, secret_key, started, stop))
    )
    thread.start()
    try:
        assert os.read(ready, 1) == b"x"
        seen: set[str] = set()  # log ends
        for _ in range(EXAMINATIONS):
            wait_for(lambda: log_end(path) not in seen)
            seen.add(log_end(path))
            assert_healthy(path)
    finally:
        os.write(tell, b"x")
        thread.join(60)
        for descriptor in (ready, started, stop, tell):
            os.close(descriptor)
    assert outcome[0] > 0


# Damage


def test_a_changed_byte_in_any_entry_is_found_with_the_offset_of_the_entry(filled: Path) -> None:
    segment = segments(filled)[-1]
    for entry in entries(segment):
        flip(segment, entry.offset + 20)
        assert [(fault.path, fault.offset) for fault in faults(filled)] == [(segment, entry.offset)]
        flip(segment, entry.offset + 20)
    assert_healthy(filled)


def test_a_damaged_header_is_found_even_where_the_other_copy_is_whole(filled: Path) -> None:
    segment = segments(filled)[-1]
    for at in (20, 2048 + 20):
        flip(segment, at)
        assert [fault.path for fault in faults(filled)] == [segment]
        flip(segment, at)
    flip(segment, 20)
    flip(segment, 2048 + 20)
    assert [(fault.path, fault.offset) for fault in faults(filled)] == [(segment, 0)]


def cut_last_entry(path: Path) -> tuple[Path, int]:
    segment = segments(path)[-1]
    last = entries(segment)[-1]
    os.truncate(segment, last.offset)
    return segment, last.offset


def remove_segment(path: Path) -> tuple[Path, int]:
    segment = segments(path)[-1]
    segment.unlink()
    return segment, 0


def spoil_base(path: Path) -> tuple[Path, int]:
    (base,) = bases(path)
    flip(base, 2 * 4096)  # the number of a page
    return base, 2 * 4096


def remove_base(path: Path) -> tuple[Path, int]:
    (base,) = bases(path)
    base.unlink()
    return base, 0


def spoil_manifest(path: Path) -> tuple[Path, int]:
    flip(path / "manifest", 10)
    return path / "manifest", 0


def remove_manifest(path: Path) -> tuple[Path, int]:
    (path / "manifest").unlink()
    return path / "manifest", 0


def spoil_control(path: Path) -> tuple[Path, int]:
    flip(path / "control", 0)
    return path / "control", 0


def fail_control(path: Path) -> tuple[Path, int]:
    flip(path / "control", 8, 1)
    return path / "control", 8


def cut_control(path: Path) -> tuple[Path, int]:
    os.truncate(path / "control", 100)
    return path / "control", 0


Damage = Callable[[Path], tuple[Path, int]]
DAMAGES = [
    cut_last_entry,
    remove_segment,
    spoil_base,
    remove_base,
    spoil_manifest,
    remove_manifest,
    spoil_control,
    fail_control,
    cut_control,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_found_with_file_and_offset(filled: Path, damage: Damage) -> None:
    expected = damage(filled)
    found = faults(filled)
    assert expected in [(fault.path, fault.offset) for fault in found]
    assert all(fault.text for fault in found)


def test_a_missing_middle_segment_is_found(path: Path, secret_key: str, machine: Machine) -> None:
    for _ in range(3):
        with crudjt.open(path, secret_key=secret_key) as store:
            fill(store, compacted=False)
        machine.reboot()
    middle = segments(path)[1]
    middle.unlink()
    assert (middle, 0) in [(fault.path, fault.offset) for fault in faults(path)]


def test_a_missing_last_segment_is_found_after_a_new_boot(filled: Path, machine: Machine) -> None:
    """Only the manifest knows that it was there."""
    last = segments(filled)[-1]
    last.unlink()
    machine.reboot()
    assert (last, 0) in [(fault.path, fault.offset) for fault in faults(filled)]


def test_a_torn_tail_that_was_never_on_disk_is_no_fault(filled: Path, machine: Machine) -> None:
    machine.reboot()
    with segments(filled)[-1].open("ab") as segment:
        segment.write(bytes(100))
    assert_healthy(filled)


def test_a_view_that_differs_from_the_log_is_found(store: crudjt.Store, path: Path) -> None:
    """A record that is gone, and one with a damaged head; what only the key could tell is not judged."""
    fill(store)
    one, two, *_ = [bytes.fromhex(session.id) for session in store.sessions("anna")]
    with changing_the_view(store) as transaction:
        record = transaction.get(SESSION + two)
        transaction.delete(SESSION + one)
        transaction.put(SESSION + two, b"\xff" + record[1:])
    texts = " ".join(fault.text for fault in faults(path))
    for part in ("1 records whose head is damaged", "lacks 1 sessions", "control block counts", "under a subject"):
        assert part in texts


def test_a_damaged_page_of_the_view_is_found_and_ends_no_process(filled: Path) -> None:
    view = data_file(filled)
    with view.open("r+b") as opened:  # a file of many gigabytes, nearly all of it a hole
        for page in range(2, 64):
            opened.seek(page * 4096 + 10)
            opened.write(b"\xff" * 30)
    assert any(fault.path == view and fault.offset for fault in faults(filled))


def test_a_directory_without_a_store_is_an_error(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(crudjt.StoreInaccessible, match="no store here"):
            examine(directory)
    assert not (tmp_path / "missing").exists()


def test_healthy_findings_say_what_was_checked(filled: Path) -> None:
    texts = [finding.text for finding in examine(filled).findings]
    for start in ("manifest: whole", "control block: valid", "base: 40 sessions", "log segment 2: 5 entries", "view: "):
        assert any(text.startswith(start) for text in texts), (start, texts)
    assert segments(filled)[-1].stat().st_size > HEADER_BLOCK_BYTES
