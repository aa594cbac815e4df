"""Metrics of a store for OpenTelemetry. It needs the extra ``otel``.

```python
import crudjt
from crudjt.contrib.opentelemetry import observe

store = crudjt.open("sessions")  # the key is in CRUDJT_SECRET_KEY
observe(store)
```

They have the names that `crudjt.metrics` gives them for Prometheus. Nothing is counted in the operations themselves:
`Store.stats` is asked at each export.
"""

import threading
import time
from collections.abc import Iterable

from crudjt._core.extras import require_extra

require_extra("otel")

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter

from crudjt._core.gauges import GAUGES, UP, Gauge, values
from crudjt.base import Store
from crudjt.errors import InvalidType, StoreError

__all__ = ["observe"]

_FRESH_SECONDS = 1.0  # one export asks for each metric by itself


def observe(store: Store, *, meter_provider: MeterProvider | None = None) -> None:
    """Make the statistics of a store observable gauges, until the process ends.

    Args:
        store: an open store of any backend. It stays the caller's to close; from then on it is reported as down.
        meter_provider: where they are registered; ``None`` for the global one.

    Raises:
        InvalidType: `store` is no `Store`.

    """
    if not isinstance(store, Store):
        raise InvalidType("store", f"store must be an open crudjt.Store, not {type(store).__name__}")
    meter = get_meter("crudjt", meter_provider=meter_provider)
    latest = _Latest(store)
    for gauge in (UP, *GAUGES):
        meter.create_observable_gauge(
            gauge.name, [_Callback(gauge, latest)], unit=gauge.unit, description=gauge.description
        )


class _Latest:
    """The numbers of a store, read at most once a second."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._numbers: dict[str, float] = {}
        self._until = 0.0

    def numbers(self) -> dict[str, float]:
        """Return the numbers by the names of their gauges; only that of `UP` if the store fails."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._numbers = self._read()
                self._until = time.monotonic() + _FRESH_SECONDS
            return self._numbers

    def _read(self) -> dict[str, float]:
        try:
            stats = self._store.stats()
        except StoreError:
            return {UP.name: 0}
        return {UP.name: 1, **{gauge.name: value for gauge, value in values(stats)}}


class _Callback:
    """Observes one gauge."""

    def __init__(self, gauge: Gauge, latest: _Latest) -> None:
        self._gauge = gauge
        self._latest = latest

    def __call__(self, _options: CallbackOptions) -> Iterable[Observation]:
        number = self._latest.numbers().get(self._gauge.name)
        return [] if number is None else [Observation(number)]
