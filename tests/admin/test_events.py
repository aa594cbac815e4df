"""Events on the page: what any process commits while it is open, and rates of it on the overview."""

import json
from itertools import chain
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

import crudjt
from crudjt import admin
from crudjt.testing import FakeClock
from tests.admin.page import SAME_ORIGIN, handles
from tests.support.delegating import DelegatingStore
from tests.support.waiting import PATIENCE, eventually


def test_what_is_committed_while_a_page_is_open_is_shown_newest_first(
    client: TestClient, store: crudjt.Store, path: Path, secret_key: str, clock: FakeClock
) -> None:
    assert "Nothing has happened yet." in client.get("/events").text
    clock.advance(600)  # the next request changes the session of the operator, which is not shown
    with crudjt.open(path, secret_key=secret_key, clock=clock) as other:
        token = other.create({}, subject="bob")

        def is_seen() -> bool:
            other.update(token, {})
            return "bob" in client.get("/events").text

        assert eventually(is_seen, PATIENCE)
        session = other.peek(token)
        assert session is not None
        store.delete(token)
        assert eventually(lambda: ">ended<" in client.get("/events").text, PATIENCE)
    text = client.get("/events").text
    assert text.index(">ended<") < text.index(">changed<")
    assert session.id in handles(text)
    assert token not in text
    assert "crudjt admin" not in text


def test_the_stream_has_each_event_once_and_a_page_that_comes_back_goes_on_behind_the_last(
    store: crudjt.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crudjt.admin.events.SECONDS", 0.02)
    made: list[str] = []
    answers = iter([*["alice"] * 40, None, *["alice"] * 2])

    def authorize(_request: Request) -> str | None:
        made.append(store.create({}, subject=f"user-{len(made)}"))
        return next(answers, None)

    with TestClient(admin.app(store, authorize=authorize), headers=SAME_ORIGIN) as client:
        lines = client.get("/events/live").text.splitlines()
        messages = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
        rows = list(chain.from_iterable(messages))
        subjects = [subject for _time, _kind, _id, _link, subject in rows]
        assert len(subjects) > 1
        assert len(set(subjects)) == len(subjects)
        assert lines[-3:] == ["event: end", "data:", ""]
        last = [line for line in lines if line.startswith("id: ")][-1][4:]
        again = client.get("/events/live?after=0", headers={"Last-Event-ID": last}).text
        assert subjects[-1] not in again
        assert "data: [" in again


def test_events_that_were_not_followed_are_said_to_be_missing(
    client: TestClient, store: crudjt.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begins_to_be_seen() -> bool:
        store.create({}, subject="bob")
        return "bob" in client.get("/events").text

    assert eventually(begins_to_be_seen, PATIENCE)
    monkeypatch.setattr("crudjt.admin.journal._UNWATCHED_SECONDS", 0)
    client.get("/events")  # from now on it ends at once
    assert eventually(lambda: "not all before this are shown" in client.get("/events").text, PATIENCE)


def test_the_overview_has_the_rates_of_what_begins_and_ends(
    client: TestClient, store: crudjt.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crudjt.admin.pulse.SECONDS", 0)
    monkeypatch.setattr("crudjt.admin.pulse._REST", 0)
    assert 'id="value-begun">…' in client.get("/").text

    def shows_rates() -> bool:
        store.delete(store.create({}))
        text = client.get("/").text
        return all(f'id="value-{name}">0.0 /s' not in text for name in ("begun", "ended")) and "ended (dashed)" in text

    assert eventually(shows_rates, PATIENCE)


def test_under_trio_the_page_works_and_says_that_it_has_no_events(store: crudjt.Store) -> None:
    store.create({}, subject="bob")
    app = admin.app(store, authorize=lambda _request: "alice")
    with TestClient(app, headers=SAME_ORIGIN, backend="trio") as client:
        assert "bob" in client.get("/sessions").text
        assert 'id="value-change"' in client.get("/").text
        assert "This store has no events" in client.get("/events").text


def test_a_store_without_events_says_so_and_has_the_change_of_its_sessions(store: crudjt.Store) -> None:
    app = admin.app(DelegatingStore(store), authorize=lambda _request: "alice")
    with TestClient(app, headers=SAME_ORIGIN) as client:
        assert 'id="value-change"' in client.get("/").text
        assert "This store has no events" in client.get("/events").text
