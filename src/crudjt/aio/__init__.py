"""crudjt for asyncio: `AsyncStore`, and `open`.

async with crudjt.aio.open("sessions", secret_key=key) as store:
    token = await store.create({"user_id": 42}, ttl=3600)
"""

from typing import Any

from crudjt import opening
from crudjt._backends.embedded.store import Store
from crudjt.aio.threads import AsyncStore as AsyncStore
from crudjt.aio.threads import Writes as Writes


def open(location: Any = None, *, writes: Writes = "thread", **options: Any) -> AsyncStore:  # noqa: A001 - as crudjt.open
    """Open the store in a directory, or connect to a server that has it open.

    It opens at once, as `crudjt.open` does, and may have to recover the store first: call it before the loop has others
    to serve. Nothing in it belongs to an event loop, so it may be called before there is one.

    Args:
        location: as for `crudjt.open`.
        writes: see `AsyncStore`.
        options: as for `crudjt.open`.

    Raises:
        InvalidParameter: a parameter, or the environment in its place, is not usable.
        StoreError: the store cannot be opened; the subclass says why.

    """
    return wrap(opening.open(location, **options), writes=writes)


def wrap(store: Store | AsyncStore, *, writes: Writes = "thread") -> AsyncStore:
    """Return a store that is open already as an `AsyncStore`. Both are the same store: to close one closes both.

    A store on a server is called over a connection of its own.
    """
    if isinstance(store, AsyncStore):
        return store
    connection = getattr(store, "connection", None)
    if connection is None:
        return AsyncStore(store, writes=writes)
    from crudjt._backends.grpc.aio import AsyncRemoteStore  # noqa: PLC0415 - gRPC takes 0.1 s to import

    return AsyncRemoteStore(store, connection.remote)
