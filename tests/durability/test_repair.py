"""A repair saves exactly what can be read, brings no deleted session back, and can die anywhere and be run again."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt import _filesystem
from crudjt._backends.embedded.doctor import repair
from crudjt._backends.embedded.doctor.check import examine
from tests.support.disks import (
    QUIET,
    Machine,
    all_files,
    bases,
    die_at_line,
    entries,
    exit_code_of_child,
    flip,
    in_child,
    segments,
)
from tests.support.embedded import compact
from tests.support.thorough import every

SIGKILLED = -9


class Small:
    """A closed store of a few sessions in a base and a few behind it, and what was acknowledged of them."""

    def __init__(self, path: Path, secret_key: str, *, compacted: bool) -> None:
        self.path = path
        self.secret_key = secret_key
        self.alive: dict[str, Any] = {}
        self.deleted: list[str] = []
        with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
            self.write(store)
            if compacted:
                assert compact(store)
                self.write(store)

    def write(self, store: crudjt.Store) -> None:
        """Create one session an entry, and end some."""
        for number in range(6):
            data = {"n": number, "x": "x" * (5000 if number == 4 else 5)}
            token = (
                store.create(data, subject="anna" if number % 2 else None) if number != 4 else self.large(store, data)
            )
            self.alive[token] = data
        gone = list(self.alive)[-1]
        assert store.delete(gone)
        del self.alive[gone]
        self.deleted.append(gone)

    @staticmethod
    def large(store: crudjt.Store, data: dict[str, Any]) -> str:
        """Create a session whose record takes pages of its own in a tree."""
        return store.create({**data, "x": data["x"][:3000]})

    def read(self) -> dict[str, Any]:
        """Return what the store gives now for every token that it ever gave out."""
        with crudjt.open(self.path, secret_key=self.secret_key) as store:
            found = {token: store.peek(token) for token in (*self.alive, *self.deleted)}
            listed = {session.id for session in store.sessions("anna")}
        assert listed == {session.id for session in found.values() if session and session.subject}
        return {token: session.data["n"] for token, session in found.items() if session}

    @property
    def expected(self) -> dict[str, Any]:
        return {token: data["n"] for token, data in self.alive.items()}

    def repaired(self) -> str:
        """Repair the store, see that it is healthy then, and return what the report says."""
        report = repair.repair(self.path)
        assert report.healthy
        assert examine(self.path).healthy
        return "\n".join(finding.text for finding in report.findings)


@pytest.fixture
def small(path: Path, secret_key: str, machine: Machine) -> Small:
    """Return a store that begins a new boot, so that its log and base are all there is."""
    store = Small(path, secret_key, compacted=True)
    machine.reboot()
    return store


@pytest.fixture
def only_log(path: Path, secret_key: str, machine: Machine) -> Small:
    store = Small(path, secret_key, compacted=False)
    machine.reboot()
    return store


def copy(small: Small, target: Path) -> Path:
    return Path(shutil.copytree(small.path, target, ignore=shutil.ignore_patterns("view", "control")))


def test_a_healthy_store_is_left_as_it_is(small: Small) -> None:
    before = all_files(small.path)
    assert "saved" not in small.repaired()
    assert all_files(small.path) == before


@pytest.mark.parametrize("place", ["length", "CRC", "sequence", "changes", "last byte"])
def test_a_changed_byte_costs_its_own_entry_and_no_other(only_log: Small, tmp_path: Path, place: str) -> None:
    """And a session whose end was lost with the entry is the only one that may be back."""
    whole = entries(segments(only_log.path)[0])
    tokens = [*only_log.alive, *only_log.deleted]
    original = only_log.path
    for position, entry in enumerate(whole):
        only_log.path = copy(only_log, tmp_path / f"{position}")
        offset = {"length": 0, "CRC": 5, "sequence": 9, "changes": 20, "last byte": entry.end - entry.offset - 1}[place]
        flip(segments(only_log.path)[0], entry.offset + offset, 0x01)
        text = only_log.repaired()
        lost = {tokens[position]} if position < len(tokens) else set()
        expected = {token: n for token, n in only_log.expected.items() if token not in lost}
        if position == len(tokens):  # the entry that deletes
            expected[only_log.deleted[0]] = 5
        assert only_log.read() == expected
        assert f"lost {entry.end - entry.offset:,} bytes" in text
        assert "may be as they were" in text
        only_log.path = original


def test_the_view_of_this_boot_saves_what_log_and_base_have_lost(path: Path, secret_key: str) -> None:
    small = Small(path, secret_key, compacted=True)
    for segment in segments(path):
        flip(segment, entries(segment)[1].offset + 20)
    bases(path)[0].unlink()
    assert "lost nothing" in small.repaired()
    assert small.read() == small.expected


def test_damaged_files_are_kept_aside(small: Small) -> None:
    segment = segments(small.path)[-1]
    flip(segment, entries(segment)[0].offset + 20)
    damaged = segment.read_bytes()
    small.repaired()
    small.read()
    assert not segment.exists()
    (kept,) = small.path.glob("damaged-*/*")
    assert kept.read_bytes() == damaged


def test_a_second_repair_changes_nothing(small: Small) -> None:
    bases(small.path)[0].unlink()
    small.repaired()
    before = all_files(small.path)
    assert "saved" not in small.repaired()
    assert all_files(small.path) == before


def test_a_missing_base_costs_what_it_held(small: Small) -> None:
    bases(small.path)[0].unlink()
    assert "lost 5 of the 5 sessions of the base" in small.repaired()
    assert list(small.read().values()) == [0, 1, 2, 3, 4]
    assert small.read().items() <= small.expected.items()


def test_a_base_with_a_damaged_page_gives_its_other_pages(small: Small, path: Path) -> None:
    """A page is found without the branch above it, and large records lie in pages of their own."""
    (base,) = bases(path)
    saved = []
    content = base.read_bytes()
    for page in range(len(content) // 4096):
        target = copy(small, path.with_name(f"page-{page}"))
        flip(bases(target)[0], page * 4096)
        small.path, original = target, small.path
        small.repaired()
        found = small.read()
        small.path = original
        assert found.items() <= small.expected.items()
        saved.append(len(found))
    assert max(saved) == len(small.expected)  # a meta page or a branch costs nothing
    assert 5 in saved  # the only leaf costs what the base held


@pytest.mark.parametrize("content", [None, b"", b"nothing of the kind"])
def test_the_manifest_is_made_again_from_the_segments(small: Small, content: bytes | None) -> None:
    if content is None:
        (small.path / "manifest").unlink()
    else:
        (small.path / "manifest").write_bytes(content)
    assert "lost nothing" in small.repaired()
    assert small.read() == small.expected


def test_a_segment_whose_header_is_damaged_twice_is_read_all_the_same(only_log: Small) -> None:
    segment = segments(only_log.path)[0]
    flip(segment, 20)
    flip(segment, 2048 + 30)
    only_log.repaired()
    assert only_log.read() == only_log.expected


def test_a_missing_middle_segment_costs_its_entries_and_no_deleted_session_comes_back(
    path: Path, secret_key: str, machine: Machine
) -> None:
    tokens: list[list[str]] = []
    for _ in range(3):
        with crudjt.open(path, secret_key=secret_key) as store:
            tokens.append([store.create({"n": n}) for n in range(4)])
            if len(tokens) > 2:
                assert store.delete(tokens[0][0])
                assert store.delete(tokens[1][0])
        machine.reboot()
    segments(path)[1].unlink()
    report = repair.repair(path)
    assert report.healthy
    with crudjt.open(path, secret_key=secret_key) as store:
        alive = [[store.peek(token) is not None for token in each] for each in tokens]
    assert alive == [[False, True, True, True], [False] * 4, [True] * 4]


@pytest.mark.slow
def test_a_store_that_is_open_is_not_repaired(store: crudjt.Store, path: Path) -> None:
    with pytest.raises(crudjt.StoreBusy):
        repair.repair(path)


def test_nothing_is_repaired_without_any_sign_of_whose_store_it_is(small: Small) -> None:
    for path in (small.path / "manifest", *segments(small.path)):
        path.write_bytes(b"")
    before = all_files(small.path)
    with pytest.raises(crudjt.StoreCorrupt):
        repair.repair(small.path)
    assert all_files(small.path) == before


def test_a_full_disk_loses_nothing(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = segments(small.path)[-1]
    flip(segment, entries(segment)[0].offset + 20)
    before = all_files(small.path)
    with monkeypatch.context() as patch:
        patch.setattr(_filesystem, "free_bytes", lambda _path: 0)
        with pytest.raises(crudjt.StoreFull):
            repair.repair(small.path)
    assert all_files(small.path) == before
    small.repaired()


def damage_entry(path: Path) -> None:
    segment = segments(path)[-1]
    flip(segment, entries(segment)[0].offset + 20)


def damage_manifest(path: Path) -> None:
    (path / "manifest").write_bytes(b"")


@pytest.mark.slow
@every(3, long=1)
@pytest.mark.parametrize("damage", [damage_entry, damage_manifest], ids=["entry", "manifest"])
def test_a_repair_that_dies_anywhere_can_be_run_again(
    small: Small, tmp_path: Path, damage: Callable[[Path], None], step: int
) -> None:
    damage(small.path)
    modules = [repair]
    whole = copy(small, tmp_path / "whole")
    lines = in_child(die_at_line, modules, -1, repair.repair, whole)
    small.path, original = whole, small.path
    expected = small.read()
    assert len(expected) >= len(small.expected) - 1
    for number in range(1, lines + 1, max(lines // 40, 1) * step):
        small.path = (
            copy(small, tmp_path / f"{number}")
            if small.path is original
            else Path(
                shutil.copytree(original, tmp_path / f"{number}", ignore=shutil.ignore_patterns("view", "control"))
            )
        )
        assert exit_code_of_child(die_at_line, modules, number, repair.repair, small.path) == SIGKILLED
        small.repaired()
        assert small.read() == expected, number
        shutil.rmtree(small.path)
