"""What a request has written is read from the cache by the next one, and never after anything else has changed it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt.testing import FakeClock
from tests.support.embedded import engine_of
from tests.support.processes import StoreProcess

Write = Callable[[crudjt.Store, str], str]


def update(store: crudjt.Store, token: str) -> str:
    session = store.read(token)
    assert session is not None
    assert store.update(token, session.data | {"n": 2}, if_version=session.version)
    return token


def log_in(store: crudjt.Store, token: str) -> str:
    session = store.read(token)
    assert session is not None
    new = store.rotate(token, data=session.data | {"n": 2}, subject="ada", ttl=100, if_version=session.version)
    assert new is not None
    return new


def rotate_to_user(store: crudjt.Store, token: str) -> str:
    store.read(token)
    new = store.rotate(token, subject="ada")
    assert new is not None
    return new


WRITES: list[Write] = [update, log_in, rotate_to_user]


@pytest.fixture(params=WRITES, ids=lambda write: write.__name__)
def write(request: pytest.FixtureRequest) -> Write:
    written: Write = request.param
    return written


def seen(session: crudjt.Session | None) -> Any:
    return session and (
        session.data,
        session.id,
        session.subject,
        session.version,
        session.created_at,
        session.expires_at,
        session.reads_left,
    )


def refuse(*_: object) -> Any:
    raise AssertionError("the view was read")


@pytest.mark.parametrize("limits", [{}, {"ttl": 50}, {"ttl": 50, "idle": 20}])
def test_the_next_read_meets_the_cache_and_finds_what_is_stored(
    store: crudjt.Store, write: Write, limits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = write(store, store.create({"n": 1, "nested": [{}]}, subject="bob", **limits))
    stored = store.peek(token)
    assert stored is not None
    with monkeypatch.context() as patch:
        patch.setattr(engine_of(store), "get", refuse)
        assert seen(store.read(token)) == seen(stored)


def test_writes_in_a_row_each_find_the_one_before(store: crudjt.Store) -> None:
    token = store.create({"n": 0})
    for count in range(1, 100):
        session = store.read(token)
        assert session is not None
        assert store.update(token, {"n": session.data["n"] + 1}, if_version=session.version)
        if count % 7 == 0:
            new = store.rotate(token, subject="ada")
            assert new is not None
            assert store.read(token) is None
            token = new
    found = store.read(token)
    assert found is not None
    assert found.data == {"n": 99}


@pytest.mark.parametrize("change", ["update", "delete", "revoke"])
def test_a_change_by_another_process_is_seen(
    store: crudjt.Store, path: Path, secret_key: str, clock: FakeClock, write: Write, change: str
) -> None:
    token = write(store, store.create({"n": 1}, subject="ada"))
    with StoreProcess(path, secret_key, clock=clock) as other:
        if change == "update":
            assert other.call("update", token, {"n": 3})
        else:
            assert other.call(change, token if change == "delete" else "ada")
        session = store.read(token)
        assert (session and session.data) == ({"n": 3} if change == "update" else None)


@pytest.mark.parametrize("written", [update, log_in], ids=["update", "log_in"])
def test_a_change_by_another_process_between_commit_and_note_is_seen(
    store: crudjt.Store, path: Path, secret_key: str, clock: FakeClock, written: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = store.create({"n": 1}, subject="ada")
    assert store.read(token) is not None
    engine = engine_of(store)
    commit = engine.write

    with StoreProcess(path, secret_key, clock=clock) as other:

        def commit_before_others(*arguments: Any) -> Any:
            result = commit(*arguments)
            [session] = other.call("sessions", "ada")
            assert other.call("revoke_id", session.id)
            return result

        with monkeypatch.context() as patch:
            patch.setattr(engine, "write", commit_before_others)
            new = written(store, token)
        assert store.read(new) is None


def test_reads_of_a_session_are_counted_once_they_are_limited(store: crudjt.Store) -> None:
    token = store.create({"n": 1})
    session = store.read(token)
    assert session is not None
    assert store.update(token, {"n": 2}, max_reads=2, if_version=session.version)
    assert [store.read(token) is not None for _ in range(3)] == [True, True, False]


def test_a_session_that_was_remembered_ends_at_its_deadline(
    store: crudjt.Store, clock: FakeClock, write: Write
) -> None:
    token = write(store, store.create({"n": 1}, ttl=50))
    clock.advance(99 if write is log_in else 49)
    assert store.read(token) is not None
    clock.advance(1)
    assert store.read(token) is None


def test_a_session_that_has_expired_in_the_cache_is_not_written(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({"n": 1}, ttl=50)
    session = store.read(token)
    assert session is not None
    clock.advance(50)
    assert not store.update(token, {"n": 2}, if_version=session.version)
    assert store.rotate(token, subject="ada") is None
    assert store.read(token) is None


def test_a_session_that_moves_to_a_newer_key_at_its_login_is_written_under_that_key(
    path: Path, secret_key: str, clock: FakeClock
) -> None:
    newest = crudjt.generate_secret_key()
    with crudjt.open(path, secret_key=secret_key, clock=clock) as store:
        token = store.create({"n": 1}, ttl=50)
    with crudjt.open(path, secret_key=[secret_key, newest], clock=clock) as store:
        token = update(store, log_in(store, token))
    with crudjt.open(path, secret_key=newest, clock=clock) as store:
        session = store.read(token)
        assert session is not None
        assert (session.data, session.subject, session.version) == ({"n": 2}, "ada", 3)


def test_a_read_of_what_was_remembered_restarts_the_idle_timeout(
    store: crudjt.Store, clock: FakeClock, write: Write
) -> None:
    token = write(store, store.create({"n": 1}, idle=20))
    for _ in range(4):
        clock.advance(15)
        assert store.read(token) is not None
    clock.advance(20)
    assert store.read(token) is None


def test_a_write_that_is_refused_leaves_nothing(store: crudjt.Store) -> None:
    token = store.create({"n": 1})
    session = store.read(token)
    assert session is not None
    assert store.update(token, {"n": 2})
    with pytest.raises(crudjt.VersionConflict):
        store.update(token, {"n": 3}, if_version=session.version)
    with pytest.raises(crudjt.VersionConflict):
        store.rotate(token, data={"n": 3}, if_version=session.version)
    found = store.read(token)
    assert found is not None
    assert found.data == {"n": 2}
    store.delete(token)
    assert not store.update(token, {"n": 4}, if_version=found.version)
    assert store.rotate(token, data={"n": 4}, if_version=found.version) is None
    assert store.read(token) is None


def test_the_cache_counts_what_it_remembers(store: crudjt.Store) -> None:
    token = store.create({"n": 1})
    assert store.read(token) is not None
    before = store.stats().cache_bytes
    for _ in range(3):
        token = log_in(store, update(store, token))
    added = store.stats().cache_bytes - (before or 0)
    assert added == len("ada")
