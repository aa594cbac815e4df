"""The ids of one subject's sessions share a place of two bytes, so that a cluster can keep them together."""

import crudjt
from tests.support.stores import OpenStore, read

SOME = 24  # random places: a chance of one in 2^16 for each pair to be equal


def place(store: crudjt.Store, token: str | None) -> str:
    """Return the place of a live session, from its handle."""
    assert token is not None
    return read(store, token).id[16:20]


def test_sessions_of_a_subject_share_a_place(store: crudjt.Store) -> None:
    tokens = [store.create({}, subject="ada") for _ in range(3)]
    tokens += store.create_many([{}] * 3, subject="ada")
    assert len({place(store, token) for token in tokens}) == 1


def test_subjects_are_spread_over_the_places(store: crudjt.Store) -> None:
    places = {place(store, store.create({}, subject=f"user {number}")) for number in range(SOME)}
    assert len(places) > SOME // 2


def test_sessions_without_a_subject_are_spread_over_the_places(store: crudjt.Store) -> None:
    assert len({place(store, store.create({})) for _ in range(SOME)}) > SOME // 2


def test_sessions_that_one_call_creates_share_a_place(store: crudjt.Store) -> None:
    calls = [store.create_many([{}] * 3) for _ in range(SOME)]
    places = [{place(store, token) for token in tokens} for tokens in calls]
    assert {len(each) for each in places} == {1}
    assert len(set().union(*places)) > SOME // 2


def test_rotate_keeps_the_place(store: crudjt.Store) -> None:
    for subject in (None, "ada"):
        token = store.create({}, subject=subject)
        before = place(store, token)
        assert place(store, store.rotate(token)) == before


def test_rotate_to_another_subject_moves_to_its_place(store: crudjt.Store) -> None:
    of_ada = place(store, store.create({}, subject="ada"))
    of_bob = place(store, store.create({}, subject="bob"))
    token = store.rotate(store.create({}), subject="ada")
    assert place(store, token) == of_ada
    token = store.rotate(token or "", subject="bob")
    assert place(store, token) == of_bob
    token = store.rotate(token or "", subject=None)
    assert place(store, token) == of_bob


def test_a_subject_has_one_place_under_every_secret_key(open_store: OpenStore) -> None:
    old, new = crudjt.generate_secret_key(), crudjt.generate_secret_key()
    with open_store(secret_key=old) as store:
        token = store.create({}, subject="ada")
        before = place(store, token)
    with open_store(secret_key=[old, new]) as store:
        assert place(store, store.rotate(token)) == before
        assert place(store, store.create({}, subject="ada")) == before
    with open_store(secret_key=new) as store:
        assert place(store, store.create({}, subject="ada")) == before
