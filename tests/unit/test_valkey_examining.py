"""The doctor's pass over the keys of a store on servers: what it finds, and what it mends."""

import pytest

from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.steps.examining import Examination, foreign_names
from crudjt._backends.valkey.steps.sealed_records import Durability, SealedRecords
from crudjt.errors import StoreFailed
from crudjt.testing import FakeClock
from tests.support.modelled_servers import ModelledServers
from tests.unit.test_valkey_steps import Store, consistent

NOW_MS = 1_700_000_000_000
LAYOUT = Layout("test")


@pytest.fixture
def store() -> Store:
    store = Store(ModelledServers(), FakeClock())
    for subject in ("ada", "bob", None):
        for limits in ({}, {"ttl": 60}, {"max_reads": 2}):
            store.create({}, subject=subject, **limits)
    return store


def examined(store: Store, *, mend: bool = False) -> Examination:
    records = SealedRecords("model", LAYOUT, Durability(0, 0))
    found = Examination(records, NOW_MS)
    store.servers.run(found.examine())
    if mend:
        store.servers.run(found.mend())
        return examined(store)
    return found


def test_a_store_in_use_has_no_faults(store: Store) -> None:
    found = examined(store)
    assert found.counts == {"sessions": 9, "with a subject": 6, "indexes": 2, "entries": 6}
    assert not (found.missing | found.dangling | found.damaged | found.foreign)


def test_a_session_that_its_index_does_not_list_is_listed_again(store: Store) -> None:
    index, members = next(iter(store.servers.indexes.items()))
    kept = dict(members)
    lost, wrong = list(members)[:2]
    members.pop(lost)
    members[wrong] = 1.0
    assert examined(store).missing == {lost, wrong}
    assert not examined(store, mend=True).missing
    assert store.servers.indexes[index] == kept


def test_an_index_that_ends_before_its_sessions_is_a_fault(store: Store) -> None:
    store.servers.index_ms = 30_000
    assert len(examined(store).missing) == 6
    store.servers.index_ms = 70_000
    assert len(examined(store).missing) == 4, "those that never end"


def test_an_entry_without_a_session_of_its_subject_is_removed(store: Store) -> None:
    (ada, of_ada), (bob, of_bob) = store.servers.indexes.items()
    ghost = next(iter(of_ada))[:10] + b"ghosts"
    of_ada[ghost] = float("inf")
    stranger = next(iter(of_bob))
    of_ada[stranger] = of_bob[stranger]
    assert examined(store).dangling == {(ada, ghost), (ada, stranger)}
    assert not examined(store, mend=True).dangling
    consistent(store)
    assert len(store.servers.indexes[bob]) == 3


def test_an_entry_of_a_session_that_has_expired_is_no_fault(store: Store) -> None:
    members = next(iter(store.servers.indexes.values()))
    members[next(iter(members))[:10] + b"ghosts"] = NOW_MS - 1
    found = examined(store)
    assert not found.dangling
    assert found.counts["expired entries"] == 1


def test_damaged_records_and_keys_of_other_programs_are_found(store: Store) -> None:
    keys = store.servers.keys
    short, other = [key for key in keys if b"}s" in key][:2]
    keys[short], keys[other] = keys[short][:80], b"\x63" + keys[other][1:]
    keys |= {b"test:cache:7": b"", b"test:{abc}sshort": b"", b"test:below:{manifest}": b"", LAYOUT.manifest: b""}
    found = examined(store)
    assert found.damaged == {LAYOUT.id_of(short), LAYOUT.id_of(other)}
    assert found.foreign == {b"test:cache:7", b"test:{abc}sshort"}


def test_few_foreign_keys_are_named() -> None:
    assert foreign_names({b"b", b"a\x00"}) == r"'a\x00', 'b'"
    assert foreign_names({b"%d" % number for number in range(8)}) == "'0', '1', '2', '3', '4' and 3 more"


def test_keys_that_hold_values_of_another_type_are_named_and_the_rest_is_checked(store: Store) -> None:
    session = next(key for key in store.servers.keys if b"}s" in key)
    index = next(iter(store.servers.indexes))
    wrong = {session, index}
    store.servers.fail = lambda ask: StoreFailed("model", "WRONGTYPE") if wrong & {ask.key, *ask.args} else None
    found = examined(store)
    assert found.misused == wrong
    assert found.counts["sessions"] == 8
    assert not (found.missing | found.dangling | found.foreign)


def test_a_damaged_record_stays_in_its_index_for_a_revocation(store: Store) -> None:
    members = next(iter(store.servers.indexes.values()))
    id_ = next(iter(members))
    store.servers.keys[LAYOUT.session(id_)] = b"damaged"
    assert examined(store).damaged == {id_}
    assert not examined(store, mend=True).dangling
    assert id_ in members
    store.servers.run(store.operations.revoke("ada", None))
    assert not examined(store).damaged
