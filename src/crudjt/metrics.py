"""Metrics of a store for Prometheus, from the process that has it open. It needs the extra ``metrics``.

```python
import crudjt
from crudjt.metrics import Collector
from prometheus_client import REGISTRY, generate_latest

store = crudjt.open("sessions")  # the key is in CRUDJT_SECRET_KEY
store.create({"user_id": 42})
REGISTRY.register(Collector(store))
b"crudjt_sessions 1.0" in generate_latest()  # True
```

Nothing is counted in the operations themselves: `Collector` asks `Store.stats` at each scrape.
"""

from collections.abc import Iterator

from crudjt._core.extras import require_extra

require_extra("metrics")

from prometheus_client import registry
from prometheus_client.core import GaugeMetricFamily, Metric

from crudjt._core.gauges import UP, values
from crudjt.base import Store
from crudjt.errors import InvalidType, StoreError

__all__ = ["Collector"]


class Collector(registry.Collector):
    """The statistics of a store as gauges, read at each scrape.

    A registry takes one collector. The names are those that ``crudjt serve --metrics`` has. In servers the sessions
    are counted one by one, some 800,000 in a second: set the interval of the scrapes to fit.

    Args:
        store: an open store of any backend. It stays the caller's to close; a scrape after that reports it as down.

    Raises:
        InvalidType: `store` is no `Store`.

    """

    def __init__(self, store: Store) -> None:
        """Take an open store."""
        if not isinstance(store, Store):
            raise InvalidType("store", f"store must be an open crudjt.Store, not {type(store).__name__}")
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; only ``crudjt_store_up`` if the store fails."""
        try:
            stats = self._store.stats()
        except StoreError:
            yield GaugeMetricFamily(UP.name, UP.description, 0)
            return
        yield GaugeMetricFamily(UP.name, UP.description, 1)
        for gauge, value in values(stats):
            yield GaugeMetricFamily(gauge.name, gauge.description, value)
