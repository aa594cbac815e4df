"""Sessions on the page: listed, found, shown, and nothing leaked on the way."""

import logging
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import crudjt
from crudjt.testing import FakeClock
from tests.admin.page import Page, handles, signed_in

DAY = 86_400


def test_all_sessions_are_listed_newest_first_in_pages(
    client: TestClient, store: crudjt.Store, clock: FakeClock
) -> None:
    for number in range(60):
        clock.advance(0.002)
        store.create({}, subject=f"user-{number}")
    clock.advance(90)
    first = client.get("/sessions").text
    assert first.index("user-59") < first.index("user-10")
    assert "user-9<" not in first
    assert "1 minute ago" in first or "ago" in first
    last = handles(first)[-1]
    second = client.get(f"/sessions?after={last}").text
    assert "user-9<" in second
    assert not set(handles(first)) & set(handles(second))
    assert len(handles(first)) + len(handles(second)) == 61  # with the operator's own


def test_a_page_after_the_last_session_says_so(client: TestClient) -> None:
    assert "There are no older sessions." in client.get(f"/sessions?after={'0' * 32}").text


def test_a_bad_address_is_refused_in_words(client: TestClient) -> None:
    answer = client.get("/sessions?after=x")
    assert answer.status_code == 400
    assert "after must be" in answer.text
    assert client.get("/sessions/x").status_code == 400
    missing = client.get(f"/sessions/{'0' * 32}")
    assert missing.status_code == 404
    assert "It has ended" in missing.text


def test_a_session_has_its_client_where_it_was_recorded_and_no_log_has_it(
    client: TestClient, store: crudjt.Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.create({}, subject="ada", client=crudjt.Client("203.0.113.7", "<b>Firefox</b>"))
    with caplog.at_level(logging.DEBUG):
        text = client.get("/sessions").text
        assert ">203.0.113.7<" in text
        assert "not recorded" in text  # the operator's own
        handle = next(store.sessions("ada")).id
        text = client.get(f"/sessions/{handle}").text
        assert "203.0.113.7" in text
        assert "&lt;b&gt;Firefox" in text
        client.post(f"/sessions/{handle}/end")
    assert store.find(handle) is None
    assert "203.0.113.7" not in caplog.text
    assert "Firefox" not in caplog.text


@pytest.mark.parametrize("kind", ["handle", "HANDLE", "token"])
def test_a_handle_or_a_token_leads_to_its_session(client: TestClient, store: crudjt.Store, kind: str) -> None:
    token = store.create({"secret": "of-the-data"}, subject="Zoë <b>", max_reads=3, idle=600)
    session = store.peek(token)
    assert session is not None
    wanted = {"handle": session.id, "HANDLE": session.id.upper(), "token": f" {token} "}[kind]
    answer = client.post("/search", data={"wanted": wanted})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/sessions/{session.id}")
    text = client.get(answer.headers["location"]).text
    assert "Zoë &lt;b&gt;" in text
    assert "<dd>3</dd>" in text
    assert "of-the-data" not in text
    still = store.peek(token)
    assert still is not None
    assert still.reads_left == 3


def test_a_subject_leads_to_its_sessions_in_pages(client: TestClient, store: crudjt.Store) -> None:
    store.create_many([{}] * 55, subject="bob@example.org")
    store.create({}, subject="carol")
    answer = client.post("/search", data={"wanted": "bob@example.org"})
    assert answer.status_code == 200
    assert "55 alive." in answer.text
    found = handles(answer.text)
    rest = client.post("/subject", data={"subject": "bob@example.org", "after": found[-1]})
    assert len({*found, *handles(rest.text)}) == 55


def test_sessions_are_filtered_by_age_also_those_of_a_subject(path: Path, secret_key: str) -> None:
    clock = FakeClock(int(time.time()) - 2 * DAY)
    with crudjt.open(path, secret_key=secret_key, clock=clock) as store:
        store.create_many([{}] * 55, subject="bob")
        clock.advance(2 * DAY)
        store.create_many([{}], subject="bob")
        store.create({}, subject="carol")
        for client in signed_in(Page(store)):
            answer = client.post("/search", data={"wanted": "", "older": "86400"})
            assert (answer.status_code, answer.headers["location"]) == (303, "/sessions?older=86400")
            first = client.get(answer.headers["location"]).text
            assert "Began over a day ago, newest first" in first
            rest = client.get(f"/sessions?after={handles(first)[-1]}&older=86400").text
            assert len({*handles(first), *handles(rest)}) == 55
            assert "carol" not in first + rest
            assert "No live session began over a week ago." in client.get("/sessions?older=604800").text
            first = client.post("/search", data={"wanted": "bob", "older": "86400"}).text
            assert "56 alive; below are those that began over a day ago." in first
            following = {"subject": "bob", "after": handles(first)[-1], "older": "86400"}
            rest = client.post("/subject", data=following).text
            assert len({*handles(first), *handles(rest)}) == 55
            missing = client.post("/search", data={"wanted": "carol", "older": "86400"})
            assert "No live session that began over a day ago has" in missing.text


def test_an_age_that_the_page_does_not_offer_is_refused(client: TestClient) -> None:
    for refused in (client.get("/sessions?older=1"), client.post("/search", data={"wanted": "bob", "older": "x"})):
        assert refused.status_code == 400
        assert "older must be one of" in refused.text


def test_nothing_found_and_nothing_typed_are_said_above_the_sessions(client: TestClient) -> None:
    for wanted, status, words in (("nobody-here", 404, "No live session has this"), ("  ", 400, "Type a subject")):
        answer = client.post("/search", data={"wanted": wanted})
        assert answer.status_code == status
        assert words in answer.text
        assert len(handles(answer.text)) == 1


def test_data_is_shown_only_where_that_was_asked_for(store: crudjt.Store) -> None:
    session = store.peek(store.create({"role": "admin", "seen": {1, 2}}))
    assert session is not None
    for client in signed_in(Page(store, show_data=True)):
        assert "{&#39;role&#39;: &#39;admin&#39;, &#39;seen&#39;: {1, 2}}" in client.get(f"/sessions/{session.id}").text


def test_a_token_in_any_field_gets_into_no_address_header_log_or_page(
    page: Page, client: TestClient, store: crudjt.Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "httpcore2")
    alive = store.create({}, subject="bob")
    ended = store.create({}, subject="bob")
    store.delete(ended)
    requests = [
        ("/search", "wanted"),
        ("/search", "older"),
        ("/subject", "older"),
        ("/subject", "subject"),
        ("/subject", "after"),
        ("/subject/end", "subject"),
        ("/subject/end", "keep"),
        ("/subject/end/confirmed", "subject"),
        ("/subject/end/confirmed", "keep"),
        ("/sign-in", "access_token"),
    ]
    for token in (alive, ended):
        for path, field in requests:
            answer = client.post(path, data={"subject": "bob", field: token})
            assert token not in str(answer.headers)
            assert token not in str(answer.url)
            assert token not in answer.text
    assert "bob" in client.get("/sessions").text
    assert store.peek(alive) is not None
    assert [record for record in caplog.records if alive in record.getMessage() or ended in record.getMessage()] == []
    assert page.access.takes_tokens is False


def test_a_form_that_is_damaged_or_too_long_is_refused(client: TestClient) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/search", content=b"wanted=" + b"x" * 20_000, headers=form).status_code == 413
    assert client.post("/search", content=b"wanted=\xff", headers=form).status_code == 400
    assert client.post("/search", json={"wanted": "x"}).status_code == 415
    assert client.post("/search", data={"wanted": "x" * 5000}).status_code == 400
    assert client.put("/search").status_code == 403 or client.put("/search").status_code == 405
