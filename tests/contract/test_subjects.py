"""Sessions of a subject: listing and ending them, handles, and the size of what is kept for them."""

import time
from base64 import urlsafe_b64encode
from collections.abc import Callable

import pytest

import crudjt
from crudjt.testing import FakeClock
from tests.support.stores import OpenStore, read
from tests.support.waiting import PATIENCE


def numbers(store: crudjt.Store, subject: str) -> list[int]:
    """Return the data of a subject's sessions, sorted."""
    return sorted(session.data["n"] for session in store.sessions(subject))


def test_sessions_yields_the_live_sessions_of_the_subject_only(store: crudjt.Store, clock: FakeClock) -> None:
    store.create({"n": 0})
    for number in range(1, 6):
        store.create({"n": number}, subject="x", ttl=10 if number == 1 else None)
        store.create({"n": -number}, subject="X")
    clock.advance(10)
    assert numbers(store, "x") == [2, 3, 4, 5]
    assert numbers(store, "X") == [-5, -4, -3, -2, -1]
    assert list(store.sessions("nobody")) == []


def test_sessions_of_short_lifetimes_are_found_until_their_end(store: crudjt.Store) -> None:
    """Servers forget what has ended by themselves, and the index of a subject must not go before its sessions."""
    subjects = [str(n) for n in range(30)]
    for n, subject in enumerate(subjects):
        store.create({"n": n}, ttl=5, subject=subject)
    assert [numbers(store, subject) for subject in subjects] == [[n] for n in range(30)]
    assert sum(map(store.revoke, subjects)) == 30


@pytest.mark.parametrize("way", ["update", "touch", "rotate"])
def test_a_session_that_lives_longer_stays_with_its_subject(store: crudjt.Store, clock: FakeClock, way: str) -> None:
    token = store.create({"n": 1}, ttl=10, subject="x")
    if way == "update":
        assert store.update(token, {"n": 1}, ttl=1000)
    elif way == "touch":
        assert store.touch(token, ttl=1000)
    else:
        assert store.rotate(token, ttl=1000)
    clock.advance(200)
    store.create({"n": 2}, subject="x")
    assert numbers(store, "x") == [1, 2]
    assert store.revoke("x") == 2


def test_sessions_tells_of_each_what_peek_tells(store: crudjt.Store) -> None:
    token = store.create({"a": 1}, ttl=60, max_reads=5, subject="x")
    peeked = store.peek(token)
    [session] = store.sessions("x")
    assert peeked is not None
    for name in ("data", "id", "subject", "version", "created_at", "expires_at", "expires_in", "reads_left"):
        assert getattr(session, name) == getattr(peeked, name)


def test_sessions_can_be_ended_while_they_are_listed(store: crudjt.Store) -> None:
    store.create_many([{"n": number} for number in range(1200)], subject="x")
    seen = 0
    for session in store.sessions("x"):
        assert store.revoke_id(session.id)
        seen += 1
    assert seen == 1200
    assert list(store.sessions("x")) == []


def test_an_iteration_that_is_left_unfinished_hinders_nobody(store: crudjt.Store) -> None:
    store.create_many([{"n": number} for number in range(1200)], subject="x")
    left = store.sessions("x")
    next(left)
    assert store.revoke("x") == 1200
    assert len(list(left)) < 1200


@pytest.mark.parametrize("subject", ["a", "user:42", "ünï 🐍", "x" * 1024, "é" * 512, "\x00", " ", "a\nb"])
def test_a_subject_is_any_text_of_1_to_1024_bytes(store: crudjt.Store, subject: str) -> None:
    token = store.create({"n": 1}, subject=subject)
    store.create({"n": 2}, subject=subject + "!" if len(subject.encode()) < 1024 else "other")
    assert read(store, token).subject == subject
    assert numbers(store, subject) == [1]
    assert store.revoke(subject) == 1


# revoke


def test_revoke_ends_all_sessions_of_the_subject_and_counts_the_live_ones(
    open_store: OpenStore, clock: FakeClock
) -> None:
    one, other = open_store(), open_store()
    expired = one.create({}, subject="x", ttl=10)
    clock.advance(10)
    ended = [one.create({}, subject="x") for _ in range(5)]
    kept = [one.create({}, subject="y"), one.create({})]
    for token in ended + kept:
        read(one, token)
        read(other, token)
    assert one.revoke("x") == 5
    for store in (one, other):
        assert [store.read(token) for token in [*ended, expired]] == [None] * 6
        assert all(store.read(token) for token in kept)
    assert one.revoke("x") == 0
    assert one.revoke("nobody") == 0


def test_revoke_spares_the_session_of_the_token_to_keep(store: crudjt.Store) -> None:
    tokens = [store.create({"n": number}, subject="x") for number in range(5)]
    assert store.revoke("x", keep=tokens[2]) == 4
    assert numbers(store, "x") == [2]
    assert [store.read(token) is not None for token in tokens] == [False, False, True, False, False]


def test_revoke_spares_one_of_many_batches(store: crudjt.Store) -> None:
    tokens = store.create_many([{"n": number} for number in range(1500)], subject="x")
    assert store.revoke("x", keep=tokens[700]) == 1499
    assert numbers(store, "x") == [700]


def test_revoke_with_a_token_to_keep_that_is_nobodys_ends_all(store: crudjt.Store) -> None:
    tokens = [store.create({}, subject="x") for _ in range(3)]
    foreign = store.create({}, subject="y")
    store.delete(tokens[0])
    assert store.revoke("x", keep=tokens[0]) == 2
    assert store.revoke("x", keep="not a token") == 0
    store.create({}, subject="x")
    assert store.revoke("x", keep=foreign) == 1
    assert store.read(foreign) is not None


def test_a_subject_can_log_in_again_after_revoke(store: crudjt.Store) -> None:
    store.create({"n": 1}, subject="x")
    store.revoke("x")
    store.create({"n": 2}, subject="x")
    assert numbers(store, "x") == [2]


@pytest.mark.slow
@pytest.mark.large
@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_many_sessions_of_one_subject_are_made_and_revoked_in_seconds(open_store: OpenStore, count: int) -> None:
    store = open_store()
    started = time.monotonic()
    tokens = store.create_many(({"n": number} for number in range(count)), subject="x")
    created = time.monotonic()
    assert len(set(tokens)) == count
    assert store.stats().sessions == count
    bystander = store.create({}, subject="y")
    revoking = time.monotonic()
    assert store.revoke("x", keep=tokens[count // 2]) == count - 1
    revoked = time.monotonic()
    assert created - started < PATIENCE
    assert revoked - revoking < PATIENCE
    assert store.read(tokens[0]) is None
    assert read(store, tokens[count // 2]).data == {"n": count // 2}
    assert store.read(bystander) is not None
    assert store.stats().sessions == 2


# Handles


def test_a_handle_ends_its_session_once(store: crudjt.Store) -> None:
    token = store.create({}, subject="x")
    other = store.create({}, subject="x")
    handle = read(store, token).id
    assert store.revoke_id(handle) is True
    assert store.revoke_id(handle) is False
    assert store.read(token) is None
    assert store.read(other) is not None


@pytest.mark.parametrize("owner", ["alice", None])
def test_a_handle_ends_no_session_of_another_subject(store: crudjt.Store, owner: str | None) -> None:
    token = store.create({"n": 1}, subject=owner)
    handle = read(store, token).id
    for stranger in ("alic", "alice2", "bob"):
        assert store.revoke_id(handle, subject=stranger) is False
    assert read(store, token).data == {"n": 1}
    assert store.revoke_id(handle, subject=owner) is True
    assert store.read(token) is None


def test_a_handle_ends_the_session_of_the_subject_that_it_has_now(store: crudjt.Store) -> None:
    token = store.rotate(store.create({}, subject="bob"), subject="alice")
    assert token is not None
    handle = read(store, token).id
    assert store.revoke_id(handle, subject="bob") is False
    assert store.revoke_id(handle, subject="alice") is True


def test_the_handle_of_an_expired_session_is_false(store: crudjt.Store, clock: FakeClock) -> None:
    handle = read(store, store.create({}, ttl=10)).id
    clock.advance(10)
    assert store.revoke_id(handle) is False


def test_the_handle_of_a_rotated_session_is_dead(store: crudjt.Store) -> None:
    old = store.create({})
    handle = read(store, old).id
    new = store.rotate(old)
    assert store.revoke_id(handle) is False
    assert new is not None
    assert store.revoke_id(read(store, new).id) is True


def test_a_handle_that_was_never_given_out_is_false(store: crudjt.Store) -> None:
    assert store.revoke_id("0" * 32) is False
    assert store.revoke_id("f" * 32) is False


def test_a_handle_is_no_token_in_any_spelling(store: crudjt.Store) -> None:
    """Not as it is, and not as the 22 characters that its bytes would make."""
    handle = read(store, store.create({})).id
    for spelled in (handle, handle[:22], urlsafe_b64encode(bytes.fromhex(handle)).decode()[:22]):
        assert store.read(spelled) is None
        assert store.peek(spelled) is None
        assert store.delete(spelled) is False
        assert store.update(spelled, {}) is False


def test_a_token_is_no_handle(store: crudjt.Store) -> None:
    token = store.create({})
    with pytest.raises(crudjt.InvalidParameter):
        store.revoke_id(token)
    assert store.read(token) is not None


# What is kept for a subject goes with its sessions


def by_delete(store: crudjt.Store, tokens: list[str], clock: FakeClock) -> None:
    for token in tokens:
        assert store.delete(token)


def by_delete_many(store: crudjt.Store, tokens: list[str], clock: FakeClock) -> None:
    assert store.delete_many(tokens) == len(tokens)


def by_rotate_and_delete(store: crudjt.Store, tokens: list[str], clock: FakeClock) -> None:
    for token in tokens:
        assert store.delete(store.rotate(token) or "")


def by_expiry_and_sweep(store: crudjt.Store, tokens: list[str], clock: FakeClock) -> None:
    clock.advance(60)
    store.sweep()


def by_last_reads(store: crudjt.Store, tokens: list[str], clock: FakeClock) -> None:
    assert None not in store.read_many(tokens)


def by_revoke(store: crudjt.Store, tokens: list[str], clock: FakeClock) -> None:
    assert store.revoke("x") == len(tokens)


def by_revoke_id(store: crudjt.Store, tokens: list[str], clock: FakeClock) -> None:
    for session in store.sessions("x"):
        assert store.revoke_id(session.id)


def by_update_and_delete(store: crudjt.Store, tokens: list[str], clock: FakeClock) -> None:
    for token in tokens:
        assert store.update(token, {"longer": "data"})
        assert store.delete(token)


@pytest.mark.slow
@pytest.mark.log
@pytest.mark.parametrize(
    "end",
    [
        by_delete, by_delete_many, by_rotate_and_delete, by_expiry_and_sweep, by_last_reads, by_revoke, by_revoke_id,
        by_update_and_delete,
    ],
)  # fmt: skip
def test_ended_sessions_leave_nothing_in_the_view(
    store: crudjt.Store, clock: FakeClock, end: Callable[[crudjt.Store, list[str], FakeClock], None]
) -> None:
    """Neither records nor entries under the subject: the view is as small as it was."""
    before = store.stats()
    tokens = store.create_many([{}] * 1000, ttl=60, max_reads=1, subject="x")
    assert store.stats().view_bytes > before.view_bytes + 100_000
    end(store, tokens, clock)
    after = store.stats()
    assert (after.sessions, after.view_bytes) == (0, before.view_bytes)
    assert list(store.sessions("x")) == []
