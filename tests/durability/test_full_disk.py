"""A disk that fills up: StoreFull, no signal, nothing lost, and work goes on when there is space again.

Everything happens in processes of their own, so that one that dies of SIGBUS is seen to.
"""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import crudjt
from crudjt import _filesystem
from crudjt._backends.embedded.engine.mmap_writer import MappedSegmentWriter
from crudjt._filesystem import host
from crudjt.testing import FakeClock
from tests.support.disks import MIB, QUIET, Machine, Picture, all_files, fill, in_child, picture, segments, small_disk
from tests.support.embedded import compact, engine_of

pytestmark = pytest.mark.slow

# What tmpfs refuses, ext4 refuses as well.
DISKS = ("ext4", pytest.param("tmpfs", marks=pytest.mark.long))
DISK_BYTES = 56 * MIB
MANY = 200_000  # more operations than fit on any of the disks


class Filled(NamedTuple):
    """What a process saw that filled the disk, and went on."""

    tokens: dict[str, Any]  # of sessions that are alive, as acknowledged, and their data
    refused: int
    deleted: list[str]
    last: Picture


def fill_up(path: Path, secret_key: str, payload: int, batch: int) -> Filled:
    """Create sessions until the disk is full, try everything there, make room, and go on."""
    ballast = fill(path.parent, leave=28 * MIB)
    refused = 0
    deleted: list[str] = []
    tokens: dict[str, Any] = {}
    with crudjt.open(path, secret_key=secret_key, max_data_bytes=2 * MIB, sync_interval=0.02) as store:

        def attempt(call: Callable[[], object]) -> bool:
            """Make a call; where it is refused, nothing at all may have changed."""
            nonlocal refused
            before = picture(store)
            try:
                call()
            except crudjt.StoreFull as error:
                assert "full" in str(error)
                assert picture(store) == before
                refused += 1
                return False
            return True

        def create(number: int) -> None:
            # The first of the batch is small: what there is room for has to be reckoned from all of them.
            data: list[dict[str, Any]] = [{"n": number}]
            data += [{"n": number, "i": i, "x": "x" * payload} for i in range(1, batch)]
            tokens.update(zip(store.create_many(data, subject=f"s{number % 7}"), data, strict=True))

        for number in range(MANY):
            try:
                create(number)
            except crudjt.StoreFull:
                break
        else:
            raise AssertionError("the disk did not fill up")

        fill(path.parent)
        first, *others = list(tokens)
        for number in range(10):
            attempt(lambda number=number: create(number))  # type: ignore[misc] # mypy does not infer lambdas with defaults
            token = others.pop()
            if attempt(lambda token=token: store.delete(token)):  # type: ignore[misc] # as above
                deleted.append(token)
                del tokens[token]
            if attempt(lambda number=number: store.update(first, {"updated": number})):  # type: ignore[misc] # as above
                tokens[first] = {"updated": number}
            attempt(lambda: store.touch(first, ttl=1000))
            attempt(store.sweep)
        assert refused
        assert {token: read(store, token) for token in tokens} == tokens

        ballast.unlink()
        for number in range(2):
            create(number)
        for _ in range(min(10, len(others))):
            token = others.pop()
            assert store.delete(token)
            deleted.append(token)
            del tokens[token]
        assert store.update(first, {"updated": "at last"})
        tokens[first] = {"updated": "at last"}
        return Filled(tokens, refused, deleted, picture(store))


def read(store: crudjt.Store, token: str) -> Any:
    session = store.read(token)
    return session and session.data


def look(path: Path, secret_key: str, filled: Filled) -> None:
    """Check that a store is what the process left."""
    with crudjt.open(path, secret_key=secret_key, max_data_bytes=2 * MIB) as store:
        assert picture(store) == filled.last
        assert {token: read(store, token) for token in filled.tokens} == filled.tokens
        assert [read(store, token) for token in filled.deleted] == [None] * len(filled.deleted)
        assert store.stats().sessions == len(filled.tokens)


@pytest.mark.root
@pytest.mark.parametrize("kind", DISKS)
@pytest.mark.parametrize(("payload", "batch"), [(1000, 2), (10_000, 4), (MIB, 2)])
def test_a_disk_that_the_store_fills_is_store_full_and_work_goes_on_when_there_is_space_again(
    secret_key: str, machine: Machine, kind: str, payload: int, batch: int
) -> None:
    with small_disk(kind, DISK_BYTES) as disk:
        filled = in_child(fill_up, disk / "store", secret_key, payload, batch)
        in_child(look, disk / "store", secret_key, filled)
        machine.reboot()
        in_child(look, disk / "store", secret_key, filled)


@pytest.mark.root
@pytest.mark.parametrize("kind", DISKS)
@pytest.mark.parametrize("payload", [pytest.param(400, marks=pytest.mark.long), 5000])
def test_where_blocks_are_not_allocated_ahead_a_full_disk_is_store_full_all_the_same(
    secret_key: str, machine: Machine, monkeypatch: pytest.MonkeyPatch, kind: str, payload: int
) -> None:
    monkeypatch.setattr(host, "PREALLOCATING_FILE_SYSTEMS", frozenset())
    with small_disk(kind, DISK_BYTES) as disk:
        filled = in_child(fill_up, disk / "store", secret_key, payload, 3)
        in_child(look, disk / "store", secret_key, filled)
        machine.reboot()
        in_child(look, disk / "store", secret_key, filled)


def write_much_at_once(path: Path, secret_key: str, batch: int, size: int) -> None:
    """Make one transaction of a size that nothing before it led to expect, with no room on the disk."""
    with crudjt.open(path, secret_key=secret_key, max_data_bytes=16 * MIB) as store:
        token = store.create({"n": 0})
        small = store.create_many([{"small": n} for n in range(batch)])
        before = picture(store)
        fill(path.parent)
        data: list[dict[str, Any]] = [{"small": 0}, *({"x": "x" * size} for _ in range(1, batch))]
        with pytest.raises(crudjt.StoreFull):
            store.create_many(data)
        with pytest.raises(crudjt.StoreFull):
            store.create_many(reversed(data))
        with pytest.raises(crudjt.StoreFull):
            store.update(small[0], {"x": "x" * 4 * MIB})
        assert picture(store) == before
        assert store.read(token)


@pytest.mark.parametrize(("batch", "size"), [(2, 15 * MIB), (4, 5 * MIB), (5, 4 * MIB), (3000, 5000)])
@pytest.mark.root
@pytest.mark.parametrize("kind", DISKS)
def test_a_large_transaction_on_a_full_disk_is_store_full_however_it_begins(
    secret_key: str, kind: str, batch: int, size: int
) -> None:
    with small_disk(kind, DISK_BYTES) as disk:
        in_child(write_much_at_once, disk / "store", secret_key, batch, size)


def use_while_others_fill(path: Path, secret_key: str) -> tuple[list[str], int, int]:
    """Write while another file takes the disk, bit by bit, and gives it back."""
    acknowledged: list[str] = []
    refused = 0
    with crudjt.open(path, secret_key=secret_key, sync_interval=0.01) as store:
        for round_ in range(40):
            if round_ % 10 == 5:
                ballast = fill(path.parent)
            if round_ % 10 == 9:
                ballast.unlink()
            for n in range(200):
                try:
                    acknowledged.append(store.create({"n": n, "x": "x" * 500}))
                except crudjt.StoreFull:
                    refused += 1
            assert all(store.read(token) for token in acknowledged[-50:])
            assert store.stats().sessions == len(acknowledged)
    return acknowledged, refused, len(acknowledged)


@pytest.mark.parametrize("preallocates", [True, False])
@pytest.mark.root
@pytest.mark.parametrize("kind", DISKS)
def test_a_disk_that_others_fill_and_empty_loses_nothing(
    secret_key: str, machine: Machine, monkeypatch: pytest.MonkeyPatch, kind: str, preallocates: bool
) -> None:
    if not preallocates:
        monkeypatch.setattr(host, "PREALLOCATING_FILE_SYSTEMS", frozenset())
    with small_disk(kind, DISK_BYTES) as disk:
        acknowledged, refused, count = in_child(use_while_others_fill, disk / "store", secret_key)
        assert refused > 100
        assert count > 1000
        machine.reboot()
        in_child(all_alive, disk / "store", secret_key, acknowledged)


def all_alive(path: Path, secret_key: str, tokens: list[str]) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        assert all(store.read(token) for token in tokens)
        assert store.stats().sessions == len(tokens)


def an_operation_that_was_refused(path: Path, secret_key: str) -> list[str]:
    """Fill the disk to the last byte, and end right after the first refusal: nobody writes after it."""
    acknowledged: list[str] = []
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        acknowledged.append(store.create({"n": 0}))
        fill(path.parent)
        for n in range(MANY):
            try:
                acknowledged.append(store.create({"n": n}))
            except crudjt.StoreFull:
                break
    return acknowledged


@pytest.mark.parametrize("preallocates", [True, False])
@pytest.mark.root
@pytest.mark.parametrize("kind", DISKS)
def test_an_operation_that_was_refused_does_not_come_back_at_the_next_boot(
    secret_key: str, machine: Machine, monkeypatch: pytest.MonkeyPatch, kind: str, preallocates: bool
) -> None:
    if not preallocates:
        monkeypatch.setattr(host, "PREALLOCATING_FILE_SYSTEMS", frozenset())
    with small_disk(kind, DISK_BYTES) as disk:
        acknowledged = in_child(an_operation_that_was_refused, disk / "store", secret_key)
        (disk / "ballast").unlink()
        machine.reboot()
        in_child(all_alive, disk / "store", secret_key, acknowledged)


# Sessions can be ended


def fill_with_sessions(store: crudjt.Store, disk: Path) -> Path:
    """Take the last block of the disk, and all that the store has allocated ahead for what begins sessions."""
    ballast = fill(disk)
    for size in (3000, 300, 10):
        for _ in range(MANY):
            try:
                store.create({"pad": "y" * size})
            except crudjt.StoreFull:
                break
    return ballast


def update_until_full(store: crudjt.Store, tokens: list[str]) -> None:
    """Take all pages of the view that are allocated ahead for what ends no session."""
    with pytest.raises(crudjt.StoreFull, match="full"):  # noqa: PT012 - which update it is depends on the disk
        for n in range(MANY):
            store.update(tokens[n % len(tokens)], {"n": n})


def end_sessions_during_a_backup(path: Path, secret_key: str) -> None:
    """End sessions while a snapshot is held: no page that is freed can be used again."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        lists = [store.create_many({"n": n, "x": "x" * 800} for n in range(40)) for _ in range(300)]
        fill(path.parent)
        with engine_of(store).view.snapshot():
            update_until_full(store, [tokens[0] for tokens in lists])
            assert all(store.delete(tokens[1]) for tokens in lists[:30])
        assert store.delete_many(tokens[2] for tokens in lists) == 300
        assert store.stats().sessions == 300 * 40 - 330


@pytest.mark.root
@pytest.mark.parametrize("kind", DISKS)
def test_sessions_can_be_ended_on_a_full_disk_during_a_backup(secret_key: str, kind: str) -> None:
    with small_disk(kind, DISK_BYTES) as disk:
        in_child(end_sessions_during_a_backup, disk / "store", secret_key)


class Ended(NamedTuple):
    """The tokens of sessions that must have ended, and of one that must not have."""

    tokens: list[str]
    alive: str


def end_sessions(path: Path, secret_key: str) -> Ended:
    """End sessions on a full disk, in each way there is, make room, and do it again."""
    ended: list[str] = []
    with crudjt.open(path, secret_key=secret_key) as store:
        kept = store.create({"kept": 1})
        # Each list lies at one place of the tree.
        others = [store.create_many({"n": n, "x": "x" * 800} for n in range(40)) for _ in range(300)]
        for turn in range(2):
            alice = store.create_many(({"n": n} for n in range(1000)), subject="alice")
            many = [tokens[turn + 10] for tokens in others] * 2 + [tokens[turn + 20] for tokens in others]
            ballast = fill_with_sessions(store, path.parent)
            for tokens in others[:20]:
                assert store.delete(tokens[turn])
            session = store.peek(others[0][turn + 2])
            assert session is not None
            assert store.revoke_id(session.id)
            for _ in range(20):
                old, kept = kept, str(store.rotate(kept))
                ended.append(old)
            assert store.delete_many(many) == 600
            assert store.revoke("alice") == 1000
            with pytest.raises(crudjt.StoreFull):
                store.create({"n": 1})
            ended += [*alice, *many, *(tokens[turn] for tokens in others[:20]), others[0][turn + 2]]
            ballast.unlink()
        fill_with_sessions(store, path.parent)
    return Ended(ended, kept)


def end_one_more(path: Path, secret_key: str, before: Ended) -> Ended:
    """As another process, which comes to a disk that is full."""
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.delete(before.alive)
    return before


def have_ended(path: Path, secret_key: str, ended: Ended) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        assert [store.peek(token) for token in (*ended.tokens, ended.alive)] == [None] * (len(ended.tokens) + 1)
        assert list(store.sessions("alice")) == []


@pytest.mark.root
@pytest.mark.parametrize("kind", DISKS)
def test_sessions_can_be_ended_on_a_disk_that_is_full_to_the_last_block(
    secret_key: str, machine: Machine, kind: str
) -> None:
    """One, all of a subject, and more at once than there is room for in one transaction; again after each filling."""
    with small_disk(kind, DISK_BYTES) as disk:
        ended = in_child(end_one_more, disk / "store", secret_key, in_child(end_sessions, disk / "store", secret_key))
        in_child(have_ended, disk / "store", secret_key, ended)
        (disk / "ballast").unlink()
        machine.reboot()
        in_child(have_ended, disk / "store", secret_key, ended)


def sweep_and_rotate(path: Path, secret_key: str) -> None:
    clock = FakeClock()
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        store.create_many(({"n": n} for n in range(2000)), ttl=10)
        kept, *others = store.create_many({"n": n} for n in range(50))
        fill_with_sessions(store, path.parent)
        clock.advance(10)
        with pytest.raises(crudjt.StoreFull):
            store.sweep()
        with contextlib.suppress(crudjt.StoreFull):
            for _ in range(MANY):
                kept = str(store.rotate(kept))
        assert all(store.delete(token) for token in (kept, *others))


@pytest.mark.root
@pytest.mark.parametrize("kind", DISKS)
def test_neither_a_sweep_nor_rotations_use_up_what_log_outs_need(secret_key: str, kind: str) -> None:
    with small_disk(kind, DISK_BYTES) as disk:
        in_child(sweep_and_rotate, disk / "store", secret_key)


# Opening with little room


def open_with_little_room(path: Path, secret_key: str, leave: int) -> str:
    """Try to open a store with only so much room; say how it went."""
    ballast = fill(path.parent, leave=leave)
    try:
        with crudjt.open(path, secret_key=secret_key) as store:
            store.create({"room": leave})
            return "opened"
    except crudjt.StoreFull:
        return "full"
    finally:
        ballast.unlink()


# In pages: nothing; around what the lock file takes; around the control block; around the first blocks of the view.
LITTLE_ROOM = [*range(0, 30, 10), *range(30, 50, 4), *range(50, 350, 100), 1000, 2000, 2400, 3500, 10_000]


@pytest.mark.root
@pytest.mark.parametrize("kind", DISKS)
def test_a_store_made_on_a_full_disk_is_store_full_and_can_be_made_later(secret_key: str, kind: str) -> None:
    results = []
    with small_disk(kind, DISK_BYTES) as disk:
        for pages in LITTLE_ROOM:
            path = disk / f"store {pages}"
            results.append(in_child(open_with_little_room, path, secret_key, pages * _filesystem.BLOCK_BYTES))
            assert in_child(open_with_little_room, path, secret_key, 40 * MIB) == "opened", pages
            _filesystem.remove_tree(path)
    assert results[0] == "full"
    assert results[-1] == "opened"


def prepare(path: Path, secret_key: str, base: bool) -> list[str]:
    with crudjt.open(path, secret_key=secret_key) as store:
        tokens = store.create_many([{"n": n, "x": "x" * 500} for n in range(200)])
        if base:
            assert compact(store)
    return tokens


@pytest.mark.parametrize("base", [True, False])
@pytest.mark.root
@pytest.mark.parametrize("kind", DISKS)
def test_a_rebuild_on_a_full_disk_is_store_full_and_loses_nothing(
    secret_key: str, machine: Machine, kind: str, base: bool
) -> None:
    results = []
    with small_disk(kind, DISK_BYTES) as disk:
        tokens = in_child(prepare, disk / "store", secret_key, base)
        for pages in LITTLE_ROOM:
            machine.reboot()
            _filesystem.remove_tree(disk / "store" / "view")
            (disk / "store" / "control").unlink(missing_ok=True)
            results.append(in_child(open_with_little_room, disk / "store", secret_key, pages * _filesystem.BLOCK_BYTES))
        assert results[0] == "full"
        assert results[-1] == "opened"
        machine.reboot()
        with_room = in_child(alive, disk / "store", secret_key, tokens)
        assert with_room == len(tokens)


def alive(path: Path, secret_key: str, tokens: list[str]) -> int:
    with crudjt.open(path, secret_key=secret_key) as store:
        return sum(store.read(token) is not None for token in tokens)


def fill_twice(path: Path, secret_key: str, size: int) -> int:
    with crudjt.open(path, secret_key=secret_key, max_data_bytes=2 * MIB) as store:
        for n in range(size):
            store.create({"n": n, "x": "x" * MIB})
        assert compact(store)
        return store.stats().view_bytes


@pytest.mark.root
def test_a_store_opens_after_a_boot_where_its_snapshot_and_its_view_just_fit(secret_key: str, machine: Machine) -> None:
    """The view of the boot before takes as much as the new one: what fitted before the boot fits after it."""
    with small_disk("tmpfs", 100 * MIB) as disk:
        path = disk / "store"
        size = in_child(fill_twice, path, secret_key, 20)
        assert size > 20 * MIB
        fill(disk, leave=2 * MIB)
        machine.reboot()
        assert in_child(count, path, secret_key) == 20


def count(path: Path, secret_key: str) -> int:
    with crudjt.open(path, secret_key=secret_key) as store:
        return store.stats().sessions


# Maintenance with little room


def maintain_with_little_room(path: Path, secret_key: str, what: str, leave: int) -> tuple[str, int]:
    """Try to compact or to back up with only so much room; what is refused must leave nothing behind."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        store.sync()
        before = (picture(store), all_files(path))
        ballast = fill(path.parent, leave=leave)
        names = sorted(path.parent.rglob("*"))
        try:
            if what == "compact":
                assert compact(store)
            else:
                store.backup(path.parent / "backup")
        except crudjt.StoreFull:
            left = _filesystem.free_bytes(path.parent)
            begun = {path / "log" / segment.name for segment in segments(path)} - set(names)
            assert len(begun) <= 1  # the next segment may have begun; it is a page, and in use
            assert sorted(set(path.parent.rglob("*")) - set(names) - begun) == []
            ballast.unlink()
            assert picture(store) == before[0]
            assert all(all_files(path)[name][4096:] == content[4096:] for name, content in before[1].items())
            assert store.read(store.create({"after": 1}))
            return "full", leave - left
        ballast.unlink()
        assert picture(store) == before[0]
        assert store.read(store.create({"after": 1}))
        return "done", 0


@pytest.mark.root
@pytest.mark.parametrize("kind", DISKS)
@pytest.mark.parametrize("what", ["compact", "backup"])
def test_maintenance_on_a_full_disk_is_store_full_and_changes_nothing(
    secret_key: str, machine: Machine, kind: str, what: str
) -> None:
    """With room for nothing, for part of the copy, for the copy and not for what follows it, and for all."""
    results = []
    with small_disk(kind, DISK_BYTES) as disk:
        path = disk / "store"
        in_child(prepare, path, secret_key, False)
        for pages in (*range(0, 40, 8), *range(40, 75, 2), *range(75, 200, 50)):
            result, kept = in_child(maintain_with_little_room, path, secret_key, what, pages * _filesystem.BLOCK_BYTES)
            assert kept <= 4 * _filesystem.BLOCK_BYTES, pages
            results.append(result)
            _filesystem.remove_tree(disk / "backup")
        assert {results[0], results[-1]} == {"full", "done"}
        before = in_child(count, path, secret_key)
        machine.reboot()
        assert in_child(count, path, secret_key) == before


# The limit of the store's own


def fill_max_size(path: Path, secret_key: str, payload: int) -> tuple[list[str], Picture]:
    refused = 0
    with crudjt.open(path, secret_key=secret_key, max_size=MIB, max_data_bytes=MIB) as store:
        tokens: list[str] = []
        for n in range(MANY):
            try:
                tokens.append(store.create({"n": n, "x": "x" * payload}, subject="anna"))
            except crudjt.StoreFull as error:
                assert "max_size" in str(error)
                refused += 1
                if refused == 5:
                    break
        assert refused == 5
        assert all(store.read(token) for token in tokens)
        assert store.stats().sessions == len(tokens) == len(list(store.sessions("anna")))
        return tokens, picture(store)


def go_on(path: Path, secret_key: str, tokens: list[str]) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        ended = max(10, len(tokens) // 20)  # those of some pages: space is counted in pages
        for token in tokens[:ended]:
            assert store.delete(token)
        assert store.create({"n": 1}, subject="anna")
        assert store.stats().sessions == len(tokens) - ended + 1


@pytest.mark.parametrize("payload", [10, 1000, 5000, 60_000])
@pytest.mark.parametrize("preallocates", [True, False])
def test_a_store_that_has_reached_max_size_is_store_full_and_goes_on_after_deletes(
    path: Path, secret_key: str, machine: Machine, monkeypatch: pytest.MonkeyPatch, payload: int, preallocates: bool
) -> None:
    if not preallocates:
        monkeypatch.setattr(host, "PREALLOCATING_FILE_SYSTEMS", frozenset())
    tokens, last = in_child(fill_max_size, path, secret_key, payload)
    machine.reboot()
    with crudjt.open(path, secret_key=secret_key) as store:
        assert picture(store) == last
    in_child(go_on, path, secret_key, tokens)


def test_a_full_store_goes_on_when_it_is_opened_with_a_larger_max_size(path: Path, secret_key: str) -> None:
    tokens, _ = in_child(fill_max_size, path, secret_key, 100)
    with crudjt.open(path, secret_key=secret_key, max_size=8 * MIB) as store:
        assert store.create_many([{"n": n} for n in range(100)])
        assert all(store.read(token) for token in tokens)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_way_of_the_system_to_say_full_is_store_full(
    store: crudjt.Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A full disk, a used-up quota, and a limit on the size of files (RLIMIT_FSIZE)."""
    before = picture(store)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(_filesystem, "allocate", refuse)
        patch.setattr(_filesystem, "write_at", refuse)
        with pytest.raises(crudjt.StoreFull):
            store.create({"a": 1})
    assert picture(store) == before
    assert store.create({"a": 1})


def test_a_read_that_finds_no_room_to_extend_an_idle_timeout_is_answered(
    store: crudjt.Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline stays as it was. A read that has to be counted is refused."""
    idle, counted, plain = store.create({"n": 1}, idle=100), store.create({"n": 2}, max_reads=5), store.create({"n": 3})
    clock.advance(60)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(MappedSegmentWriter, "append", refuse)
        for _ in range(2):
            session = store.read(idle)
            assert session is not None
            assert session.data == {"n": 1}
            found = store.read_many([idle, plain])
            assert [session and session.data for session in found] == [{"n": 1}, {"n": 3}]
        with pytest.raises(crudjt.StoreFull):
            store.read(counted)
        with pytest.raises(crudjt.StoreFull):
            store.read_many([idle, counted])
    clock.advance(39)
    assert store.peek(idle)
    clock.advance(1)
    assert store.peek(idle) is None
    session = store.read(counted)
    assert session is not None
    assert session.reads_left == 4
