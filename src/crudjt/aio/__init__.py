"""crudjt for asyncio and trio: `AsyncStore`, and `open`.

```python
import crudjt.aio

async with crudjt.aio.open("sessions") as store:  # the key is in CRUDJT_SECRET_KEY
    token = await store.create({"user_id": 42}, ttl=3600)
```
"""

from typing import TYPE_CHECKING, get_args

from crudjt import opening
from crudjt.aio._threads import ThreadedAsyncStore
from crudjt.base import AsyncStore as AsyncStore
from crudjt.base import Store
from crudjt.base import Writes as Writes
from crudjt.errors import InvalidParameter
from crudjt.opening import Location, OpenOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing since 3.11; no dependency at run time


def open(  # noqa: A001 - as crudjt.open
    location: Location | None = None, *, writes: Writes = "auto", **options: "Unpack[OpenOptions]"
) -> AsyncStore:
    """Open the store in a directory, or connect to a server that has it open.

    It opens at once, as `crudjt.open` does, and may have to recover the store first: call it before the loop serves
    requests. Nothing in it belongs to an event loop, so it may be called before there is one.

    Args:
        location: as for `crudjt.open`.
        writes: where the writes of an embedded store are made. "auto": on the thread of the event loop while no process
            holds the write lock or syncs, else in another thread, so that the loop does not wait. "thread": always in
            another thread, some 50 µs slower each. "inline": always on the thread of the loop, which waits whenever a
            write has to wait for the disk or for another process.
        options: as for `crudjt.open`.

    Raises:
        InvalidParameter: a parameter, or the environment in its place, is not usable.
        StoreError: the store cannot be opened; the subclass says why.

    """
    _require_writes(writes)
    return wrap(opening.open(location, **options), writes=writes)


def wrap(store: Store | AsyncStore, *, writes: Writes = "auto") -> AsyncStore:
    """Return an open store as an `AsyncStore`. Both are the same store: closing one closes both.

    A store on a server is called over a connection of its own. A store of a backend without an `AsyncStore` is called
    in threads.
    """
    _require_writes(writes)
    if isinstance(store, AsyncStore):
        return store
    return store.asynchronous(writes=writes) or ThreadedAsyncStore(store)


def _require_writes(writes: str) -> None:
    if writes not in get_args(Writes):
        raise InvalidParameter("writes", f"writes must be 'auto', 'inline' or 'thread', not {writes!r}")
