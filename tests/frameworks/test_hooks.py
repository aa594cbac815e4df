"""Hooks for sessions that begin and end: the same events in each framework's own manner."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import flask
import pytest
from starlette.requests import Request

import crudjt
import crudjt.contrib.django.signals as django_signals
import crudjt.contrib.flask as flask_adapter
from crudjt.contrib.django import use_store
from crudjt.contrib.starlette import SessionEvent, SessionMiddleware
from tests.support.session_sites import SITES, Act, Site


class Told(NamedTuple):
    """A call of a hook."""

    kind: str
    id: str
    subject: str | None
    why: str


class Listening(NamedTuple):
    """A site, and what its hooks were told."""

    site: Site
    told: list[Told]
    paths: list[str]

    def after(self, act: Act) -> list[Told]:
        """Make a request that succeeds; return what the hooks were told because of it."""
        self.told.clear()
        self.site.request(act)
        assert self.site.answer.status == 200
        return [*self.told]


def listen(name: str, store: crudjt.Store, stack: ExitStack, raises: bool = False) -> Listening:
    told: list[Told] = []
    paths: list[str] = []

    def note(kind: str, session_id: str, subject: str | None, why: str) -> None:
        told.append(Told(kind, session_id, subject, why))
        if raises:
            raise RuntimeError(kind)

    def receiver(kind: str) -> Callable[..., None]:
        def receive(_sender: Any = None, **given: Any) -> None:
            paths.append(given.get("request", flask.request).path)
            note(kind, given["session_id"], given["subject"], given["why"])

        return receive

    def begun(event: SessionEvent) -> None:
        paths.append(event.scope["path"])
        note("begun", event.id, event.subject, event.why)

    async def ended(event: SessionEvent) -> None:
        note("ended", event.id, event.subject, event.why)

    receivers = receiver("begun"), receiver("ended")
    settings: dict[str, Any] = {}
    if name == "django":
        for django_signal, function in (
            (django_signals.session_begun, receivers[0]),
            (django_signals.session_ended, receivers[1]),
        ):
            django_signal.connect(function)
            stack.callback(django_signal.disconnect, function)
    elif name == "flask":
        stack.enter_context(flask_adapter.session_begun.connected_to(receivers[0]))
        stack.enter_context(flask_adapter.session_ended.connected_to(receivers[1]))
    else:
        settings = {"on_session_begun": begun, "on_session_ended": ended}
    return Listening(SITES[name](store, **settings), told, paths)


@pytest.fixture(params=sorted(SITES))
def listening(request: pytest.FixtureRequest, store: crudjt.Store) -> Iterator[Listening]:
    with use_store(store), ExitStack() as stack:
        yield listen(request.param, store, stack)


def handle(site: Site) -> str:
    session = site.store.peek(site.cookie or "")
    assert session is not None
    return session.id


def rotate(session: Any) -> None:
    session.rotate()


def clear(session: Any) -> None:
    session.clear()


def test_each_handle_of_a_session_begins_once_and_ends_once(listening: Listening) -> None:
    site = listening.site
    assert listening.after(lambda session: session.update({"a": 1})) == [
        Told("begun", first := handle(site), None, "created")
    ]
    assert listening.after(lambda session: session.update({"a": 2})) == []
    assert listening.after(site.log_in("ada")) == [
        Told("ended", first, None, "login"),
        Told("begun", second := handle(site), "ada", "login"),
    ]
    assert listening.after(rotate) == [
        Told("ended", second, "ada", "rotation"),
        Told("begun", third := handle(site), "ada", "rotation"),
    ]
    assert listening.after(site.log_in("bob")) == [
        Told("ended", third, "ada", "logout"),
        Told("begun", fourth := handle(site), "bob", "login"),
    ]
    assert listening.after(clear) == [Told("ended", fourth, "bob", "logout")]
    assert {*listening.paths} == {"/job" if site.key == "_auth_user_id" else "/"}


def test_sessions_that_are_ended_by_their_user_or_revoked_are_told(listening: Listening) -> None:
    site = listening.site
    handles: list[str] = []
    for _ in range(3):
        site.cookie = None
        site.request(site.log_in("ada"))
        handles.append(handle(site))
    phone, laptop, here = handles

    def end(_session: Any) -> Any:
        return site.adapter.end_session("ada", phone)

    def revoke(_session: Any) -> Any:
        return site.adapter.revoke_user("ada", keep_current=True)

    assert listening.after(end) == [Told("ended", phone, "ada", "ended")]
    assert listening.after(end) == []
    assert listening.after(revoke) == [Told("ended", laptop, "ada", "revoked")]
    assert handle(site) == here


@pytest.mark.slow
def test_a_session_that_was_ended_elsewhere_is_not_told_again(listening: Listening) -> None:
    site = listening.site
    site.request(site.log_in("ada"))
    token = site.cookie or ""

    def act(session: Any) -> None:
        session.get("a")
        site.store.delete(token)
        site.log_in("ada")(session)

    assert listening.after(act) == [Told("begun", handle(site), "ada", "login")]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SITES))
def test_a_hook_that_raises_is_logged_and_the_login_holds(
    name: str, store: crudjt.Store, caplog: pytest.LogCaptureFixture
) -> None:
    with use_store(store), ExitStack() as stack:
        listening = listen(name, store, stack, raises=True)
        site = listening.site
        site.request(lambda session: session.update({"a": 1}))
        assert [told.kind for told in listening.after(site.log_in("ada"))] == ["ended", "begun"]
        assert handle(site)
    assert len([record for record in caplog.records if record.exc_info]) == 3


def test_an_event_shows_neither_user_nor_request_and_gives_a_request() -> None:
    event = SessionEvent({"type": "http", "path": "/secret", "headers": []}, "1" * 32, "ada", "login")
    assert repr(event) == f"<SessionEvent {'1' * 32} login>"
    assert Request(event.scope).scope["path"] == "/secret"
    assert "token" not in inspect.signature(SessionEvent).parameters


def test_a_hook_that_cannot_be_called_is_refused_at_the_start(store: crudjt.Store) -> None:
    async def app(*_: Any) -> None:
        """Answer nothing."""

    with pytest.raises(crudjt.InvalidType, match="on_session_begun must be a function"):
        SessionMiddleware(app, store, on_session_begun="log")  # type: ignore[arg-type]
