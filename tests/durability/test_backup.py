"""A backup is a copy as of one moment, made while others write, that opens as a store."""

import os
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt._backends.embedded.engine.view import View
from crudjt.testing import FakeClock
from tests.support.disks import Machine, all_files, fork, in_child, picture


def test_a_backup_opens_as_a_store_with_the_same_key_and_holds_what_was_there(
    store: crudjt.Store, tmp_path: Path, secret_key: str, clock: FakeClock, machine: Machine
) -> None:
    tokens = [
        store.create({"n": 1}, subject="anna"),
        store.create({"n": 2}, ttl=100, max_reads=5, idle=50),
        store.create({"n": 3}),
    ]
    store.delete(tokens[2])
    before = picture(store, tokens, ["anna"])
    store.backup(tmp_path / "backup")
    store.update(tokens[0], {"later": 1})
    store.delete(tokens[1])
    later = store.create({"later": 2})
    for _ in range(3):
        with crudjt.open(tmp_path / "backup", secret_key=secret_key, clock=clock) as copy:
            assert picture(copy, tokens, ["anna"]) == before
            assert copy.peek(later) is None
        machine.reboot()


def test_a_backup_and_its_store_go_separate_ways(
    store: crudjt.Store, tmp_path: Path, secret_key: str, clock: FakeClock
) -> None:
    token = store.create({"n": 1})
    store.backup(tmp_path / "backup")
    with crudjt.open(tmp_path / "backup", secret_key=secret_key, clock=clock) as copy:
        of_copy = copy.create({"of": "copy"})
        assert copy.delete(token)
        of_store = store.create({"of": "store"})
        assert store.read(of_copy) is None
        assert copy.read(of_store) is None
        assert store.read(token) is not None
        copy.backup(tmp_path / "backup of the backup")
    with crudjt.open(tmp_path / "backup of the backup", secret_key=secret_key, clock=clock) as copy:
        assert copy.read(of_copy) is not None
        assert copy.stats().sessions == 1


def test_an_empty_store_can_be_backed_up(store: crudjt.Store, tmp_path: Path, secret_key: str) -> None:
    store.backup(tmp_path / "backup")
    with crudjt.open(tmp_path / "backup", secret_key=secret_key) as copy:
        assert copy.stats().sessions == 0
        assert copy.read(copy.create({"a": 1}))


def test_a_backup_keeps_max_size_and_the_keys(path: Path, tmp_path: Path) -> None:
    old, new = crudjt.generate_secret_key(), crudjt.generate_secret_key()
    with crudjt.open(path, secret_key=old, max_size=2 * 1024**2) as store:
        token = store.create({"key": "old"})
    with crudjt.open(path, secret_key=[old, new]) as store:
        store.backup(tmp_path / "backup")
    with crudjt.open(tmp_path / "backup", secret_key=[old, new]) as copy:
        assert copy.stats().max_size == 2 * 1024**2
        assert copy.read(token) is not None


def test_a_backup_is_for_its_owner_alone(store: crudjt.Store, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store.create({"a": 1})
        store.backup(tmp_path / "backup")
    finally:
        os.umask(old)
    target = tmp_path / "backup"
    for found in (target, *target.rglob("*")):
        assert found.stat().st_mode & 0o777 == (0o700 if found.is_dir() else 0o600), found


def test_a_backup_leaves_nothing_else_behind(store: crudjt.Store, path: Path, tmp_path: Path) -> None:
    store.create({"a": 1})
    store.sync()
    before = all_files(path)
    store.backup(tmp_path / "backup")
    assert all_files(path) == before
    assert sorted(found.name for found in tmp_path.iterdir()) == ["backup", "store"]


@pytest.mark.parametrize("kind", ["file", "directory with a file", "store itself", "file in the way", "no parent"])
def test_a_target_that_cannot_be_had_is_refused_and_left_alone(
    store: crudjt.Store, path: Path, tmp_path: Path, kind: str
) -> None:
    token = store.create({"a": 1})
    target = path if kind == "store itself" else tmp_path / "target"
    match kind:
        case "file":
            target.write_text("precious")
        case "directory with a file":
            target.mkdir()
            (target / "precious").write_text("precious")
        case "file in the way":
            target.write_text("precious")
            target /= "below"
        case "no parent":
            target = target / "not" / "there"
        case _:
            pass
    with pytest.raises(crudjt.StoreInaccessible) as caught:
        store.backup(target)
    assert caught.value.path == target
    contents = {found.name: found.read_text() for found in tmp_path.rglob("*precious*")}
    assert contents == ({"precious": "precious"} if kind == "directory with a file" else {})
    assert (tmp_path / "target").is_file() == (kind in ("file", "file in the way"))
    assert store.read(token) is not None
    assert not list(tmp_path.glob(".*"))


def test_an_empty_directory_is_a_good_target(store: crudjt.Store, tmp_path: Path, secret_key: str) -> None:
    token = store.create({"a": 1})
    (tmp_path / "backup").mkdir()
    store.backup(str(tmp_path / "backup"))
    with crudjt.open(tmp_path / "backup", secret_key=secret_key) as copy:
        assert copy.read(token) is not None


# While others write


def test_the_count_of_a_backup_is_that_of_its_sessions_though_one_begins_meanwhile(
    store: crudjt.Store, tmp_path: Path, secret_key: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create({"n": 1})
    snapshot = View.snapshot

    def late(view: View) -> Any:
        store.create({"n": 2})
        return snapshot(view)

    with monkeypatch.context() as patch:
        patch.setattr(View, "snapshot", late)
        store.backup(tmp_path / "backup")
    with crudjt.open(tmp_path / "backup", secret_key=secret_key, clock=clock) as copy:
        found = picture(copy)
        assert found.counted == len(found.stored)


def write_pairs(path: Path, secret_key: str, ready: Any, stop: Any, results: Any) -> None:
    """Create sessions two by two, and end them two by two."""
    pairs: list[list[str]] = []
    with crudjt.open(path, secret_key=secret_key) as store:
        ready.release()
        while not stop.is_set():
            pairs.append(store.create_many([{"side": "left"}, {"side": "right"}], subject=f"s{len(pairs)}"))
            if len(pairs) % 3 == 0:
                assert store.delete_many(pairs[len(pairs) // 3]) == 2
    results.put(pairs)


def back_up_often(path: Path, secret_key: str, directory: Path, times: int) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        for number in range(times):
            store.backup(directory / f"backup {number}")


@pytest.mark.slow
def test_backups_made_while_others_write_hold_transactions_entirely_or_not_at_all(
    path: Path, tmp_path: Path, secret_key: str
) -> None:
    ready, stop, results = fork.Semaphore(0), fork.Event(), fork.SimpleQueue()
    writers = [fork.Process(target=write_pairs, args=(path, secret_key, ready, stop, results)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for _ in writers:
        assert ready.acquire(timeout=30)
    in_child(back_up_often, path, secret_key, tmp_path, 8)
    stop.set()
    written = [results.get() for _ in writers]
    for writer in writers:
        writer.join(30)
        assert writer.exitcode == 0
    sizes = []
    for number in range(8):
        with crudjt.open(tmp_path / f"backup {number}", secret_key=secret_key) as copy:
            alive = 0
            for pairs in written:
                presence = [[copy.peek(token) is not None for token in pair] for pair in pairs]
                assert all(left == right for left, right in presence)
                # What one process did in order is there up to some moment, and nothing of it after.
                seen = [left for left, _ in presence]
                assert True not in seen[max((n for n, there in enumerate(seen) if there), default=0) + 1 :]
                alive += 2 * sum(seen)
            found = picture(copy)
            assert alive == found.counted == len([key for key in found.stored if key.startswith(b"t")])
            assert len(found.stored) == 2 * alive  # each with its subject entry
            sizes.append(alive)
    assert sizes[-1] > sizes[0]


def test_a_backup_below_a_directory_that_is_missing_says_so(store: crudjt.Store, tmp_path: Path) -> None:
    """It is not made: a disk for backups may not be mounted."""
    target = tmp_path / "missing" / "copy"
    with pytest.raises(crudjt.StoreInaccessible) as caught:
        store.backup(target)
    assert str(caught.value) == f"{target}: cannot be written: the directory above it is missing; make it"
    assert not target.parent.exists()


def test_a_backup_into_a_shared_directory_uses_no_name_that_others_can_guess(
    store: crudjt.Store, tmp_path: Path
) -> None:
    """There another user may have made a directory with links, under a name that contains the number of the process."""
    planted = tmp_path / f".copy.{os.getpid()}.tmp"
    (planted / "base").mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.write_text("keep")
    (planted / "base" / "base.tmp").symlink_to(precious)
    store.backup(tmp_path / "copy")
    assert precious.read_text() == "keep"
    assert (planted / "base" / "base.tmp").is_symlink()
    assert (tmp_path / "copy" / "manifest").is_file()
