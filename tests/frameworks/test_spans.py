"""The spans of stores on servers for OpenTelemetry, through its SDK, and with gRPC's own instrumentation."""

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient, GrpcInstrumentorServer
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import crudjt
import crudjt.aio
from crudjt.contrib._spans import OPERATIONS
from crudjt.contrib.opentelemetry import instrument
from crudjt.server import Server
from tests.support.valkey_stores import SINGLE, ServerPool, namespace

PRIVATE = ("alice", "hidden")


class Recorded:
    """What a tracer provider has exported."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def spans(self) -> list[ReadableSpan]:
        """Return the spans that have ended since the last call."""
        found = list(self._exporter.get_finished_spans())
        self._exporter.clear()
        return found

    def names(self) -> list[str]:
        return [span.name.split()[0] for span in self.spans()]


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def served(store: crudjt.Store, tmp_path: Path) -> Iterator[crudjt.Store]:
    server = Server(store, [f"unix:{tmp_path}/socket"])
    server.start()
    with crudjt.open(f"unix:{tmp_path}/socket") as remote:
        yield remote
    server.stop(0)


def test_each_operation_of_a_remote_store_is_a_span_without_anything_secret(
    served: crudjt.Store, recorded: Recorded
) -> None:
    instrument(served, tracer_provider=recorded.provider)
    token = served.create({"is": "hidden"}, subject="alice")
    assert served.read(token) is not None
    (session,) = served.sessions("alice")
    assert len(served.read_many([token, token])) == 2
    assert served.find(session.id) is not None
    served.revoke("alice")
    spans = recorded.spans()
    address = served.location.removeprefix("unix:")
    assert [span.name for span in spans] == [
        f"{name} {address}" for name in ("create", "read", "sessions", "read_many", "find", "revoke")
    ]
    assert {span.kind for span in spans} == {SpanKind.CLIENT}
    assert spans[3].attributes == {
        "db.system.name": "crudjt",
        "db.operation.name": "read_many",
        "db.operation.batch.size": 2,
        "server.address": address,
    }
    told = "".join(span.to_json() for span in spans)
    assert not any(each in told for each in (*PRIVATE, token, session.id))


def test_an_error_is_told_by_its_class_alone(served: crudjt.Store, recorded: Recorded) -> None:
    instrument(served, tracer_provider=recorded.provider)
    token = served.create({})
    with pytest.raises(crudjt.VersionConflict):
        served.update(token, {"is": "hidden"}, if_version=7)
    [_, span] = recorded.spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert not span.events
    assert span.attributes is not None
    assert span.attributes["error.type"] == "crudjt.errors.VersionConflict"


def test_an_asynchronous_store_of_an_instrumented_one_has_spans_once(served: crudjt.Store, recorded: Recorded) -> None:
    instrument(served, tracer_provider=recorded.provider)
    instrument(served, tracer_provider=recorded.provider)

    async def use() -> None:
        async with crudjt.aio.wrap(served) as store:
            instrument(store, tracer_provider=recorded.provider)
            token = await store.create({}, subject="alice")
            assert [session.subject async for session in store.sessions("alice")] == ["alice"]
            assert await store.delete(token)

    asyncio.run(use())
    assert recorded.names() == ["create", "sessions", "delete"]


def test_what_a_caller_does_between_sessions_is_no_part_of_their_span(served: crudjt.Store, recorded: Recorded) -> None:
    instrument(served, tracer_provider=recorded.provider)
    served.create_many([{}] * 2, subject="alice")
    tracer = recorded.provider.get_tracer("caller")
    for _ in served.sessions("alice"):
        with tracer.start_as_current_span("own"):
            pass
    own = [span for span in recorded.spans() if span.name == "own"]
    assert [span.parent for span in own] == [None, None]


def test_the_span_of_the_server_joins_that_of_the_client_by_instrumentation_of_grpc(
    store: crudjt.Store, tmp_path: Path, recorded: Recorded
) -> None:
    instrumentors = (GrpcInstrumentorClient(), GrpcAioInstrumentorClient(), GrpcInstrumentorServer())
    for each in instrumentors:
        each.instrument(tracer_provider=recorded.provider)
    server = Server(store, [f"unix:{tmp_path}/socket"])
    server.start()
    try:
        with crudjt.open(f"unix:{tmp_path}/socket") as remote:
            instrument(remote, tracer_provider=recorded.provider)
            token = remote.create({"is": "hidden"}, subject="alice")
            assert len(list(remote.sessions("alice"))) == 1

            async def use() -> None:
                async with crudjt.aio.wrap(remote) as waiting:
                    assert await waiting.read(token) is not None
                    assert [session.subject async for session in waiting.sessions("alice")] == ["alice"]

            asyncio.run(use())
        server.stop(0)
    finally:
        for each in instrumentors:
            each.uninstrument()
    spans = recorded.spans()
    ours = {span.context.trace_id for span in spans if span.kind is SpanKind.CLIENT and span.parent is None}
    at_server = [span for span in spans if span.kind is SpanKind.SERVER]
    assert [span.name.rpartition("/")[2] for span in at_server] == ["Create", "Sessions", "Read", "Sessions"]
    assert {span.context.trace_id for span in at_server} == ours
    assert len(ours) == 4
    told = "".join(span.to_json() for span in spans)
    assert not any(each in told for each in (*PRIVATE, token))


def test_a_store_on_valkey_has_spans_with_its_namespace(
    servers: ServerPool, path: Path, secret_key: str, recorded: Recorded
) -> None:
    location = servers.single("valkey").url(namespace(path))
    with crudjt.open(location, secret_key=secret_key, **SINGLE) as opened:
        instrument(opened, tracer_provider=recorded.provider)
        token = opened.create({"is": "hidden"}, subject="alice")

        async def use() -> None:
            async with crudjt.aio.wrap(opened) as store:
                assert await store.read(token) is not None

        asyncio.run(use())
    spans = recorded.spans()
    assert [span.name for span in spans] == [f"create {namespace(path)}", f"read {namespace(path)}"]
    assert [span.attributes for span in spans] == [
        {
            "db.system.name": "crudjt",
            "db.operation.name": name,
            "db.namespace": namespace(path),
            "server.address": "127.0.0.1",
            "server.port": int(location.rpartition("/")[0].rpartition(":")[2]),
        }
        for name in ("create", "read")
    ]


def test_a_store_in_a_directory_is_left_as_it_is(store: crudjt.Store, recorded: Recorded) -> None:
    before = dict(vars(store))
    instrument(store, tracer_provider=recorded.provider)
    store.create({})
    assert recorded.spans() == []
    assert vars(store).keys() == before.keys()


def test_every_method_has_a_span_but_those_that_last() -> None:
    methods = {name for name, _ in inspect.getmembers(crudjt.Store, inspect.isfunction) if not name.startswith("_")}
    assert methods - set(OPERATIONS) == {"sessions", "events", "backup", "close", "asynchronous", "typed"}


def test_what_is_no_store_is_refused_in_words() -> None:
    with pytest.raises(crudjt.InvalidType, match=r"must be an open crudjt\.Store or crudjt\.aio\.AsyncStore, not str"):
        instrument("sessions")  # type: ignore[arg-type] # that is the mistake
