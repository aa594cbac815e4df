"""A login is one transaction: rotate gives a session its new token, owner, data and limits together."""

from datetime import timedelta

import pytest

import crudjt
from crudjt.testing import FakeClock
from tests.support.stores import OpenStore, read


def rotated(store: crudjt.Store, token: str, **changes: object) -> str:
    """Rotate a session that must be alive."""
    new = store.rotate(token, **changes)  # type: ignore[arg-type] # each test passes what it is about
    assert new is not None
    assert store.read(token) is None
    return new


def handles(store: crudjt.Store, subject: str) -> list[str]:
    return [session.id for session in store.sessions(subject)]


def test_a_login_changes_token_owner_data_and_limits_together(open_store: OpenStore, clock: FakeClock) -> None:
    one, other = open_store(), open_store()
    anonymous = one.create({"cart": [7]}, ttl=60)
    created = read(one, anonymous).created_at
    read(other, anonymous)
    clock.advance(10)
    token = rotated(one, anonymous, data={"cart": [7], "user_id": 42}, subject="42", ttl=3600, idle=900)
    for store in (one, other):
        assert store.peek(anonymous) is None
        session = read(store, token)
        assert session.data == {"cart": [7], "user_id": 42}
        assert (session.subject, session.version, session.created_at) == ("42", 2, created + timedelta(seconds=10))
        assert session.expires_in == 900
        assert handles(store, "42") == [session.id]
        assert store.stats().sessions == 1


def test_new_data_raises_the_version_and_no_data_keeps_both(store: crudjt.Store) -> None:
    token = rotated(store, store.create({"n": 1}))
    assert (read(store, token).data, read(store, token).version) == ({"n": 1}, 1)
    token = rotated(store, token, data={"n": 2})
    assert (read(store, token).data, read(store, token).version) == ({"n": 2}, 2)
    token = rotated(store, token, data={})
    assert (read(store, token).data, read(store, token).version) == ({}, 3)
    assert store.update(token, {"n": 4}, if_version=3)


def test_a_new_owner_replaces_the_old_one(store: crudjt.Store) -> None:
    token = rotated(store, store.create({"n": 1}, subject="ada"), subject="bob")
    session = read(store, token)
    assert (session.data, session.subject, session.version) == ({"n": 1}, "bob", 1)
    assert (handles(store, "ada"), handles(store, "bob")) == ([], [session.id])
    assert store.revoke("ada") == 0
    assert store.revoke("bob") == 1
    assert store.read(token) is None


def test_none_takes_the_owner_away(store: crudjt.Store) -> None:
    token = rotated(store, store.create({"n": 1}, subject="ada"), subject=None)
    session = read(store, token)
    assert (session.data, session.subject) == ({"n": 1}, None)
    assert handles(store, "ada") == []
    assert store.revoke("ada") == 0
    assert read(store, rotated(store, token, subject=None)).subject is None


def test_the_same_owner_again_is_no_change(store: crudjt.Store) -> None:
    token = rotated(store, store.create({"n": 1}, subject="ada"), subject="ada")
    assert (read(store, token).subject, read(store, token).version) == ("ada", 1)
    assert handles(store, "ada") == [read(store, token).id]


def test_without_parameters_owner_and_limits_stay(store: crudjt.Store, clock: FakeClock) -> None:
    token = rotated(store, store.create({}, ttl=100, max_reads=9, subject="ada"))
    clock.advance(40)
    session = read(store, token)
    assert (session.subject, session.expires_in, session.reads_left) == ("ada", 60, 8)


def test_new_limits_count_from_now_and_none_removes_them(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=100, idle=50)
    clock.advance(40)
    token = rotated(store, token, ttl=200)
    assert read(store, token).expires_in == 50
    token = rotated(store, token, idle=None)
    assert read(store, token).expires_in == 200
    token = rotated(store, token, ttl=None)
    assert read(store, token).expires_in is None
    token = rotated(store, token, idle=30)
    clock.advance(30)
    assert store.read(token) is None


@pytest.mark.parametrize("ending", ["deleted", "expired", "rotated"])
def test_a_login_to_a_session_that_has_ended_creates_nothing(
    store: crudjt.Store, clock: FakeClock, ending: str
) -> None:
    token = store.create({}, ttl=10)
    read(store, token)
    if ending == "deleted":
        store.delete(token)
    elif ending == "rotated":
        store.rotate(token)
    else:
        clock.advance(10)
    before = store.stats().sessions
    assert store.rotate(token, data={"user_id": 1}, subject="ada", ttl=60, idle=30) is None
    assert handles(store, "ada") == []
    assert store.stats().sessions == before


def test_a_login_begins_the_session_again_and_a_rotation_does_not(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=100, subject="ada")
    created = read(store, token).created_at
    clock.advance(10)
    token = rotated(store, token, ttl=200)
    assert read(store, token).created_at == created
    token = rotated(store, token, subject="ada")
    assert (read(store, token).created_at - created).total_seconds() == 10


def test_a_login_with_a_version_that_is_not_the_current_one_changes_nothing(store: crudjt.Store) -> None:
    token = store.create({"n": 1})
    assert store.update(token, {"n": 2})
    with pytest.raises(crudjt.VersionConflict) as caught:
        store.rotate(token, data={"n": 3}, subject="ada", if_version=1)
    assert (caught.value.expected, caught.value.actual) == (1, 2)
    assert (read(store, token).data, handles(store, "ada")) == ({"n": 2}, [])
    token = rotated(store, token, data={"n": 3}, subject="ada", if_version=2)
    assert (read(store, token).data, read(store, token).version) == ({"n": 3}, 3)


def test_data_that_is_too_large_changes_nothing(open_store: OpenStore) -> None:
    store = open_store(max_data_bytes=100)
    token = store.create({"n": 1})
    with pytest.raises(crudjt.DataTooLarge):
        store.rotate(token, data={"x": "x" * 100}, subject="ada")
    assert read(store, token).data == {"n": 1}
    assert handles(store, "ada") == []


def test_a_login_moves_the_session_to_the_newest_key(open_store: OpenStore) -> None:
    old, new = crudjt.generate_secret_key(), crudjt.generate_secret_key()
    with open_store(secret_key=old) as store:
        mine, theirs = store.create({}, subject="ada"), store.create({})
    with open_store(secret_key=[old, new]) as store:
        mine, theirs = rotated(store, mine, subject="ada"), rotated(store, theirs, subject="bob")
    with open_store(secret_key=new) as store:
        assert handles(store, "ada") == [read(store, mine).id]
        assert handles(store, "bob") == [read(store, theirs).id]


def test_what_another_process_wrote_since_it_was_cached_is_not_undone(open_store: OpenStore) -> None:
    one, other = open_store(), open_store()
    token = one.create({"n": 1})
    read(one, token)
    assert other.update(token, {"n": 2})
    new = rotated(one, token, subject="ada")
    assert (read(one, new).data, read(one, new).version) == ({"n": 2}, 2)
