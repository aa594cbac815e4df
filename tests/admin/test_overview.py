"""The overview: numbers, what needs attention, and a stream that ends with the operator's session."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from starlette.testclient import TestClient

import crudjt
from crudjt import admin
from crudjt.admin import pulse
from crudjt.admin.health import concerns
from crudjt.admin.words import duration, moment, size
from tests.admin.page import Page

NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
GIB = 1024**3


def test_the_overview_has_the_numbers_of_the_store(client: TestClient, store: crudjt.Store) -> None:
    store.create_many([{}] * 1234)
    text = client.get("/").text
    assert '<dd class="value" id="value-sessions">1,235</dd>' in text
    assert "of at most 16.0 GiB" in text
    assert "All is well" in text


@pytest.mark.parametrize(
    ("stats", "words"),
    [
        (crudjt.Stats(sessions=1, max_size=10 * GIB, view_bytes=9 * GIB), "9.0 GiB of at most 10.0 GiB"),
        (crudjt.Stats(sessions=1, unsynced_bytes=1, synced_at=NOW - timedelta(minutes=2)), "disk for 2 minutes"),
        (crudjt.Stats(sessions=1, swept_at=NOW - timedelta(days=4)), "not been removed for 4 days"),
        (crudjt.Stats(sessions=1, log_bytes=6 * GIB, view_bytes=GIB), "log has 6.0 GiB"),
        (crudjt.Stats(sessions=1, primaries=3, replicas=2), "3 primaries have 2 replicas"),
        (crudjt.Stats(sessions=1, primaries=1, replicas=1, memory_bytes=9, max_memory_bytes=10), "9 bytes of 10 bytes"),
    ],
)
def test_what_needs_attention_is_said_with_its_remedy(stats: crudjt.Stats, words: str) -> None:
    (concern,) = concerns(stats, NOW)
    assert words in concern


def test_a_store_that_is_well_has_no_concern() -> None:
    well = crudjt.Stats(sessions=9, max_size=10, view_bytes=1, unsynced_bytes=1, synced_at=NOW, swept_at=NOW)
    assert list(concerns(well, NOW)) == []
    assert list(concerns(crudjt.Stats(sessions=9, primaries=3, replicas=3), NOW)) == []


def test_the_stream_has_the_numbers_and_ends_when_the_operator_is_none_any_more(
    store: crudjt.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crudjt.admin.overview.SECONDS", 0.01)
    answers = iter(["alice"] * 3)
    store.create({})
    with (
        TestClient(admin.app(store, authorize=lambda _request: next(answers, None))) as client,
        client.stream("GET", "/live") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = list(answer.iter_lines())
    messages = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert [message["tiles"]["sessions"][0] for message in messages] == ["1", "1"]
    assert lines[-3:] == ["event: end", "data:", ""]


def test_a_store_that_fails_is_said_on_the_page_and_in_the_stream(
    store: crudjt.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crudjt.admin.overview.SECONDS", 0.01)
    answers = iter(["alice"] * 3)
    store.close()
    with TestClient(admin.app(store, authorize=lambda _request: next(answers, None))) as client:
        page = client.get("/")
        assert page.status_code == 503
        assert "The store does not answer: the store is closed" in page.text
        assert "the store is closed" in client.get("/live").text


def test_pages_share_one_look_at_the_store(client: TestClient, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "SECONDS", 600)
    looks: list[int] = []
    stats = page.store.stats

    async def counted() -> crudjt.Stats:
        looks.append(1)
        return await stats()

    monkeypatch.setattr(page.store, "stats", counted)
    assert {client.get("/").status_code for _ in range(3)} == {200}
    assert looks == [1]


def test_numbers_and_times_are_put_into_words() -> None:
    assert [duration(seconds) for seconds in (0.2, 1, 61, 7200, 90_000)] == [
        "less than a second", "1 second", "1 minute", "2 hours", "1 day",
    ]  # fmt: skip
    assert [size(number) for number in (0, 1, 1536, 5 * 1024**2)] == ["0 bytes", "1 byte", "1.5 KiB", "5.0 MiB"]
    assert moment(None, NOW) is None
    assert moment(NOW + timedelta(hours=3), NOW) == (
        "2026-01-31T15:00:00+00:00",
        "2026-01-31 15:00:00 UTC",
        "in 3 hours",
    )
