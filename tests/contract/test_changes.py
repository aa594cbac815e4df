"""Changing a session: update with versions, rotate and delete, and that no change brings back what has ended."""

import pytest

import crudjt
from crudjt.testing import FakeClock
from tests.support.stores import TOKEN, OpenStore, read

# update


def test_update_replaces_all_data(store: crudjt.Store) -> None:
    token = store.create({"a": 1, "b": 2})
    assert store.update(token, {"c": 3}) is True
    assert read(store, token).data == {"c": 3}


def test_update_keeps_identity_and_raises_the_version(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, subject="x")
    before = read(store, token)
    for version in (2, 3, 4):
        clock.advance(1)
        assert store.update(token, {"version": version})
        session = read(store, token)
        assert session.version == version
        assert (session.id, session.subject, session.created_at) == (before.id, "x", before.created_at)


def test_reading_and_touching_do_not_raise_the_version(store: crudjt.Store) -> None:
    token = store.create({}, max_reads=10, idle=10)
    read(store, token)
    assert store.touch(token, ttl=60)
    assert read(store, token).version == 1


def test_an_update_of_the_version_the_caller_knows_goes_through(store: crudjt.Store) -> None:
    token = store.create({"n": 0})
    for number in range(1, 4):
        assert store.update(token, {"n": number}, if_version=read(store, token).version)
    assert read(store, token).data == {"n": 3}


def test_new_limits_hold_for_a_session_that_was_just_read(store: crudjt.Store, clock: FakeClock) -> None:
    """Whoever changes a session that it has read keeps it at hand for the next read, with the limits that it set."""
    brief, once, endless = tokens = [store.create({}, ttl=600) for _ in range(3)]
    for token in tokens:
        read(store, token)
    assert store.update(brief, {"n": 1}, ttl=10, if_version=1)
    assert store.update(once, {"n": 1}, max_reads=1, if_version=1)
    assert store.update(endless, {"n": 1}, ttl=None, if_version=1)
    assert (read(store, once).reads_left, store.read(once)) == (0, None)
    clock.advance(9)
    assert read(store, brief).data == {"n": 1}
    clock.advance(1)
    assert store.read(brief) is None
    clock.advance(600)
    assert read(store, endless).data == {"n": 1}


@pytest.mark.parametrize("if_version", [1, 3, 2**63])
def test_an_update_of_another_version_is_refused_and_changes_nothing(store: crudjt.Store, if_version: int) -> None:
    token = store.create({"n": 1}, ttl=60)
    assert store.update(token, {"n": 2})
    with pytest.raises(crudjt.VersionConflict) as caught:
        store.update(token, {"n": 3}, ttl=600, if_version=if_version)
    assert (caught.value.expected, caught.value.actual) == (if_version, 2)
    session = read(store, token)
    assert (session.data, session.version, session.expires_in) == ({"n": 2}, 2, 60)


def test_an_update_of_a_version_of_an_ended_session_is_false(store: crudjt.Store) -> None:
    """There is no version to conflict with."""
    token = store.create({})
    store.delete(token)
    assert store.update(token, {}, if_version=1) is False


def test_update_never_brings_an_ended_session_back(store: crudjt.Store, clock: FakeClock) -> None:
    deleted, expired, used_up, rotated, revoked = (
        store.create({}),
        store.create({}, ttl=10),
        store.create({}, max_reads=1),
        store.create({}),
        store.create({}, subject="x"),
    )
    for token in (deleted, expired, rotated, revoked):
        read(store, token)
    store.delete(deleted)
    store.read(used_up)
    fresh = store.rotate(rotated)
    store.revoke("x")
    clock.advance(10)
    for token in (deleted, expired, used_up, rotated, revoked):
        assert store.update(token, {"back": True}, ttl=None, max_reads=None) is False
        assert store.touch(token, ttl=60) is False
        assert store.rotate(token) is None
        assert store.read(token) is None
    assert fresh is not None
    assert read(store, fresh).data == {}


# rotate


def test_rotate_moves_the_session_to_a_new_token(store: crudjt.Store, clock: FakeClock) -> None:
    old = store.create({"a": 1}, ttl=60, max_reads=5, subject="x")
    store.update(old, {"a": 2})
    read(store, old)
    before = store.peek(old)
    clock.advance(10)
    new = store.rotate(old)
    assert new is not None
    assert new != old
    assert TOKEN.fullmatch(new)
    after = store.peek(new)
    assert before is not None
    assert after is not None
    for name in ("data", "subject", "version", "created_at", "expires_at", "reads_left"):
        assert getattr(after, name) == getattr(before, name)
    assert after.id != before.id


def test_the_old_token_is_dead_once_rotate_returns(open_store: OpenStore) -> None:
    one, other = open_store(), open_store()
    old = one.create({})
    read(one, old)
    read(other, old)
    new = one.rotate(old)
    for store in (one, other):
        assert store.read(old) is None
        assert store.peek(old) is None
        assert store.update(old, {}) is False
        assert store.rotate(old) is None
        assert store.delete(old) is False
        assert new is not None
        read(store, new)


def test_rotate_keeps_the_number_of_sessions(store: crudjt.Store) -> None:
    token: str | None = store.create({}, subject="x")
    for _ in range(20):
        assert token is not None
        token = store.rotate(token)
        assert store.stats().sessions == 1
        assert len(list(store.sessions("x"))) == 1


def test_rotate_counts_as_activity_and_keeps_the_idle_timeout(store: crudjt.Store, clock: FakeClock) -> None:
    old = store.create({}, idle=10)
    clock.advance(9)
    new = store.rotate(old)
    assert new is not None
    clock.advance(9)
    assert read(store, new).expires_in == 10
    clock.advance(10)
    assert store.read(new) is None


def test_rotate_does_not_stretch_a_ttl(store: crudjt.Store, clock: FakeClock) -> None:
    old = store.create({}, ttl=10)
    clock.advance(9)
    new = store.rotate(old)
    assert new is not None
    clock.advance(1)
    assert store.read(new) is None


# delete


def test_delete_ends_a_session_once(store: crudjt.Store) -> None:
    token = store.create({}, subject="x")
    other = store.create({"other": True}, subject="x")
    read(store, token)
    assert store.delete(token) is True
    assert store.delete(token) is False
    assert store.read(token) is None
    assert [session.data for session in store.sessions("x")] == [{"other": True}]
    assert read(store, other).data == {"other": True}


def test_deleting_an_expired_session_is_false(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=10)
    clock.advance(10)
    assert store.delete(token) is False
