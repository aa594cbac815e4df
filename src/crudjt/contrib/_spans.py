"""Spans of the operations of a store on a server, for OpenTelemetry: what wraps the methods of an open store."""

import functools
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sized
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, use_span
from opentelemetry.util.types import AttributeValue

from crudjt._core.session import Session
from crudjt.base import AsyncStore, Store

SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"  # of the names of attributes

OPERATIONS = (
    "create",
    "read",
    "peek",
    "update",
    "touch",
    "rotate",
    "delete",
    "revoke",
    "revoke_id",
    "create_many",
    "read_many",
    "delete_many",
    "stats",
    "sweep",
    "sync",
    "count",
    "find",
    "list",
)
"""The methods that have a span, besides `sessions`, which iterates."""

_BATCHES = frozenset({"create_many", "read_many", "delete_many"})


class Spans:
    """Makes the spans of one store.

    Nothing that a caller passes or receives gets into them: no token, key, handle, subject or data.
    """

    def __init__(self, tracer: Tracer, location: str) -> None:
        """Take the URL of the store."""
        self._tracer = tracer
        self._attributes = attributes_of(location)
        self._target = _target(self._attributes)

    def wrap(self, store: Store) -> None:
        """Put a span around each operation of a store, and of each `AsyncStore` that is made of it."""
        for name in OPERATIONS:
            setattr(store, name, self._blocking(name, getattr(store, name)))
        setattr(store, "sessions", self._iterated(store.sessions))  # noqa: B010 - mypy refuses to assign a method
        make = store.asynchronous

        @functools.wraps(make)
        def asynchronous(**options: Any) -> AsyncStore | None:
            made = make(**options)
            if made is not None:
                self.wrap_async(made)
            return made

        setattr(store, "asynchronous", asynchronous)  # noqa: B010 - as above

    def wrap_async(self, store: AsyncStore) -> None:
        """Put a span around each operation of an asynchronous store."""
        for name in OPERATIONS:
            setattr(store, name, self._awaited(name, getattr(store, name)))
        setattr(store, "sessions", self._iterated_async(store.sessions))  # noqa: B010 - as above

    def _blocking(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def traced(*args: Any, **named: Any) -> Any:
            with _entered(self._started(name, args), last=True):
                return method(*args, **named)

        return traced

    def _awaited(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        async def traced(*args: Any, **named: Any) -> Any:
            with _entered(self._started(name, args), last=True):
                return await method(*args, **named)

        return traced

    def _iterated(self, method: Callable[[str], Iterator[Session]]) -> Callable[[str], Iterator[Session]]:
        @functools.wraps(method)
        def traced(subject: str) -> Iterator[Session]:
            span = self._started("sessions")
            try:
                steps = method(subject)
                while True:
                    with _entered(span):  # only for a step: the caller's own spans are no children of it
                        session = next(steps, None)
                    if session is None:
                        return
                    yield session
            finally:
                span.end()

        return traced

    def _iterated_async(self, method: Callable[[str], AsyncIterator[Session]]) -> Callable[..., AsyncIterator[Session]]:
        @functools.wraps(method)
        async def traced(subject: str) -> AsyncIterator[Session]:
            span = self._started("sessions")
            try:
                steps = method(subject)
                while True:
                    with _entered(span):  # as above
                        session = await anext(steps, None)
                    if session is None:
                        return
                    yield session
            finally:
                span.end()

        return traced

    def _started(self, name: str, args: tuple[Any, ...] = ()) -> Span:
        attributes = {**self._attributes, "db.operation.name": name}
        if name in _BATCHES and args and isinstance(args[0], Sized) and len(args[0]) > 1:
            attributes["db.operation.batch.size"] = len(args[0])
        return self._tracer.start_span(f"{name} {self._target}", kind=SpanKind.CLIENT, attributes=attributes)


@contextmanager
def _entered(span: Span, *, last: bool = False) -> Generator[None]:
    """Make a span the current one. Of an error it gets the class, not the text."""
    with use_span(span, end_on_exit=last, record_exception=False, set_status_on_exception=False):
        try:
            yield
        except Exception as error:
            kind = type(error)
            span.set_attribute("error.type", f"{kind.__module__}.{kind.__qualname__}")
            span.set_status(StatusCode.ERROR)
            raise


def is_wrapped(store: Store | AsyncStore) -> bool:
    """Tell whether the operations of a store have spans already."""
    return OPERATIONS[0] in vars(store)


def attributes_of(location: str) -> dict[str, AttributeValue]:
    """Return the attributes of a store by its URL: of several hosts, the first."""
    found: dict[str, AttributeValue] = {"db.system.name": "crudjt"}
    scheme, _, rest = location.partition(":")
    if scheme == "unix":
        return {**found, "server.address": rest.removeprefix("//")}
    hosts, _, namespace = rest.removeprefix("//").partition("/")
    first = urlsplit(f"//{hosts.split(',')[0]}")
    if first.hostname:
        found["server.address"] = first.hostname
    if first.port is not None:
        found["server.port"] = first.port
    if namespace:
        found["db.namespace"] = namespace
    return found


def _target(attributes: dict[str, AttributeValue]) -> str:
    address, port = attributes.get("server.address"), attributes.get("server.port")
    return str(attributes.get("db.namespace") or (address if port is None else f"{address}:{port}"))
