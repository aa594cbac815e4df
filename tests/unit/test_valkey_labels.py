"""Labels on servers, over the model: a session is filed before it begins, and what is stale does no harm."""

from collections.abc import Callable
from typing import Any

import pytest

from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.requests import Ask, Steps
from crudjt._backends.valkey.scripts import COMMIT, FILE
from crudjt._backends.valkey.steps.sealed_records import Durability
from crudjt.errors import StoreUnavailable
from crudjt.testing import FakeClock
from tests.support.modelled_servers import ModelledServers
from tests.unit.test_valkey_examining import examined
from tests.unit.test_valkey_steps import NEW_LIMITS, Store, alive, losses

LAYOUT = Layout("test")
LABELS = ("x", "y")
MINUTE = 60


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> Store:
    return Store(ModelledServers(), clock)


def revoke(store: Store, subject: str | None = None, keep: str | None = None, label: str | None = "x") -> int:
    return store.servers.run(store.operations.revoke(subject, keep, label))


def filed(store: Store) -> int:
    """Return how many entries of labels there are."""
    return sum(len(members) for index, members in store.servers.indexes.items() if LAYOUT.label_tag_of(index))


CALLS: dict[str, Callable[[Store, str], Steps[Any]]] = {
    "create": lambda store, _token: store.operations.create({}, None, None, 30, None, labels=("x", "z")),
    "update": lambda store, token: store.operations.update(token, {}, *NEW_LIMITS, None),
    "touch": lambda store, token: store.operations.touch(token, 1000, None),
    "rotate": lambda store, token: store.operations.rotate(
        token, None, "b", None, None, None, labels=("x",), max_sessions=1
    ),
    "delete": lambda store, token: store.operations.delete(token),
    "revoke": lambda store, _token: store.operations.revoke("a", None),
    "revoke by label": lambda store, _token: store.operations.revoke("a", None, "y"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_lost_reply_leaves_a_session_that_is_not_filed(call: Callable[[Store, str], Steps[Any]]) -> None:
    """So a revocation by the label leaves none; the number of losses shows that they were tried."""
    tried = 0
    for store, _, _ in losses(lambda store: store.create({}, subject="a", idle=10, labels=LABELS), call):
        revoke(store)  # `losses` has checked the entries
        assert store.servers.keys == {}
        tried += 1
    assert tried >= 4


def test_an_ending_removes_the_entries(store: Store) -> None:
    tokens = [store.create({}, subject="a", labels=LABELS) for _ in range(4)]
    store.servers.run(store.operations.delete(tokens[0]))
    store.servers.run(store.operations.delete_many(tokens[1:2]))
    assert filed(store) == 4
    assert store.servers.run(store.operations.revoke("a", tokens[3])) == 1
    assert filed(store) == 2
    assert revoke(store) == 1
    assert filed(store) == 0


def test_a_session_is_filed_before_it_begins_and_before_its_deadline_moves(store: Store, clock: FakeClock) -> None:
    token = store.create({}, idle=100, labels=("x",))
    clock.advance(50)
    store.servers.run(store.operations.read(token))
    scripts = [ask.script for ask in store.servers.sent if ask.script in (FILE, COMMIT)]
    assert scripts == [FILE, COMMIT] * 2
    [members] = [members for index, members in store.servers.indexes.items() if LAYOUT.label_tag_of(index)]
    assert list(members.values()) == [clock() // 10**6 + 100_000]
    assert alive(store, token).labels == ("x",)


def test_an_entry_without_a_session_is_removed_once_no_call_can_be_about_to_write_it(
    store: Store, clock: FakeClock
) -> None:
    """Nor does it end a session, or is counted."""
    for _ in range(3):
        store.create({}, labels=("x",))
    for key in list(store.servers.keys):
        store.servers.keys.pop(key)
    assert revoke(store) == 0
    assert filed(store) == 3
    clock.advance(MINUTE + 1)
    token = store.create({}, labels=("x",))
    assert revoke(store, keep=token) == 0
    assert filed(store) == 1


def test_an_entry_of_a_session_without_the_label_ends_nothing(store: Store) -> None:
    store.create({}, labels=("x",))
    token = store.create({}, labels=("y",))
    other = bytes.fromhex(alive(store, token).id)
    for members in store.servers.indexes.values():
        members[other] = float("inf")
    assert revoke(store) == 1
    assert alive(store, token).labels == ("y",)


def test_too_few_replicas_with_an_entry_are_an_error_before_the_session_begins(clock: FakeClock) -> None:
    store = Store(ModelledServers(), clock, Durability(1, 1))
    with pytest.raises(StoreUnavailable, match="only 0 of 1 replicas have the entry of a label"):
        store.create({}, labels=("x",))
    assert store.servers.keys == {}


def test_an_entry_that_cannot_be_removed_does_not_fail_the_ending(store: Store) -> None:
    token = store.create({}, labels=("x",))

    def fail(ask: Ask) -> StoreUnavailable | None:
        return StoreUnavailable("model", "away") if ask.args[0] == b"ZREM" else None

    store.servers.fail = fail
    assert store.servers.run(store.operations.delete(token)) is True
    assert filed(store) == 1


def test_the_doctor_mends_the_indexes_of_labels(store: Store, clock: FakeClock) -> None:
    """An entry that is missing or ends too early is a fault, and one without a session that is not about to begin."""
    tokens = [store.create({}, ttl=60, labels=("x",)) for _ in range(3)]
    assert not examined(store).missing | examined(store).dangling
    [members] = store.servers.indexes.values()
    lost, early, unknown = list(members)
    members.pop(lost)
    members[early] = 1.0
    store.servers.keys.pop(LAYOUT.session(unknown))
    found = examined(store)
    assert (found.missing, found.dangling) == ({lost, early}, set())
    members[bytes(16)] = float("inf")
    members[b"\x01" * 16] = 1.0
    found = examined(store)
    assert {id_ for _, id_ in found.dangling} == {bytes(16)}
    assert found.counts["expired entries"] == 1
    mended = examined(store, mend=True)
    assert not mended.missing | mended.dangling
    assert revoke(store) == 2
    assert store.peek(tokens[0]) is None
