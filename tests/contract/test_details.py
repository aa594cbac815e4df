"""Client and key binding of a session: sealed in its record, never in its data, and kept by every change."""

from collections.abc import Callable
from typing import Any

import pytest

import crudjt
from crudjt import Client
from crudjt.testing import FakeClock
from tests.support.stores import OpenStore, read

CLIENT = Client("192.0.2.1", "Mozilla/5.0 (X11; Linux x86_64) ü")
KEY, OTHER_KEY = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def details(session: crudjt.Session | None) -> tuple[Client | None, str | None]:
    assert session is not None
    return session.client, session.bound_to


def test_a_session_has_the_details_that_it_was_created_with(open_store: OpenStore) -> None:
    """Read in any way, in this process or another, with a subject or without; they are not in its data."""
    one, other = open_store(), open_store()
    for subject in (None, "alice"):
        token = one.create({"n": 1}, subject=subject, client=CLIENT, bound_to=KEY)
        for store in (one, other):
            session = read(store, token)
            assert (session.data, session.subject, details(session)) == ({"n": 1}, subject, (CLIENT, KEY))
            assert details(store.peek(token)) == details(store.read_many([token])[0]) == (CLIENT, KEY)
            assert details(store.find(session.id)) == (CLIENT, KEY)
            assert [details(each) for each in store.list() if each.id == session.id] == [(CLIENT, KEY)]
    assert [details(session) for session in other.sessions("alice")] == [(CLIENT, KEY)]


def test_each_detail_may_be_missing(store: crudjt.Store) -> None:
    for client in (Client("192.0.2.1"), Client(agent="curl/8.0"), Client("", "")):
        assert details(store.read(store.create({}, client=client))) == (client, None)
    assert details(store.read(store.create({}, bound_to=KEY))) == (None, KEY)
    assert details(store.read(store.create({}, client=Client()))) == (None, None)
    assert details(store.read(store.create({}))) == (None, None)


def test_every_change_keeps_the_details(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, idle=100, max_reads=50, client=CLIENT, bound_to=KEY)
    assert details(store.read(token)) == (CLIENT, KEY)
    assert store.update(token, {"n": 1}, if_version=1)
    assert details(store.read(token)) == (CLIENT, KEY)
    assert store.touch(token, 1000)
    clock.advance(50)
    assert details(store.read_many([token])[0]) == (CLIENT, KEY)
    for changes in ({}, {"subject": "alice"}, {"data": {"n": 2}, "subject": "bob"}, {"max_sessions": 1}):
        wishes: dict[str, Any] = dict(changes)
        new = store.rotate(token, **wishes)
        assert new is not None
        assert details(store.read(new)) == (CLIENT, KEY)
        token = new
    assert [details(session) for session in store.sessions("bob")] == [(CLIENT, KEY)]


def test_a_rotation_changes_the_details_that_are_given(store: crudjt.Store) -> None:
    """Also of a session that has none, and together with a limit of sessions; ``None`` removes one."""
    steps: list[tuple[dict[str, Any], Client | None, str | None]] = [
        ({"client": CLIENT}, CLIENT, None),
        ({"bound_to": KEY}, CLIENT, KEY),
        ({"client": Client("2001:db8::1")}, Client("2001:db8::1"), KEY),
        ({"bound_to": OTHER_KEY, "subject": "alice", "max_sessions": 1}, Client("2001:db8::1"), OTHER_KEY),
        ({"client": None}, None, OTHER_KEY),
        ({"bound_to": None, "data": {"n": 2}}, None, None),
    ]
    token = store.create({"n": 1}, ttl=60)
    for changes, client, bound_to in steps:
        new = store.rotate(token, **changes)
        assert new is not None
        session = read(store, new)
        assert details(session) == details(store.peek(new)) == (client, bound_to)
        token = new
    assert read(store, token).data == {"n": 2}


def test_a_login_within_a_limit_has_its_details(store: crudjt.Store) -> None:
    token = store.create({}, subject="alice", max_sessions=2, client=CLIENT, bound_to=KEY)
    assert details(store.read(token)) == (CLIENT, KEY)


NO_CLIENTS: list[Any] = ["192.0.2.1", Client("1" * 65), Client(agent="x" * 257), Client("\ud800"), Client(5)]  # type: ignore[arg-type] # what the test is about
NO_KEYS: list[Any] = [5, "", KEY[:42], KEY + "A", KEY[:42] + "J", KEY[:42] + "=", KEY.encode()]


@pytest.mark.table
@pytest.mark.parametrize(
    ("name", "bad"), [*(("client", bad) for bad in NO_CLIENTS), *(("bound_to", bad) for bad in NO_KEYS)]
)
def test_details_that_cannot_be_kept_are_refused_by_name(store: crudjt.Store, name: str, bad: Any) -> None:
    token, wishes = store.create({}), {name: bad}
    calls: list[Callable[[], object]] = [lambda: store.create({}, **wishes), lambda: store.rotate(token, **wishes)]
    for call in calls:
        with pytest.raises(crudjt.InvalidParameter) as error:
            call()
        assert error.value.parameter == name
        assert str(error.value).startswith(name)
    assert store.stats().sessions == 1
    assert details(store.read(token)) == (None, None)


def test_a_client_is_not_shown(store: crudjt.Store) -> None:
    """It is personal data: neither its own repr nor that of its session has it."""
    session = read(store, store.create({}, client=CLIENT))
    shown = f"{session!r} {session.client!r} {CLIENT} {CLIENT.__rich_repr__()}"
    assert "192.0" not in shown  # with the dot, which no handle has
    assert "Mozilla" not in shown
