"""A reply that is lost on the way: each operation is carried out at most once, or its outcome is known again.

A proxy passes the request on and closes the connection, or says nothing more, instead of replying.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any, NamedTuple

import pytest

import crudjt
import crudjt.aio
from tests.support.cluster_contents import contents
from tests.support.loops import DrivenStore, Loop
from tests.support.lossy_proxy import LossyProxy
from tests.support.stores import read
from tests.support.valkey_servers import SingleServer
from tests.support.valkey_stores import SINGLE, OpenOn
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.slow

COMMIT, GET, INDEX = b"EVALSHA", b"GET", b"ZRANGE"
SHORT_TIMEOUT = 0.4  # seconds; calls wait for it twice


class Place(NamedTuple):
    """A store behind a proxy, and one that no reply is kept from."""

    store: crudjt.Store
    direct: crudjt.Store
    proxy: LossyProxy
    server: SingleServer
    namespace: str

    def require_indexes(self) -> None:
        found = contents(self.server, self.namespace)
        assert found.differences() == []
        assert found.dangling() == 0


@pytest.fixture
def timeout() -> float:
    return PATIENCE


@pytest.fixture(params=["blocking", "asyncio"])
def place(
    request: pytest.FixtureRequest,
    server: SingleServer,
    namespace: str,
    secret_key: str,
    open_on: OpenOn,
    timeout: float,
) -> Iterator[Place]:
    direct = open_on(server, **SINGLE)
    with LossyProxy(server.node.port) as proxy:
        url = f"valkey://127.0.0.1:{proxy.port}/{namespace}"
        options: dict[str, Any] = {"secret_key": secret_key, **SINGLE, "timeout": timeout}
        with closing(Loop()) as loop:
            is_blocking = request.param == "blocking"
            store = crudjt.open(url, **options) if is_blocking else DrivenStore(crudjt.aio.open(url, **options), loop)
            with store:
                token = direct.create({}, subject="first")
                direct.update(token, {"n": 1})
                direct.delete(token)
                direct.delete(direct.create({}))  # the server knows the scripts from now on
                yield Place(store, direct, proxy, server, namespace)


def peek(place: Place, token: str) -> crudjt.Session:
    session = place.direct.peek(token)
    assert session is not None
    return session


@pytest.mark.parametrize("request_of", [GET, INDEX], ids=["of the record", "of the index"])
def test_a_request_that_changes_nothing_is_repeated(place: Place, request_of: bytes) -> None:
    token = place.store.create({"n": 1}, subject="ada")
    looks: list[Callable[[], Any]] = [lambda: [each.data for each in place.store.sessions("ada")]]
    if request_of == GET:
        looks += [lambda: [read(place.store, token).data], lambda: [peek(place, token).data]]
    for look in looks:
        before = place.proxy.lost
        place.proxy.lose(request_of)
        assert look() == [{"n": 1}]
        assert place.proxy.lost <= before + 1


@pytest.mark.parametrize("subject", [None, "ada"])
def test_a_create_is_recognised(place: Place, subject: str | None) -> None:
    place.proxy.lose(COMMIT)
    token = place.store.create({"n": 1}, subject=subject)
    assert place.proxy.lost == 1
    assert peek(place, token).data == {"n": 1}
    assert len(contents(place.server, place.namespace).sessions) == 1
    place.require_indexes()


def test_a_create_that_nobody_can_tell_of_raises(place: Place) -> None:
    """Neither the reply nor that to the question arrives: there is one session at most, and its token is unknown."""
    place.proxy.lose(COMMIT, times=100)
    with pytest.raises(crudjt.StoreUnavailable):
        place.store.create({"n": 1}, subject="ada")
    assert place.proxy.lost >= 2
    assert len(contents(place.server, place.namespace).sessions) <= 1
    place.require_indexes()


def test_a_create_of_many_is_recognised(place: Place) -> None:
    place.proxy.lose(COMMIT)
    tokens = place.store.create_many([{"n": number} for number in range(50)], subject="ada")
    assert place.proxy.lost == 1
    assert [session and session.data["n"] for session in place.direct.read_many(tokens)] == list(range(50))
    assert len(contents(place.server, place.namespace).sessions) == 50


def test_a_create_within_a_limit_ends_the_oldest_once(place: Place) -> None:
    tokens = [place.store.create({"n": number}, subject="ada") for number in range(3)]
    place.proxy.lose(COMMIT)
    tokens.append(place.store.create({"n": 3}, subject="ada", max_sessions=2))
    assert place.proxy.lost == 1
    assert [session and session.data["n"] for session in place.direct.read_many(tokens)] == [None, None, 2, 3]
    place.require_indexes()


@pytest.mark.parametrize("was_read", [False, True])
def test_an_update_is_carried_out_once(place: Place, was_read: bool) -> None:
    """Where the session was just read, the update is a single request."""
    token = place.store.create({"n": 1})
    if was_read:
        assert read(place.store, token).version == 1
    place.proxy.lose(COMMIT)
    assert place.store.update(token, {"n": 2})
    assert place.proxy.lost == 1
    assert (peek(place, token).data, peek(place, token).version) == ({"n": 2}, 2)


def test_an_update_that_was_overwritten_since_is_not_repeated(place: Place) -> None:
    """Carried out, overwritten and carried out again would be seen twice: the caller is told that it is not known."""
    token = place.store.create({"n": 1})
    place.proxy.lose(COMMIT, times=100)
    with pytest.raises(crudjt.StoreUnavailable):
        place.store.update(token, {"n": 2})
    place.proxy.pass_all()
    assert peek(place, token).version <= 2
    assert place.direct.update(token, {"n": 3})
    assert peek(place, token).data == {"n": 3}


def test_a_touch_is_carried_out_once(place: Place) -> None:
    token = place.store.create({"n": 1}, ttl=60)
    place.proxy.lose(COMMIT)
    assert place.store.touch(token, ttl=600)
    assert place.proxy.lost == 1
    expires_in = peek(place, token).expires_in
    assert expires_in is not None
    assert expires_in > 500


def test_a_counted_read_counts_once(place: Place) -> None:
    token = place.store.create({"n": 1}, max_reads=3)
    place.proxy.lose(COMMIT)
    assert read(place.store, token).reads_left == 2
    assert place.proxy.lost == 1
    place.proxy.lose(COMMIT)
    assert read(place.store, token).reads_left == 1
    assert place.proxy.lost == 2
    assert peek(place, token).reads_left == 1


def test_the_last_read_is_never_delivered_twice(place: Place) -> None:
    """It is carried out once at most; who took the last read is not known, so no caller gets the data."""
    token = place.store.create({"n": 1}, max_reads=1)
    place.proxy.lose(COMMIT)
    with pytest.raises(crudjt.StoreUnavailable):
        place.store.read(token)
    assert place.proxy.lost == 1
    assert place.direct.read(token) is None


def test_a_read_that_restarts_the_idle_timeout_is_repeated(place: Place) -> None:
    token = place.store.create({"n": 1}, idle=5)
    place.proxy.lose(COMMIT)
    assert eventually(lambda: read(place.store, token).data == {"n": 1} and place.proxy.lost == 1)
    assert peek(place, token).data == {"n": 1}


@pytest.mark.parametrize("subject", [None, "ada"])
def test_a_rotation_is_carried_out_once(place: Place, subject: str | None) -> None:
    old = place.store.create({"n": 1}, subject=subject)
    place.proxy.lose(COMMIT)
    new = place.store.rotate(old)
    assert place.proxy.lost == 1
    assert new is not None
    assert place.direct.peek(old) is None
    assert peek(place, new).data == {"n": 1}
    assert len(contents(place.server, place.namespace).sessions) == 1
    place.require_indexes()


class TestLogin:
    """A rotation to another subject: the new session is inserted, then the old one is ended."""

    def test_a_lost_insert_is_recognised(self, place: Place) -> None:
        old = place.store.create({"cart": 1})
        place.proxy.lose(COMMIT)
        new = place.store.rotate(old, subject="ada")
        assert place.proxy.lost == 1
        assert new is not None
        assert place.direct.peek(old) is None
        assert peek(place, new).subject == "ada"
        assert len(contents(place.server, place.namespace).sessions) == 1

    def test_a_lost_end_leaves_no_session_that_could_be_used_beside_the_old_one(self, place: Place) -> None:
        old = place.store.create({"cart": 1})
        place.proxy.lose(COMMIT, skip=1)
        try:
            new = place.store.rotate(old, subject="ada")
        except crudjt.StoreUnavailable:
            assert list(place.direct.sessions("ada")) == []
        else:
            assert new is not None
            assert place.direct.peek(old) is None
            assert peek(place, new).subject == "ada"
        assert place.proxy.lost == 1
        assert len(contents(place.server, place.namespace).sessions) <= 1
        place.require_indexes()


ENDINGS: dict[str, Callable[[crudjt.Store, str], object]] = {
    "delete": lambda store, token: store.delete(token),
    "revoke_id": lambda store, token: store.revoke_id(read(store, token).id),
    "delete_many": lambda store, token: store.delete_many([token]),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_an_ending_takes_effect_and_never_denies_it(place: Place, name: str) -> None:
    """It is repeated for its effect. "There was none" would be wrong, and so is not said."""
    token = place.store.create({"n": 1}, subject="ada")
    place.proxy.lose(COMMIT)
    try:
        ended = ENDINGS[name](place.store, token)
    except crudjt.StoreUnavailable:
        pass
    else:
        assert ended in (True, 1)
    assert place.proxy.lost == 1
    assert place.direct.peek(token) is None
    place.require_indexes()


def test_a_revocation_ends_every_session(place: Place) -> None:
    tokens = place.store.create_many([{}] * 700, subject="ada")
    place.proxy.lose(COMMIT)
    assert place.store.revoke("ada") == 700
    assert place.proxy.lost == 1
    assert place.direct.read_many(tokens) == [None] * 700
    place.require_indexes()


def test_a_counted_read_of_many_counts_once(place: Place) -> None:
    tokens = place.store.create_many([{"n": number} for number in range(10)], max_reads=3, subject="ada")
    place.proxy.lose(COMMIT)
    found = place.store.read_many(tokens)
    assert place.proxy.lost == 1
    assert [session and session.reads_left for session in found] == [2] * 10
    assert [peek(place, token).reads_left for token in tokens] == [2] * 10


class TestSilence:
    """The server does not reply, and the connection stays open: the call ends with its timeout."""

    @pytest.fixture
    def timeout(self) -> float:
        return SHORT_TIMEOUT

    @pytest.mark.parametrize("name", ["create", "update", "rotate", "read", "delete"])
    def test_a_call_ends_in_time_and_was_carried_out_at_most_once(self, place: Place, name: str) -> None:
        token = place.direct.create({"n": 1}, max_reads=5)
        calls: dict[str, Callable[[], object]] = {
            "create": lambda: place.store.create({"n": 2}),
            "update": lambda: place.store.update(token, {"n": 2}),
            "rotate": lambda: place.store.rotate(token),
            "read": lambda: place.store.read(token),
            "delete": lambda: place.store.delete(token),
        }
        place.proxy.lose(COMMIT, is_silent=True, times=100)
        with pytest.raises(crudjt.StoreUnavailable):
            calls[name]()
        place.proxy.pass_all()
        sessions = contents(place.server, place.namespace).sessions
        assert len(sessions) <= (2 if name == "create" else 1)
        left = place.direct.peek(token)
        if left is not None:
            assert left.version <= 2
            assert left.reads_left in (4, 5)

    def test_a_silent_read_is_no_missing_session(self, place: Place) -> None:
        token = place.direct.create({"n": 1})

        def found() -> crudjt.Session | None:
            with suppress(crudjt.StoreUnavailable):
                return read(place.store, token)
            return None

        place.proxy.lose(GET, is_silent=True, times=100)
        assert found() is None
        place.proxy.pass_all()
        assert eventually(lambda: found() is not None)
