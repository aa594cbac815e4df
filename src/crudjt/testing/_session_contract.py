"""The part of `StoreContract` about one session."""

import string
from abc import abstractmethod
from typing import Any

from crudjt.base import Client, Store
from crudjt.errors import InvalidParameter, VersionConflict
from crudjt.testing._checks import TOKEN_CHARACTERS, alive, raised
from crudjt.testing._clock import FakeClock

_TOKEN_ALPHABET = set(string.ascii_letters + string.digits + "-_")


class SessionContract:
    """Tests of what a session is, how it changes and how it ends."""

    @abstractmethod
    def open_store(self, clock: FakeClock) -> Store:
        """Open an empty store whose time is that of a clock."""

    def test_a_session_has_the_data_that_it_was_created_with(self) -> None:
        """Data comes back equal, and its values with their types."""
        data: dict[Any, Any] = {"text": "ü", 1: [None, True, 2**63, 1.5, b"\x00"], "map": {"empty": {}}, "pair": (1, 2)}
        with self.open_store(FakeClock()) as store:
            session = alive(store.read(store.create(data)))
            assert session.data == data
            assert (session.version, session.subject, session.reads_left, session.expires_at) == (1, None, None, None)

    def test_each_caller_has_data_of_its_own(self) -> None:
        """A change of what was read, or of what was passed, is seen by no other caller."""
        with self.open_store(FakeClock()) as store:
            given = {"list": [1]}
            token = store.create(given)
            given["list"].append(2)
            alive(store.read(token)).data["list"].append(3)
            assert alive(store.read(token)).data == {"list": [1]}

    def test_tokens_are_opaque_and_different(self) -> None:
        """A token has 22 URL-safe characters, and is not the public id of its session."""
        with self.open_store(FakeClock()) as store:
            tokens = [store.create({}) for _ in range(50)]
            assert len(set(tokens)) == len(tokens)
            assert all(len(token) == TOKEN_CHARACTERS and set(token) <= _TOKEN_ALPHABET for token in tokens)
            ids = {alive(store.peek(token)).id for token in tokens}
            assert len(ids) == len(tokens)
            assert all(store.read(id_) is None for id_ in ids)

    def test_an_unknown_token_is_no_error(self) -> None:
        """Well-formed or not, it has no session in any method."""
        with self.open_store(FakeClock()) as store:
            ended = store.create({})
            assert store.delete(ended) is True
            for token in (ended, "A" * TOKEN_CHARACTERS, "", "short", "ü" * TOKEN_CHARACTERS):
                assert (store.read(token), store.peek(token), store.rotate(token)) == (None, None, None)
                assert (store.update(token, {}), store.touch(token, 1), store.delete(token)) == (False, False, False)
                assert (store.read_many([token]), store.delete_many([token])) == ([None], 0)

    def test_a_session_ends_at_its_absolute_lifetime(self) -> None:
        """It is gone at exactly its deadline, however often it is read."""
        clock = FakeClock()
        with self.open_store(clock) as store:
            token = store.create({}, ttl=60)
            clock.advance(59.999)
            assert store.read(token) is not None
            clock.advance(0.001)
            assert store.read(token) is None
            assert store.update(token, {}, ttl=None) is False

    def test_a_session_ends_when_it_is_idle(self) -> None:
        """A read restarts the idle timeout, a peek does not; the absolute lifetime stays."""
        clock = FakeClock()
        with self.open_store(clock) as store:
            read, peeked = store.create({}, ttl=100, idle=30), store.create({}, idle=30)
            for _ in range(3):
                clock.advance(25)
                assert store.read(read) is not None
                store.peek(peeked)
            assert store.peek(peeked) is None
            clock.advance(25)
            assert store.read(read) is None

    def test_a_session_ends_after_its_reads(self) -> None:
        """A read counts, a peek does not."""
        with self.open_store(FakeClock()) as store:
            token = store.create({}, max_reads=2)
            assert alive(store.peek(token)).reads_left == 2  # noqa: PLR2004 - as given
            assert [alive(store.read(token)).reads_left for _ in range(2)] == [1, 0]
            assert store.read(token) is None

    def test_an_update_replaces_data_and_the_limits_that_are_given(self) -> None:
        """`KEEP` leaves a limit as it is, ``None`` removes it."""
        clock = FakeClock()
        with self.open_store(clock) as store:
            token = store.create({"a": 1}, ttl=60, subject="alice")
            assert store.update(token, {"b": 2}) is True
            session = alive(store.peek(token))
            assert (session.data, session.version, session.subject) == ({"b": 2}, 2, "alice")
            clock.advance(30)
            assert store.update(token, {}, ttl=60) is True
            clock.advance(59)
            assert store.update(token, {}, ttl=None) is True
            clock.advance(10**6)
            assert store.peek(token) is not None

    def test_an_update_of_another_version_changes_nothing(self) -> None:
        """It raises `VersionConflict` with both versions."""
        with self.open_store(FakeClock()) as store:
            token = store.create({"a": 1})
            assert store.update(token, {"a": 2}, if_version=1) is True
            error = raised(VersionConflict, lambda: store.update(token, {"a": 3}, if_version=1))
            assert (error.expected, error.actual) == (1, 2)
            assert alive(store.peek(token)).data == {"a": 2}

    def test_a_touch_changes_limits_alone(self) -> None:
        """Data and version stay, and the idle timeout restarts."""
        clock = FakeClock()
        with self.open_store(clock) as store:
            token = store.create({"a": 1}, idle=30)
            clock.advance(20)
            assert store.touch(token, ttl=100) is True
            clock.advance(20)
            session = alive(store.peek(token))
            assert (session.data, session.version) == ({"a": 1}, 1)
            assert store.touch(token, idle=None) is True
            clock.advance(79)
            assert store.peek(token) is not None
            clock.advance(1)
            assert store.peek(token) is None

    def test_a_rotated_session_has_a_new_token_only(self) -> None:
        """The old token is dead; data, version, subject and limits stay; the id changes."""
        clock = FakeClock()
        with self.open_store(clock) as store:
            old = store.create({"a": 1}, ttl=60, subject="alice")
            before = alive(store.peek(old))
            new = store.rotate(old)
            assert new is not None
            assert store.peek(old) is None
            after = alive(store.peek(new))
            assert (after.data, after.version, after.subject) == (before.data, before.version, before.subject)
            assert (after.created_at, after.expires_at) == (before.created_at, before.expires_at)
            assert after.id != before.id
            assert store.revoke_id(before.id) is False

    def test_a_login_is_one_rotation(self) -> None:
        """Owner, data and limits change with the token; `KEEP` keeps them, and new data raises the version."""
        clock = FakeClock()
        with self.open_store(clock) as store:
            token = store.create({"cart": 1}, ttl=10)
            new = store.rotate(token, data={"user": 42}, subject="alice", ttl=60)
            assert new is not None
            session = alive(store.peek(new))
            assert (session.data, session.version, session.subject) == ({"user": 42}, 2, "alice")
            assert [each.id for each in store.sessions("alice")] == [session.id]
            clock.advance(59)
            assert store.peek(new) is not None
            assert store.rotate(token, subject="bob") is None
            last = store.rotate(new, subject=None)
            assert last is not None
            assert alive(store.peek(last)).subject is None
            assert list(store.sessions("alice")) == []

    def test_client_and_key_of_a_session_stay_with_it(self) -> None:
        """Updates and rotations keep both; a rotation changes those that are given, and ``None`` removes one."""
        client, key = Client("192.0.2.1", "Mozilla/5.0"), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
        with self.open_store(FakeClock()) as store:
            plain = alive(store.read(store.create({})))
            assert (plain.client, plain.bound_to) == (None, None)
            first = store.create({"n": 1}, subject="alice", client=client, bound_to=key)
            assert store.update(first, {"n": 2}) is True
            token = store.rotate(first, subject="bob")
            assert token is not None
            (session,) = store.sessions("bob")
            assert (session.data, session.client, session.bound_to) == ({"n": 2}, client, key)
            last = store.rotate(token, client=None)
            assert last is not None
            session = alive(store.read(last))
            assert (session.client, session.bound_to) == (None, key)
            error = raised(InvalidParameter, lambda: store.create({}, bound_to="short"))
            assert error.parameter == "bound_to"
