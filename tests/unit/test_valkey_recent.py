"""Changes that rest on a session as this process has met it last: one trip, and nothing is decided on what is old."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from crudjt._backends.valkey.requests import Ask
from crudjt._backends.valkey.steps.recent import Met, Recent
from crudjt._core.codec import pack
from crudjt._core.session import stored_data
from crudjt._core.validation import KEEP
from crudjt.errors import StoreCorrupt, VersionConflict
from crudjt.testing import FakeClock
from tests.support.modelled_servers import ModelledServers
from tests.unit.test_valkey_steps import NEW_LIMITS, Store, alive

MIB = 2**20


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def servers() -> ModelledServers:
    return ModelledServers()


@pytest.fixture
def store(servers: ModelledServers, clock: FakeClock) -> Store:
    return Store(servers, clock)


@pytest.fixture
def other(servers: ModelledServers, clock: FakeClock) -> Store:
    """The same store in another process."""
    return Store(servers, clock)


def read(store: Store, token: str) -> Any:
    return store.servers.run(store.operations.read(token))


def read_two(store: Store, token: str) -> Any:
    return store.servers.run(store.operations.read_many([token, token]))


def update(store: Store, token: str, data: dict[str, Any], if_version: int | None = None) -> bool:
    return store.servers.run(store.operations.update(token, data, *NEW_LIMITS, if_version))


def touch(store: Store, token: str, ttl: float) -> bool:
    return store.servers.run(store.operations.touch(token, ttl, KEEP))


def rotate(store: Store, token: str, subject: Any = KEEP) -> str | None:
    return store.servers.run(store.operations.rotate(token, None, subject, KEEP, KEEP, None))


def trips(store: Store) -> list[Ask]:
    """Return what was sent since the last call."""
    sent = store.servers.sent.copy()
    store.servers.sent.clear()
    return sent


@pytest.mark.parametrize("subject", [None, "ada"])
@pytest.mark.parametrize("ttl", [None, 60])
def test_changes_of_a_session_that_was_just_read_are_one_request_each(
    store: Store, subject: str | None, ttl: float | None
) -> None:
    token = store.create({"n": 0}, subject=subject, ttl=ttl)
    read(store, token)
    trips(store)
    assert update(store, token, {"n": 1})
    assert len(trips(store)) == 1
    assert update(store, token, {"n": 2}, if_version=2)
    assert len(trips(store)) == 1
    assert touch(store, token, 600)
    assert len(trips(store)) == 1
    new = rotate(store, token)
    assert len(trips(store)) == 1
    assert (alive(store, new).data, alive(store, new).subject) == ({"n": 2}, subject)
    assert store.peek(token) is None


def test_a_session_that_was_created_here_is_changed_by_one_request(store: Store) -> None:
    token = store.create_here({"n": 0}, subject="ada", ttl=60)
    trips(store)
    assert update(store, token, {"n": 1}, if_version=1)
    assert len(trips(store)) == 1
    assert (alive(store, token).data, alive(store, token).subject) == ({"n": 1}, "ada")


def test_a_read_of_what_was_created_here_finds_out_what_has_become_of_it(store: Store, other: Store) -> None:
    token = store.create_here({"n": 0})
    assert read(store, token).data == {"n": 0}
    assert update(other, token, {"n": 1})
    assert read(store, token).data == {"n": 1}
    other.servers.run(other.operations.delete(token))
    assert read(store, token) is None


def test_reads_of_many_find_out_what_has_become_of_those_that_are_known(store: Store, other: Store) -> None:
    tokens = [store.create_here({"n": number}) for number in range(3)] + [store.create({"n": 3}), "malformed"]
    assert update(other, tokens[1], {"n": 9})
    other.servers.run(other.operations.delete(tokens[2]))
    found = store.servers.run(store.operations.read_many(tokens))
    assert [session and session.data for session in found] == [{"n": 0}, {"n": 9}, None, {"n": 3}, None]


def test_a_session_that_was_read_among_many_is_changed_by_one_request(store: Store) -> None:
    tokens = [store.create({"n": number}, ttl=60) for number in range(3)]
    found = store.servers.run(store.operations.read_many(tokens))
    assert [session and session.data for session in found] == [{"n": 0}, {"n": 1}, {"n": 2}]
    trips(store)
    assert update(store, tokens[1], {"n": 9})
    assert len(trips(store)) == 1
    assert alive(store, tokens[1]).data == {"n": 9}


def test_reads_of_many_that_are_known_look_at_their_limits(store: Store, clock: FakeClock) -> None:
    limits: list[dict[str, Any]] = [{}, {"ttl": 60}, {"idle": 90}, {"max_reads": 2}]
    tokens = [store.create_here({"n": number}, **each) for number, each in enumerate(limits)]

    def found() -> list[Any]:
        return [session and session.data["n"] for session in store.servers.run(store.operations.read_many(tokens))]

    assert found() == [0, 1, 2, 3]
    clock.advance(59.999)
    assert found() == [0, 1, 2, 3]  # which restarts the idle timeout, and takes the last read
    clock.advance(0.001)
    assert found() == [0, None, 2, None]
    clock.advance(89.99)
    assert found() == [0, None, 2, None]
    clock.advance(90)
    assert found() == [0, None, None, None]


@pytest.mark.parametrize("at", [4, 64, 100], ids=["header", "nonce", "ciphertext"])
def test_a_record_that_was_tampered_with_since_it_was_met_is_damaged(store: Store, at: int) -> None:
    token = store.create_here({"n": 0})
    assert read(store, token).data == {"n": 0}
    [(key, record)] = store.servers.keys.items()
    store.servers.keys[key] = record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :]
    for call in (read, read_two):
        with pytest.raises(StoreCorrupt):
            call(store, token)


def test_counted_reads_are_one_request_each_after_the_first(store: Store) -> None:
    token = store.create({"n": 0}, max_reads=4)
    assert read(store, token).reads_left == 3
    trips(store)
    assert [read(store, token).reads_left for _ in range(3)] == [2, 1, 0]
    assert len(trips(store)) == 3
    assert read(store, token) is None


def test_a_read_asks_the_servers_each_time(store: Store, other: Store) -> None:
    token = store.create({"n": 0})
    assert read(store, token).data == {"n": 0}
    assert update(other, token, {"n": 1})
    assert read(store, token).data == {"n": 1}
    other.servers.run(other.operations.delete(token))
    assert read(store, token) is None


def test_an_update_keeps_what_another_process_has_changed_since(store: Store, other: Store) -> None:
    token = store.create({"n": 0}, ttl=60)
    read(store, token)
    assert touch(other, token, 600)
    assert update(store, token, {"n": 1})
    assert alive(store, token).expires_in == 600


def test_a_version_that_was_passed_since_is_a_conflict_and_the_new_one_is_none(store: Store, other: Store) -> None:
    token = store.create({"n": 0})
    read(store, token)
    assert update(other, token, {"n": 1})
    with pytest.raises(VersionConflict):
        update(store, token, {"n": 2}, if_version=1)
    read(store, token)
    assert update(other, token, {"n": 3})
    assert update(store, token, {"n": 4}, if_version=3)


def test_a_session_that_another_process_has_ended_is_not_revived(store: Store, other: Store) -> None:
    tokens = [store.create({"n": 0}, subject="ada") for _ in range(3)]
    for token in tokens:
        read(store, token)
        other.servers.run(other.operations.delete(token))
    assert update(store, tokens[0], {}) is False
    assert touch(store, tokens[1], 60) is False
    assert rotate(store, tokens[2]) is None
    assert store.servers.keys == {}


def test_a_session_that_has_expired_here_and_was_extended_elsewhere_is_alive(
    store: Store, other: Store, clock: FakeClock
) -> None:
    token, counted = store.create({"n": 0}, ttl=60), store.create({"n": 0}, ttl=60, max_reads=9)
    read(store, token)
    read(store, counted)
    assert touch(other, token, 600)
    assert touch(other, counted, 600)
    clock.advance(100)
    assert update(store, token, {"n": 1})
    assert read(store, counted).reads_left == 7


def test_a_counted_read_of_a_session_that_was_changed_elsewhere_is_counted_once(store: Store, other: Store) -> None:
    token = store.create({"n": 0}, max_reads=9)
    read(store, token)
    assert update(other, token, {"n": 1})
    session = read(store, token)
    assert (session.data, session.reads_left) == ({"n": 1}, 7)
    other.servers.run(other.operations.delete(token))
    assert read(store, token) is None


def test_a_login_asks_first_so_that_no_session_is_made_for_one_that_has_ended(store: Store, other: Store) -> None:
    token = store.create({"n": 0})
    read(store, token)
    other.servers.run(other.operations.delete(token))
    trips(store)
    assert rotate(store, token, "ada") is None
    assert {ask.args[0] for ask in trips(store)} == {b"GET", b"GETRANGE"}  # the session; whether it was moved


def test_a_lifetime_that_a_known_session_gets_later_ends_it(store: Store, clock: FakeClock) -> None:
    token = store.create_here({"n": 0})
    for _ in range(2):
        assert [session.data for session in read_two(store, token)] == [{"n": 0}] * 2
        assert touch(store, token, 10)
    clock.advance(9.999)
    assert read(store, token).data == {"n": 0}
    clock.advance(0.001)
    assert read_two(store, token) == [None, None]


@pytest.mark.parametrize("call", [read, lambda store, token: read_two(store, token)[1]])
def test_a_session_is_pickled_without_what_the_process_keeps_of_it(store: Store, call: Callable[..., Any]) -> None:
    token = store.create_here({"n": 0}, subject="ada")
    session = call(store, token)
    assert stored_data(session) == pack({"n": 0}, MIB)
    copied = pickle.loads(pickle.dumps(session))
    assert (copied.data, copied.id, copied.subject, copied.version) == ({"n": 0}, session.id, "ada", 1)
    assert stored_data(copied) is None


def test_memory_is_bounded_and_the_newest_sessions_are_kept() -> None:
    recent = Recent()
    for number in range(100):
        recent.note(str(number), Met(b"", b"", None, None, b"", bytes(MIB), 0, b""))
    kept = [number for number in range(100) if recent.get(str(number)) is not None]
    assert kept == list(range(100 - len(kept), 100))
    assert 1 <= len(kept) <= 8


def test_memory_is_bounded_where_many_are_kept_at_once() -> None:
    recent = Recent()
    met = {str(number): Met(b"", b"", None, None, b"", bytes(MIB), 0, b"") for number in range(100)}
    for _ in range(2):
        recent.note_many(met)
        kept = [number for number in range(100) if recent.get(str(number)) is not None]
        assert kept == list(range(100 - len(kept), 100))
        assert 1 <= len(kept) <= 8
    recent.note_many({"new": Met(b"", b"", None, None, b"", b"", 0, b"")})
    assert recent.get("new")


def test_a_session_that_grows_counts_as_much_as_it_takes() -> None:
    recent = Recent()
    for size in (0, MIB):
        for number in range(64):
            recent.note(str(number), Met(b"", b"", None, None, b"", bytes(size), 0, b""))
    kept = [number for number in range(64) if (met := recent.get(str(number))) is not None and met.packed]
    assert len(kept) <= 8
