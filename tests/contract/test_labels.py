"""Labels name sessions to a revocation, beside their subject, whatever is changed in a session and wherever it lies."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import crudjt
from crudjt.testing import FakeClock
from tests.support.stores import OpenStore, read
from tests.support.waiting import PATIENCE, eventually

SID, OTHER = "sid:08a5019c-17e1", "sid:4f2"


def alive(store: crudjt.Store, tokens: list[str]) -> list[bool]:
    return [store.peek(token) is not None for token in tokens]


def test_a_session_has_the_labels_that_it_was_created_with(open_store: OpenStore) -> None:
    """In their order, each once; with the other details or alone, with a subject or without."""
    one, other = open_store(), open_store()
    client = crudjt.Client("192.0.2.1")
    for subject in (None, "alice"):
        token = one.create({"n": 1}, subject=subject, labels=[SID, "ü", SID], client=client)
        for store in (one, other):
            session = read(store, token)
            assert (session.data, session.subject, session.labels, session.client) == (
                {"n": 1}, subject, (SID, "ü"), client,
            )  # fmt: skip
            assert [each.labels for each in store.list() if each.id == session.id] == [(SID, "ü")]
    assert read(one, one.create({})).labels == ()


def test_a_revocation_by_label_ends_the_sessions_that_have_it(open_store: OpenStore) -> None:
    """Of any subject and of none, in every process, and no other; the answer counts those that were alive."""
    one, other = open_store(), open_store()
    tokens = [one.create({}, subject=subject, labels=(SID, "group")) for subject in (None, "alice", "bob")]
    others = [one.create({}, labels=(OTHER, "group")), one.create({}, subject=SID), one.create({})]
    for token in (*tokens, *others):
        read(other, token)
    assert other.revoke(label=SID) == 3
    assert alive(one, tokens) == [False] * 3
    assert alive(one, others) == [True] * 3
    assert other.revoke(label=SID) == 0
    assert one.revoke(label="group") == 1
    assert alive(other, others) == [False, True, True]


def test_a_label_and_a_subject_of_the_same_text_are_different(store: crudjt.Store) -> None:
    labelled, owned = store.create({}, labels=("alice",)), store.create({}, subject="alice")
    assert store.revoke("alice") == 1
    assert alive(store, [labelled, owned]) == [True, False]
    assert store.revoke(label="alice") == 1
    assert store.peek(labelled) is None


def test_subject_and_label_together_name_the_sessions_that_have_both(store: crudjt.Store) -> None:
    both, label, owner = store.create({}, subject="a", labels=(SID,)), store.create({}, subject="b", labels=(SID,)), ""
    owner = store.create({}, subject="a")
    assert store.revoke("a", label=OTHER) == 0
    assert store.revoke("a", label=SID) == 1
    assert alive(store, [both, label, owner]) == [False, True, True]
    assert [len(list(store.sessions(subject))) for subject in ("a", "b")] == [1, 1]


def test_a_session_may_be_kept(store: crudjt.Store) -> None:
    kept, *ended = [store.create({}, labels=(SID,)) for _ in range(3)]
    assert store.revoke(label=SID, keep=kept) == 2
    assert alive(store, [kept, *ended]) == [True, False, False]
    assert store.revoke(label=SID) == 1


def test_every_change_keeps_the_labels(store: crudjt.Store, clock: FakeClock) -> None:
    """An update, a touch, a read that moves the deadline or is counted, and a rotation, also to another owner."""
    token = store.create({}, idle=100, max_reads=50, labels=(SID, OTHER))
    assert read(store, token).labels == (SID, OTHER)
    assert store.update(token, {"n": 1}, if_version=1)
    assert store.touch(token, 1000)
    clock.advance(50)
    assert read(store, token).labels == (SID, OTHER)
    clock.advance(90)  # past the first deadline
    for changes in ({}, {"subject": "alice"}, {"data": {"n": 2}, "subject": "bob", "max_sessions": 1}):
        wishes: dict[str, Any] = dict(changes)
        new = store.rotate(token, **wishes)
        assert new is not None
        assert read(store, new).labels == (SID, OTHER)
        token = new
    assert store.revoke("bob", label=OTHER) == 1
    assert store.peek(token) is None
    assert store.revoke(label=SID) == 0


def test_a_rotation_replaces_the_labels_that_are_given(store: crudjt.Store) -> None:
    token = store.create({"n": 1})
    for labels in ((SID,), (OTHER, "x"), ()):
        new = store.rotate(token, labels=labels)
        assert new is not None
        assert read(store, new).labels == labels
        token = new
        assert store.revoke(label=SID, keep=token) == 0
        assert store.peek(token) is not None
    assert store.revoke(label=OTHER) == store.revoke(label="x") == 0
    assert read(store, token).data == {"n": 1}


def test_ended_sessions_are_counted_no_more(store: crudjt.Store, clock: FakeClock) -> None:
    """However they ended."""
    tokens = [store.create({}, subject="a", labels=(SID,)) for _ in range(6)]
    store.delete(tokens[0])
    store.delete_many(tokens[1:3])
    store.revoke_id(read(store, tokens[3]).id)
    store.revoke("a", keep=tokens[5])
    once, brief = store.create({}, max_reads=1, labels=(SID,)), store.create({}, 1, labels=(SID,))
    assert read(store, once).labels == (SID,)
    clock.advance(1)
    assert store.peek(brief) is None
    assert store.revoke(label=SID) == 1


@pytest.mark.large
def test_no_session_escapes_a_revocation_by_a_rotation(open_store: OpenStore) -> None:
    """Also to another owner, whose sessions lie elsewhere on servers; each thread rotates until its session is gone."""
    store, other = open_store(), open_store()
    rotated = [0] * 4

    def rotate(token: str | None, number: int) -> None:
        while token is not None:
            token = other.rotate(token, subject=f"{number} {rotated[number] % 3}")
            rotated[number] += 1

    tokens = [store.create({}, labels=(SID,)) for _ in range(4)]
    threads = [threading.Thread(target=rotate, args=(token, number)) for number, token in enumerate(tokens)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: min(rotated) > 2, PATIENCE)
    assert 4 <= store.revoke(label=SID) <= 8  # on servers the old and the new session of a rotation may both be alive
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert store.stats().sessions == 0


@pytest.mark.large
def test_many_sessions_of_a_label_end(store: crudjt.Store) -> None:
    """More than one transaction of servers takes, and with them those of others stay."""
    tokens = [store.create({}, subject=f"{number % 7}", labels=("all", f"n:{number}")) for number in range(700)]
    assert store.revoke(label="n:3") == 1
    assert store.revoke("1", label="all") == 100
    assert store.revoke(label="all", keep=tokens[0]) == 598
    assert store.stats().sessions == 1


@pytest.mark.any_key
def test_labels_are_found_under_older_secret_keys(open_store: OpenStore, secret_key: str) -> None:
    """A rotation files them under the newest key."""
    old = open_store()
    tokens = [old.create({}, labels=(SID,)) for _ in range(2)]
    old.close()
    ring = open_store(secret_key=[secret_key, crudjt.generate_secret_key()])
    new = ring.rotate(tokens[0])
    assert new is not None
    assert read(ring, new).labels == (SID,)
    assert ring.revoke(label=SID) == 2
    assert alive(ring, [new, tokens[1]]) == [False, False]


BAD_LABELS: list[Any] = [
    "sid",
    "",
    None,
    5,
    [5],
    [b"x"],
    [""],
    ["x" * 257],
    ["é" * 129],
    ["\ud800"],
    [str(n) for n in range(9)],
]


@pytest.mark.table
@pytest.mark.parametrize("bad", BAD_LABELS)
def test_labels_that_cannot_be_kept_are_refused_by_name(store: crudjt.Store, bad: Any) -> None:
    token = store.create({})
    calls: list[Callable[[], object]] = [
        lambda: store.create({}, labels=bad),
        lambda: store.rotate(token, labels=bad),
        lambda: store.rotate(token, labels=bad, max_sessions=1, subject="a"),
    ]
    for call in calls:
        with pytest.raises(crudjt.InvalidParameter) as error:
            call()
        assert error.value.parameter == "labels"
    assert read(store, token).labels == ()


def named_wrongly(store: crudjt.Store) -> Iterator[tuple[str, Callable[[], object]]]:
    anything: Any
    for anything in (5, b"x", "", "x" * 257, "\ud800"):
        yield "label", partial(store.revoke, label=anything)
    yield "subject", store.revoke
    yield "subject", lambda: store.revoke("", label="x")


def test_a_revocation_names_something(store: crudjt.Store) -> None:
    token = store.create({}, labels=("x",))
    for parameter, call in named_wrongly(store):
        with pytest.raises(crudjt.InvalidParameter) as error:
            call()
        assert error.value.parameter == parameter
    assert store.peek(token) is not None
