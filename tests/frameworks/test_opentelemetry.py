"""The metrics of a store for OpenTelemetry, through its SDK."""

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

import crudjt
from crudjt._core.gauges import GAUGES, UP
from crudjt.contrib.opentelemetry import observe


def exported(reader: InMemoryMetricReader) -> dict[str, float]:
    """Return the numbers of an export by name."""
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if isinstance(point, NumberDataPoint)
    }


def test_an_export_has_the_numbers_of_the_store_and_asks_it_once(
    store: crudjt.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = InMemoryMetricReader()
    observe(store, meter_provider=MeterProvider([reader]))
    store.create_many([{}] * 3)
    looks: list[int] = []
    stats = store.stats

    def counted() -> crudjt.Stats:
        looks.append(1)
        return stats()

    monkeypatch.setattr(store, "stats", counted)
    found = exported(reader)
    assert (found["crudjt_store_up"], found["crudjt_sessions"]) == (1, 3)
    assert found["crudjt_max_size_bytes"] == stats().max_size
    assert set(found) <= {UP.name, *(gauge.name for gauge in GAUGES)}
    assert "crudjt_memory_bytes" not in found
    assert looks == [1]


def test_a_store_that_fails_is_down_and_has_no_other_number(store: crudjt.Store) -> None:
    reader = InMemoryMetricReader()
    observe(store, meter_provider=MeterProvider([reader]))
    store.close()
    assert exported(reader) == {"crudjt_store_up": 0}


def test_what_is_no_store_is_refused_in_words() -> None:
    with pytest.raises(crudjt.InvalidType, match=r"must be an open crudjt\.Store, not str"):
        observe("sessions")  # type: ignore[arg-type] # that is the mistake
