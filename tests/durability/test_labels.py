"""Labels outlive what a store goes through, and the index entries of each are exact."""

from pathlib import Path

import pytest

import crudjt
from crudjt._backends.embedded.doctor.check import examine
from crudjt._core.changes import LABEL
from crudjt.testing import FakeClock
from tests.support.disks import QUIET, Machine, spoil_view
from tests.support.embedded import changing_the_view, compact, engine_of

CLIENT = crudjt.Client("192.0.2.1", "curl/8.0")


def filed(store: crudjt.Store) -> int:
    """Return how many index entries of labels there are."""
    return len(engine_of(store).endings(LABEL, LABEL, 1000))


def live(store: crudjt.Store) -> list[str]:
    """Begin, change and end sessions in every way; return the tokens of the two that are alive."""
    ended = [store.create({}, subject="anna", labels=("x", f"n:{number}")) for number in range(8)]
    assert store.delete(ended[0])
    assert store.delete_many(ended[1:3]) == 2
    assert store.revoke("anna") == 5
    once, brief = store.create({}, max_reads=1, labels=("x",)), store.create({}, 1, labels=("x",))
    assert store.read(once) is not None
    assert store.rotate(brief, labels=()) is not None
    first = store.create({"n": 1}, labels=("x", "y"), client=CLIENT)
    assert store.update(first, {"n": 2})
    rotated = store.rotate(first, labels=("y", "z"), subject="ben")
    assert rotated is not None
    return [rotated, store.create({"n": 3}, labels=tuple("abcdefgh"))]


def assert_as_left(store: crudjt.Store, tokens: list[str]) -> None:
    sessions = [store.peek(token) for token in tokens]
    assert [session and (session.data, session.labels, session.client) for session in sessions] == [
        ({"n": 2}, ("y", "z"), CLIENT),
        ({"n": 3}, tuple("abcdefgh"), None),
    ]
    assert filed(store) == 10
    assert store.revoke(label="x") == 0
    assert store.revoke("anna", label="y") == 0


def test_an_ended_session_leaves_no_entry(path: Path, secret_key: str, clock: FakeClock) -> None:
    """However it ends; also in the sweep."""
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        tokens = live(store)
        assert_as_left(store, tokens)
        swept = [store.create({}, 1, labels=("x", "y")) for _ in range(20)]
        clock.advance(2)
        assert store.sweep() == 21  # with one of `live`
        assert store.peek(swept[0]) is None
        assert_as_left(store, tokens)
        assert store.delete_many(tokens) == 2
        assert filed(store) == 0


@pytest.mark.slow
@pytest.mark.parametrize("compacted", [False, True])
def test_labels_are_filed_again_after_a_boot(path: Path, secret_key: str, machine: Machine, compacted: bool) -> None:
    """From the log alone, or from a base and the log behind it, in which sessions of the base end."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        early = [store.create({}, labels=("early", "x")) for _ in range(3)]
        if compacted:
            assert compact(store)
        assert store.delete(early[0])
        assert store.revoke(label="early") == 2
        tokens = live(store)
    machine.reboot()
    spoil_view(path)
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        assert_as_left(store, tokens)
        assert store.revoke(label="z") == 1
        assert store.peek(tokens[0]) is None
    assert examine(path).healthy


@pytest.mark.slow
def test_a_copy_has_its_labels(path: Path, secret_key: str, tmp_path: Path) -> None:
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        tokens = live(store)
        store.backup(tmp_path / "copy")
    with crudjt.open(tmp_path / "copy", secret_key=secret_key) as copy:
        assert_as_left(copy, tokens)


def test_the_doctor_finds_what_the_index_of_a_label_lacks_or_has_too_much(path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        live(store)
        assert examine(path).healthy
        entries = engine_of(store).endings(LABEL, LABEL, 1000)
        with changing_the_view(store) as transaction:
            transaction.delete(LABEL + entries[0])
            transaction.put(LABEL + bytes(32), b"")
        texts = [finding.text for finding in examine(path).findings if not finding.healthy]
    assert any("does not list 1 sessions under their labels" in text for text in texts)
    assert any("lists 1 sessions under a label that they do not have" in text for text in texts)
