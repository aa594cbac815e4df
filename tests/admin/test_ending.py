"""End sessions on the page: each is confirmed, counted and audited, and nothing else ends."""

from typing import Any

import pytest
from starlette.testclient import TestClient

import crudjt
from tests.admin.page import Page, signed_in


def handle_of(store: crudjt.Store, token: str) -> str:
    session = store.peek(token)
    assert session is not None
    return session.id


def test_one_session_is_ended_after_a_confirmation(
    client: TestClient, store: crudjt.Store, audited: list[dict[str, Any]]
) -> None:
    token, other = store.create({}, subject="bob"), store.create({}, subject="bob")
    handle = handle_of(store, token)
    question = client.get(f"/sessions/{handle}/end").text
    assert "End 1 session?" in question
    assert store.peek(token) is not None
    assert "Ended 1 session" in client.post(f"/sessions/{handle}/end").text
    assert store.peek(token) is None
    assert store.peek(other) is not None
    assert client.post(f"/sessions/{handle}/end").status_code == 404
    assert client.get(f"/sessions/{handle}/end").status_code == 404
    details = {"operator": "alice", "action": "end session", "handle": handle}
    assert audited[-2:] == [{**details, "result": "done"}, {**details, "result": "missing"}]


def test_all_sessions_of_a_subject_are_ended_after_a_confirmation_that_counts_them(
    client: TestClient, store: crudjt.Store, audited: list[dict[str, Any]]
) -> None:
    tokens, other = store.create_many([{}] * 3, subject="bob"), store.create({}, subject="carol")
    question = client.post("/subject/end", data={"subject": "bob"}).text
    assert "End 3 sessions?" in question
    assert "Ended 3 sessions" in client.post("/subject/end/confirmed", data={"subject": "bob", "keep": ""}).text
    assert [store.peek(token) for token in tokens] == [None] * 3
    assert store.peek(other) is not None
    assert audited[-1]["subject"] == "bob"
    assert audited[-1]["ended"] == 3
    assert client.post("/subject/end", data={"subject": "bob"}).status_code == 409
    assert client.post("/subject/end/confirmed", data={"subject": "bob"}).status_code == 409
    assert "subject" not in audited[-1]


def test_all_but_one_are_ended(client: TestClient, store: crudjt.Store, audited: list[dict[str, Any]]) -> None:
    kept, *others = store.create_many([{}] * 3, subject="bob")
    form = {"subject": "bob", "keep": handle_of(store, kept)}
    assert "End 2 sessions, and keep one?" in client.post("/subject/end", data=form).text
    assert "Ended 2 sessions" in client.post("/subject/end/confirmed", data=form).text
    assert store.peek(kept) is not None
    assert [store.peek(token) for token in others] == [None, None]
    assert (audited[-1]["keep"], audited[-1]["ended"]) == (form["keep"], 2)
    assert client.post("/subject/end", data=form).status_code == 409


def test_nothing_is_ended_where_the_session_to_keep_is_gone_or_of_another(
    client: TestClient, store: crudjt.Store
) -> None:
    rotated, other = store.create({}, subject="bob"), store.create({}, subject="bob")
    gone, foreign = handle_of(store, rotated), handle_of(store, store.create({}, subject="carol"))
    new = store.rotate(rotated)
    assert new is not None
    for keep in (gone, foreign):
        for path in ("/subject/end", "/subject/end/confirmed"):
            answer = client.post(path, data={"subject": "bob", "keep": keep})
            assert answer.status_code == 409
            assert "Nothing was ended." in answer.text
    assert store.peek(new) is not None
    assert store.peek(other) is not None


def test_a_page_that_is_read_only_ends_nothing_and_offers_nothing(store: crudjt.Store) -> None:
    token = store.create({}, subject="bob")
    handle = handle_of(store, token)
    for client in signed_in(Page(store, read_only=True)):
        for path in (f"/sessions/{handle}/end", "/subject/end", "/subject/end/confirmed"):
            answer = client.post(path, data={"subject": "bob"})
            assert answer.status_code == 403
            assert "--read-only" in answer.text
        assert client.get(f"/sessions/{handle}/end").status_code == 403
        shown = client.get(f"/sessions/{handle}").text + client.post("/search", data={"wanted": "bob"}).text
        assert "End " not in shown
    assert store.peek(token) is not None


def test_a_store_that_fails_is_said_in_words(client: TestClient, store: crudjt.Store) -> None:
    store.close()
    answer = client.get("/sessions")
    assert answer.status_code == 503
    assert "The store does not answer" in answer.text


@pytest.mark.parametrize("address", ["/", "/sessions", "/nowhere", "/static/admin.css"])
def test_every_answer_forbids_scripts_of_others_frames_and_referrers(client: TestClient, address: str) -> None:
    headers = client.get(address).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
