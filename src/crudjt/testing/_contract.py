"""`StoreContract`: the tests of what every `crudjt.Store` promises."""

from collections.abc import Callable
from functools import partial
from typing import Any

from crudjt.base import Store
from crudjt.errors import DataTooLarge, InvalidParameter, StoreClosed
from crudjt.testing._checks import TOKEN_CHARACTERS, alive, raised
from crudjt.testing._clock import FakeClock
from crudjt.testing._listing_contract import ListingContract
from crudjt.testing._session_contract import SessionContract


class StoreContract(SessionContract, ListingContract):
    """Tests that every implementation of `crudjt.Store` passes, for the authors of backends.

    Inherit from it in a class that your test runner collects, and implement `open_store`. Each method whose name begins
    with ``test_`` is a test of one promise.

    >>> import crudjt
    >>> class TestOurStore(StoreContract):
    ...     def open_store(self, clock):
    ...         return crudjt.open("ours://localhost", clock=clock)
    """

    def open_store(self, clock: FakeClock) -> Store:
        """Open an empty store whose time is that of a clock; called once in each test, which closes the store."""
        raise NotImplementedError

    # Sessions of a subject

    def test_a_subject_has_its_sessions_and_no_other(self) -> None:
        """They are listed with their ids, and each can be ended by its id, on the subject's behalf or without it."""
        with self.open_store(FakeClock()) as store:
            tokens = [store.create({"n": number}, subject="alice") for number in range(3)]
            other = store.create({}, subject="alic")
            listed = {session.id: session.data["n"] for session in store.sessions("alice")}
            assert listed == {alive(store.peek(token)).id: number for number, token in enumerate(tokens)}
            ended = alive(store.peek(tokens[0])).id
            for stranger in ("alic", "bob"):
                assert store.revoke_id(ended, subject=stranger) is False
            assert store.peek(tokens[0]) is not None
            assert store.revoke_id(ended, subject="alice") is True
            assert store.peek(tokens[0]) is None
            assert store.revoke_id(alive(store.peek(other)).id) is True
            assert sorted(session.data["n"] for session in store.sessions("alice")) == [1, 2]
            assert store.peek(other) is None

    def test_all_sessions_of_a_subject_end_at_once(self) -> None:
        """Except the one that is kept; the answer is the number of those that were alive."""
        clock = FakeClock()
        with self.open_store(clock) as store:
            expired = store.create({}, ttl=1, subject="alice")
            clock.advance(1)
            tokens = store.create_many([{"n": 1}] * 5, subject="alice")
            other = store.create({}, subject="bob")
            assert store.revoke("alice", keep=tokens[2]) == len(tokens) - 1
            assert [store.peek(token) is not None for token in tokens] == [False, False, True, False, False]
            assert store.revoke("alice") == 1
            assert store.revoke("alice") == 0
            assert store.peek(expired) is None
            assert store.peek(other) is not None

    def test_labels_name_sessions_to_a_revocation(self) -> None:
        """Alone or together with a subject; updates and rotations keep them, and a rotation may replace them."""
        with self.open_store(FakeClock()) as store:
            first = store.create({}, subject="alice", labels=("sid:1", "app"))
            other, owned = store.create({}, labels=["app"]), store.create({}, subject="app")
            assert alive(store.read(first)).labels == ("sid:1", "app")
            assert alive(store.read(owned)).labels == ()
            assert store.update(first, {"n": 1}) is True
            token = store.rotate(first, subject="bob")
            assert token is not None
            assert [session.labels for session in store.sessions("bob")] == [("sid:1", "app")]
            assert store.revoke("alice", label="app") == 0
            assert store.revoke("bob", label="sid:1", keep=token) == 0
            last = store.rotate(token, labels=("sid:2",))
            assert last is not None
            assert store.revoke(label="sid:1") == 0
            assert store.revoke("bob", label="sid:2") == 1
            assert store.revoke(label="app") == 1
            assert (store.peek(last), store.peek(other)) == (None, None)
            assert store.peek(owned) is not None
            assert raised(InvalidParameter, lambda: store.create({}, labels=[""])).parameter == "labels"
            raised(InvalidParameter, store.revoke)

    # Many sessions

    def test_many_sessions_are_created_read_and_ended_in_order(self) -> None:
        """Unknown tokens among them have no session."""
        with self.open_store(FakeClock()) as store:
            tokens = store.create_many(({"n": number} for number in range(200)), ttl=60, subject="alice")
            found = store.read_many([*tokens, "unknown"])
            assert [session and session.data["n"] for session in found] == [*range(200), None]
            assert store.delete_many([*tokens[:50], tokens[0], "unknown"]) == 50  # noqa: PLR2004 - as many
            assert sum(session is not None for session in store.read_many(tokens)) == len(tokens) - 50

    def test_many_sessions_are_created_all_or_none(self) -> None:
        """One item that cannot be stored is enough to create none."""
        with self.open_store(FakeClock()) as store:
            broken: Any = [{"n": 1}, "no dict"]
            raised(InvalidParameter, lambda: store.create_many(broken, subject="alice"))
            assert list(store.sessions("alice")) == []

    # The store

    def test_bad_parameters_are_refused_by_name_and_change_nothing(self) -> None:
        """`InvalidParameter` names the parameter."""
        anything: Any
        with self.open_store(FakeClock()) as store:
            token = store.create({"a": 1}, subject="alice")
            for name, value in (("ttl", 0), ("ttl", -1), ("idle", float("nan")), ("max_reads", 0), ("subject", "")):
                anything = {name: value}
                error = raised(InvalidParameter, partial(store.create, {}, **anything))
                assert error.parameter == name
            for anything in ("text", None, [1]):
                assert raised(InvalidParameter, partial(store.update, token, anything)).parameter == "data"
            for anything in (None, 5, b"A" * TOKEN_CHARACTERS):
                assert raised(InvalidParameter, partial(store.read, anything)).parameter == "token"
            assert [session.data for session in store.sessions("alice")] == [{"a": 1}]

    def test_data_above_the_limit_is_refused(self) -> None:
        """The limit is `max_data_bytes`, where the store knows it."""
        with self.open_store(FakeClock()) as store:
            limit = store.max_data_bytes
            if limit is not None:
                error = raised(DataTooLarge, lambda: store.create({"x": "y" * limit}, subject="alice"))
                assert error.limit == limit
                assert list(store.sessions("alice")) == []

    def test_expired_sessions_are_swept(self) -> None:
        """The answer is how many there were; sessions that are alive stay."""
        clock = FakeClock()
        with self.open_store(clock) as store:
            store.create_many([{"n": 1}] * 3, ttl=1)
            token = store.create({})
            clock.advance(1)
            assert store.sweep() == 3  # noqa: PLR2004 - as many
            assert store.stats().sessions == 1
            assert store.peek(token) is not None
            store.sync()

    def test_a_closed_store_refuses_every_call(self) -> None:
        """With `StoreClosed`; closing it again does nothing."""
        store = self.open_store(FakeClock())
        assert isinstance(store, Store)
        token = store.create({})
        store.close()
        store.close()
        calls: list[Callable[[], object]] = [
            lambda: store.create({}), lambda: store.read(token), lambda: store.peek(token),
            lambda: store.update(token, {}), lambda: store.touch(token), lambda: store.rotate(token),
            lambda: store.delete(token), lambda: list(store.sessions("alice")), lambda: store.revoke("alice"),
            lambda: store.revoke_id("0" * 32), lambda: store.create_many([{}]), lambda: store.read_many([token]),
            lambda: store.delete_many([token]), store.stats, store.sweep, store.sync, store.count, store.list,
            lambda: store.find("0" * 32),
        ]  # fmt: skip
        for call in calls:
            raised(StoreClosed, call)
