"""Metrics of a store, and spans of one on a server, for OpenTelemetry. It needs the extra ``otel``.

```python
import crudjt
from crudjt.contrib.opentelemetry import instrument, observe

store = crudjt.open("grpc://127.0.0.1:50051")
observe(store)
instrument(store)
```

The metrics have the names that `crudjt.metrics` gives them for Prometheus. Nothing is counted in the operations
themselves: `Store.stats` is asked at each export. Spans are made only for stores that are passed to `instrument`.
"""

import re
import threading
import time
from collections.abc import Iterable

from crudjt._core.extras import require_extra

require_extra("otel")

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter
from opentelemetry.trace import TracerProvider, get_tracer

from crudjt._core.gauges import GAUGES, UP, Gauge, values
from crudjt.base import AsyncStore, Store
from crudjt.contrib._spans import SCHEMA_URL, Spans, is_wrapped
from crudjt.errors import InvalidType, StoreError

__all__ = ["instrument", "observe"]

_FRESH_SECONDS = 1.0  # one export asks for each metric by itself
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # of a URL: the location of a directory is an absolute path


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


def instrument(store: Store | AsyncStore, *, tracer_provider: TracerProvider | None = None) -> None:
    """Make a span for each operation of a store on a server, from now on; before its threads and tasks share it.

    The spans are those of a database client. They name the operation, the server and the class of an error, and hold no
    token, handle, subject or data. `events` and `backup`, which last, have none. A store in a directory is left as it
    is: an operation there takes microseconds, as a span does.

    Args:
        store: an open store; each `AsyncStore` that is made of it later is instrumented too.
        tracer_provider: where the spans go; ``None`` for the global one.

    Raises:
        InvalidType: `store` is no `Store` or `AsyncStore`.

    """
    if not isinstance(store, Store | AsyncStore):
        raise InvalidType(
            "store", f"store must be an open crudjt.Store or crudjt.aio.AsyncStore, not {type(store).__name__}"
        )
    if is_wrapped(store) or not _SCHEME.match(store.location):
        return
    spans = Spans(get_tracer("crudjt", tracer_provider=tracer_provider, schema_url=SCHEMA_URL), store.location)
    if isinstance(store, Store):
        spans.wrap(store)
    else:
        spans.wrap_async(store)


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
