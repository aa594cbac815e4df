"""The placement key outlives secret keys, copies and repairs; stores from before it get one when they are opened."""

import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import crudjt
from crudjt._backends.embedded.doctor import repair
from crudjt._backends.embedded.engine import known_keys, manifest
from crudjt._backends.embedded.engine.maintenance_lock import exclusively
from tests.support.disks import Machine, entries, flip, fork, in_child, segments
from tests.support.embedded import engine_of

SUBJECTS = [f"user {number}" for number in range(8)]


def places(path: Path, secret_key: str | list[str]) -> list[str]:
    """Create a session of each subject and return their places: equal lists come from one placement key."""
    with crudjt.open(path, secret_key=secret_key) as store:
        tokens = [store.create({}, subject=subject) for subject in SUBJECTS]
        sessions = [store.read(token) for token in tokens]
    return [session.id[16:20] for session in sessions if session]


def test_it_stays_when_a_store_is_opened_again_after_a_boot(path: Path, secret_key: str, machine: Machine) -> None:
    before = places(path, secret_key)
    assert places(path, secret_key) == before
    machine.reboot()
    assert places(path, secret_key) == before


def test_every_process_finds_the_same_though_all_make_the_store_at_once(path: Path, secret_key: str) -> None:
    found, start = fork.SimpleQueue(), fork.Barrier(4)

    def run() -> None:
        start.wait()
        found.put(places(path, secret_key))

    processes = [fork.Process(target=run) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len({tuple(found.get()) for _ in processes}) == 1


def test_the_first_session_with_a_new_secret_key_adds_its_copy(path: Path, secret_key: str) -> None:
    before = places(path, secret_key)
    new = crudjt.generate_secret_key()
    assert places(path, [secret_key, new]) == before
    assert len(manifest.load(path).placement) == 2
    assert places(path, new) == before


def test_a_ring_that_shares_no_key_with_the_store_gets_a_placement_key_of_its_own(path: Path, secret_key: str) -> None:
    before, other = places(path, secret_key), crudjt.generate_secret_key()
    of_other = places(path, other)
    assert of_other != before
    assert places(path, other) == of_other
    assert places(path, secret_key) == before
    assert places(path, [secret_key, other]) == of_other


def test_a_store_from_before_placement_keys_gets_one_and_its_sessions_live_on(path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({"n": 1}, subject="ada")
    without_placement(path)
    before = places(path, secret_key)
    assert places(path, secret_key) == before
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.rotate(token)
        assert store.revoke("ada") == 1


def without_placement(path: Path) -> None:
    """Write the manifest as versions before the field did."""
    fields = msgspec.json.decode((path / manifest.NAME).read_bytes().partition(b"\n")[0])
    del fields["placement"]
    body = msgspec.json.encode(fields)
    (path / manifest.NAME).write_bytes(body + b"\n%08x\n" % zlib.crc32(body))


@pytest.mark.parametrize("spoil", [lambda copy: "00" + copy[2:], lambda _copy: "", lambda _copy: "no hexadecimal"])
def test_a_copy_that_does_not_open_counts_as_missing(path: Path, secret_key: str, spoil: Callable[[str], str]) -> None:
    before, new = places(path, secret_key), crudjt.generate_secret_key()
    assert places(path, [secret_key, new]) == before
    found = manifest.load(path)
    first, second = found.placement
    msgspec.structs.replace(found, placement=found.placement | {first: spoil(found.placement[first])}).save(path)
    assert places(path, [secret_key, new]) == before
    again = places(path, secret_key)
    assert places(path, secret_key) == again
    assert manifest.load(path).placement[second] == found.placement[second]


def test_a_backup_has_it_too(path: Path, tmp_path: Path, secret_key: str) -> None:
    before = places(path, secret_key)
    with crudjt.open(path, secret_key=secret_key) as store:
        store.backup(tmp_path / "backup")
    assert places(tmp_path / "backup", secret_key) == before


def test_a_repair_keeps_it(path: Path, secret_key: str) -> None:
    before = places(path, secret_key)
    log = segments(path)[-1]
    flip(log, entries(log)[1].offset + 20)
    assert repair.repair(path)
    assert places(path, secret_key) == before


def test_an_opening_goes_on_without_it_while_another_process_holds_the_manifest(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long compaction must not keep a process from starting; the next opening adds what is missing."""
    monkeypatch.setattr(known_keys, "_WAIT_SECONDS", 0.05)
    before = places(path, secret_key)
    without_placement(path)
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create({})  # adds one
        assert manifest.load(path).placement
        without_placement(path)
        with exclusively(engine_of(store)) as alone:
            assert alone
            assert len(in_child(lambda: places(path, secret_key))) == len(before)
            assert not manifest.load(path).placement
    after = places(path, secret_key)
    assert places(path, secret_key) == after
