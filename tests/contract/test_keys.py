"""Secret keys: foreign tokens, and key lists for rotation."""

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

import crudjt
from crudjt._core.session import is_of_older_key
from tests.support.stores import OpenStore, assert_unknown, read


@pytest.fixture
def old_key() -> str:
    return crudjt.generate_secret_key()


@pytest.fixture
def new_key() -> str:
    return crudjt.generate_secret_key()


@pytest.mark.any_key
def test_a_token_of_another_key_is_unknown(open_store: OpenStore, old_key: str, new_key: str) -> None:
    """Both stores are open on one directory, so the session is there, but not for this key."""
    mine, theirs = open_store(secret_key=old_key), open_store(secret_key=new_key)
    token = theirs.create({"theirs": True}, subject="x")
    handle = read(theirs, token).id
    assert_unknown(mine, token)
    assert list(mine.sessions("x")) == []
    assert mine.revoke("x") == 0
    assert mine.revoke_id(handle) is False
    assert read(theirs, token).data == {"theirs": True}


def test_a_token_of_another_store_is_unknown_under_the_same_key(open_store: OpenStore, tmp_path: Path) -> None:
    one, other = open_store(), open_store(path=tmp_path / "other")
    token = one.create({})
    handle = read(one, token).id
    assert_unknown(other, token)
    assert other.revoke_id(handle) is False
    assert read(one, token).id == handle


def test_old_tokens_are_good_after_a_key_is_added(open_store: OpenStore, old_key: str, new_key: str) -> None:
    with open_store(secret_key=old_key) as store:
        token = store.create({"n": 1}, max_reads=9, subject="x")
    store = open_store(secret_key=[old_key, new_key])
    assert read(store, token).data == {"n": 1}
    assert store.update(token, {"n": 2})
    session = read(store, token)
    assert (session.data, session.reads_left, session.subject) == ({"n": 2}, 7, "x")
    assert store.touch(token, ttl=60)
    assert store.delete(token)


def test_the_newest_key_makes_tokens(open_store: OpenStore, old_key: str, new_key: str) -> None:
    token = open_store(secret_key=[old_key, new_key]).create({})
    assert_unknown(open_store(secret_key=old_key), token)
    read(open_store(secret_key=new_key), token)


def test_a_retired_keys_tokens_are_gone(open_store: OpenStore, old_key: str, new_key: str) -> None:
    with open_store(secret_key=[old_key, new_key]) as store:
        new = store.create({"new": True}, subject="x")
    with open_store(secret_key=old_key) as store:
        old = store.create({"old": True}, subject="x")
    store = open_store(secret_key=new_key)
    assert_unknown(store, old)
    assert [session.data for session in store.sessions("x")] == [{"new": True}]
    assert store.revoke("x") == 1
    assert store.read(new) is None


def test_rotate_moves_a_session_to_the_newest_key(open_store: OpenStore, old_key: str, new_key: str) -> None:
    with open_store(secret_key=old_key) as store:
        old = store.create({"n": 1}, ttl=60, subject="x")
    with open_store(secret_key=[old_key, new_key]) as store:
        new = store.rotate(old)
    assert new is not None
    store = open_store(secret_key=new_key)
    session = read(store, new)
    assert (session.data, session.expires_in, session.subject) == ({"n": 1}, 60, "x")
    assert [each.id for each in store.sessions("x")] == [session.id]
    assert store.revoke("x") == 1


def test_a_session_that_is_read_tells_whether_a_rotation_would_renew_its_key(
    open_store: OpenStore, old_key: str, new_key: str
) -> None:
    with open_store(secret_key=old_key) as store:
        tokens = [store.create({}), store.create({}, max_reads=9), store.create({}, idle=60, subject="x")]
        assert not any(is_of_older_key(read(store, token)) for token in tokens)
    store = open_store(secret_key=[old_key, new_key])
    for token in tokens:
        seen = [read(store, token), read(store, token), store.peek(token), *store.read_many([token])]
        assert all(session is not None and is_of_older_key(session) for session in seen)
        new = store.rotate(token)
        assert new is not None
        assert not is_of_older_key(read(store, new))


def test_a_subjects_sessions_are_found_under_every_key(open_store: OpenStore, old_key: str, new_key: str) -> None:
    with open_store(secret_key=old_key) as store:
        store.create({"n": 1}, subject="x")
        kept = store.create({"n": 2}, subject="x")
    store = open_store(secret_key=[old_key, new_key])
    store.create({"n": 3}, subject="x")
    assert sorted(session.data["n"] for session in store.sessions("x")) == [1, 2, 3]
    assert store.revoke("x", keep=kept) == 2
    assert [session.data["n"] for session in store.sessions("x")] == [2]


def test_a_key_that_is_listed_twice_changes_nothing(open_store: OpenStore, old_key: str) -> None:
    store = open_store(secret_key=[old_key, old_key])
    store.create({}, subject="x")
    assert len(list(store.sessions("x"))) == 1
    assert store.revoke("x") == 1


def test_revoke_ends_a_session_that_is_rotated_to_the_newest_key_meanwhile(
    open_store: OpenStore, old_key: str, new_key: str
) -> None:
    """Rotating must not let a session slip from the keys that are still to be searched to those that have been."""
    keys = [old_key, new_key]
    with open_store(secret_key=old_key) as store:
        moving = store.create({"moving": True}, subject="x")
    other = open_store(secret_key=keys)
    moved: list[str | None] = []
    revoking = False

    def rotating_clock() -> int:
        """Tell the time; rotate the session when `revoke` first asks, which is once it has found something to end."""
        if revoking and not moved:
            moved.append(None)
            moved[0] = other.rotate(moving)
        return 1_700_000_000 * 10**9

    store = open_store(secret_key=keys, clock=rotating_clock)
    revoking = True
    store.revoke("x")
    assert moved
    assert moved[0] is not None
    assert other.read(moved[0]) is None


def test_every_allowed_size_of_key_works(open_store: OpenStore, tmp_path: Path) -> None:
    for size in (32, 48, 64):
        store = open_store(path=tmp_path / str(size), secret_key=b64encode(bytes(range(size))).decode())
        assert read(store, store.create({"size": size})).data == {"size": size}


Change = Callable[[crudjt.Store, str], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda store, token: store.update(token, {"changed": True}),
        lambda store, token: store.delete(token),
        lambda store, token: store.rotate(token),
        lambda store, _token: store.revoke("x"),
        lambda store, token: store.touch(token, ttl=1),
    ],
    ids=["update", "delete", "rotate", "revoke", "touch"],
)
def test_a_store_with_one_of_the_keys_sees_the_changes_of_one_with_all(
    open_store: OpenStore, old_key: str, new_key: str, change: Change
) -> None:
    one, all_keys = open_store(secret_key=old_key), open_store(secret_key=[old_key, new_key])
    token = one.create({"changed": False}, subject="x")
    before = read(one, token)
    change(all_keys, token)
    after = one.read(token)
    assert after is None or (after.data, after.expires_in) != (before.data, before.expires_in)
