"""The collector of a store: the gauges it exports, those that are documented, and what it does when the store fails."""

import json
import re
from datetime import datetime, timezone

import pytest
from prometheus_client import CollectorRegistry, generate_latest

import crudjt
from crudjt._core.gauges import GAUGES, UP, values
from crudjt.metrics import Collector
from tests.support.project import ROOT

COUNTED_BY_SERVERS = {"crudjt_operations_total", "crudjt_calls_total", "crudjt_call_seconds"}
NAMES = {UP.name, *(gauge.name for gauge in GAUGES)}


def exported(store: crudjt.Store) -> dict[str, float]:
    """Return the samples of a scrape."""
    registry = CollectorRegistry()
    registry.register(Collector(store))
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, value in (line.split() for line in lines if line[0] != "#")}


def test_a_scrape_has_what_the_store_counts(store: crudjt.Store) -> None:
    for _ in range(3):
        store.create({"user_id": 42})
    store.sync()
    found = exported(store)
    stats = store.stats()
    assert stats.synced_at is not None
    assert (found["crudjt_store_up"], found["crudjt_sessions"]) == (1, 3)
    assert found["crudjt_log_bytes"] == stats.log_bytes > 0
    assert found["crudjt_max_size_bytes"] == stats.max_size
    assert found["crudjt_last_sync_timestamp_seconds"] == stats.synced_at.timestamp()
    assert found["crudjt_last_compaction_timestamp_seconds"] == 0
    assert not {"crudjt_memory_bytes", "crudjt_replicas"} & found.keys()


def test_a_store_on_servers_has_its_own() -> None:
    stats = crudjt.Stats(sessions=7, memory_bytes=5, primaries=3, replicas=2)
    found = {gauge.name: value for gauge, value in values(stats)}
    assert found == {"crudjt_sessions": 7, "crudjt_memory_bytes": 5, "crudjt_primaries": 3, "crudjt_replicas": 2}


def test_a_store_that_fails_is_down_and_the_scrape_goes_on(store: crudjt.Store) -> None:
    store.close()
    assert exported(store) == {"crudjt_store_up": 0}


def test_what_is_no_store_is_refused_in_words() -> None:
    with pytest.raises(crudjt.InvalidType, match=r"must be an open crudjt\.Store, not str"):
        Collector("sessions")  # type: ignore[arg-type] # that is the mistake


def test_the_gauges_have_the_counters_of_stats() -> None:
    every = crudjt.Stats(sessions=1, synced_at=datetime.now(timezone.utc), primaries=1)
    assert {gauge.counter for gauge in GAUGES} <= set(vars(every))


def test_alerts_and_dashboard_name_metrics_that_exist_and_the_page_of_the_server_all() -> None:
    rules = (ROOT / "deploy" / "prometheus" / "crudjt.rules.yaml").read_text()
    panels = json.loads((ROOT / "deploy" / "grafana" / "crudjt.json").read_text())["panels"]
    queries = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    expressions = rules + queries.replace("crudjt_call_seconds_bucket", "crudjt_call_seconds")
    assert set(re.findall(r"\bcrudjt_\w+", expressions)) <= NAMES | COUNTED_BY_SERVERS
    assert set(re.findall(r"\bcrudjt_\w+", queries)) >= NAMES
    page = (ROOT / "docs" / "server.md").read_text()
    assert set(re.findall(r"`(crudjt_[a-z_]+)", page)) >= NAMES | COUNTED_BY_SERVERS
    alerts = re.findall(r"- alert: (\w+)", rules)
    guide = (ROOT / "docs" / "operations.md").read_text()
    assert [name for name in alerts if f"`{name}`" not in guide] == []
