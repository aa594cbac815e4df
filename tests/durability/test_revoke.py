"""A revocation ends all sessions of a subject in one transaction, with their index entries, and no other session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import crudjt
from crudjt._core.changes import SUBJECT
from crudjt.testing import FakeClock
from tests.support.embedded import engine_of

MANY = 700  # more than one look into the index returns, and index entries of many pages


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path, secret_key: str, clock: FakeClock) -> Iterator[crudjt.Store]:
    with crudjt.open(tmp_path / "store", secret_key=secret_key, clock=clock) as opened:
        yield opened


def index_entries(store: crudjt.Store) -> int:
    return len(engine_of(store).endings(SUBJECT, SUBJECT, 10_000))


def fill(store: crudjt.Store) -> dict[str, list[str]]:
    """Make sessions of several subjects by turns, so that those of one lie on many pages."""
    tokens: dict[str, list[str]] = {"ada": [], "bob": [], "eve": []}
    for _ in range(MANY):
        for subject, made in tokens.items():
            made.append(store.create({"of": subject}, subject=subject))
    return tokens


def test_a_revocation_ends_the_sessions_of_one_subject_and_their_index_entries(store: crudjt.Store) -> None:
    tokens = fill(store)
    assert store.revoke("bob") == MANY
    assert not any(map(store.peek, tokens["bob"]))
    assert all(map(store.peek, tokens["ada"] + tokens["eve"]))
    assert index_entries(store) == store.stats().sessions == 2 * MANY
    assert store.revoke("eve", keep=tokens["eve"][300]) == MANY - 1
    assert [session.data for session in store.sessions("eve")] == [{"of": "eve"}]
    assert index_entries(store) == store.stats().sessions == MANY + 1


@pytest.mark.parametrize("change", ["create", "rotate", "end"])
def test_a_revocation_ends_what_was_changed_since_it_looked(
    store: crudjt.Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A session in the middle of its list ends, or a new one comes to lie there; then a cursor may not walk along."""
    tokens: list[str] = []
    for n in range(20):
        clock.advance(1)
        tokens.append(store.create({"n": n}, subject="ada"))
    others = [store.create({"n": n}, subject=subject) for n in range(20) for subject in ("bob", None)]
    engine, changed = engine_of(store), list[str | None]()
    look = engine.endings_with_id

    def look_and_change(*arguments: object) -> tuple[list[bytes], int]:
        found = look(*arguments)  # type: ignore[arg-type] # as they were given
        if not changed:
            changed.append("")
            if change == "create":
                clock.set_back(10)  # so that its id lies among the others
                changed.append(store.create({"new": 1}, subject="ada"))
            elif change == "rotate":
                changed.append(store.rotate(tokens[5]))
            else:
                store.delete(tokens[5])
        return found

    monkeypatch.setattr(engine, "endings_with_id", look_and_change)
    assert store.revoke("ada") == {"create": 21, "rotate": 20, "end": 19}[change]
    assert not list(store.sessions("ada"))
    assert not any(token and store.peek(token) for token in changed)
    assert all(map(store.peek, others))
    assert index_entries(store) == 20


def test_a_revocation_counts_no_session_that_has_expired(store: crudjt.Store, clock: FakeClock) -> None:
    for ttl in (10, 20, 10):
        store.create({}, ttl=ttl, subject="ada")
    clock.advance(15)
    assert (store.revoke("ada"), store.stats().sessions) == (1, 0)
