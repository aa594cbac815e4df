"""The service `crudjt.v1.Store`: every method of `Store`, as defined in ``proto/v1/store.proto``."""

import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from crudjt._core.events import NO_EVENTS
from crudjt._core.validation import KEEP
from crudjt._rpc.chunking import MAX_REQUEST_DATA_BYTES, in_parts, within_one_call
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.base import Store
from crudjt.errors import StoreInaccessible
from crudjt.server.services._messages import (
    changed,
    changed_duration,
    client_of,
    created_before_of,
    data_of,
    event_message,
    limits_of,
    optional,
    optional_session_message,
    session_limit_of,
    session_message,
    stats_message,
    tokens_of,
)
from crudjt.server.services.backup import send_backup
from crudjt.server.services.method import Method

_QUIET_SECONDS = 1.0
_READ_MANY_BYTES = 8 * 1024**2  # of data that one transaction of a ReadMany may read, at most


def _create(store: Store, request: pb.CreateRequest) -> pb.CreateResponse:
    token = store.create(
        data_of(store, request.data),
        **limits_of(request.limits),
        subject=optional(request, "subject"),
        **session_limit_of(request),
        client=client_of(request.client) if request.HasField("client") else None,
        bound_to=optional(request, "bound_to"),
        labels=request.labels,
    )
    return pb.CreateResponse(token=token)


def _read(store: Store, request: pb.ReadRequest) -> pb.ReadResponse:
    return pb.ReadResponse(session=optional_session_message(store.read(request.token)))


def _peek(store: Store, request: pb.PeekRequest) -> pb.PeekResponse:
    return pb.PeekResponse(session=optional_session_message(store.peek(request.token)))


def _update(store: Store, request: pb.UpdateRequest) -> pb.UpdateResponse:
    found = store.update(
        request.token,
        data_of(store, request.data),
        changed_duration(request, "ttl"),
        changed(request, "max_reads"),
        idle=changed_duration(request, "idle"),
        if_version=optional(request, "if_version"),
    )
    return pb.UpdateResponse(found=found)


def _touch(store: Store, request: pb.TouchRequest) -> pb.TouchResponse:
    found = store.touch(request.token, changed_duration(request, "ttl"), idle=changed_duration(request, "idle"))
    return pb.TouchResponse(found=found)


def _rotate(store: Store, request: pb.RotateRequest) -> pb.RotateResponse:
    token = store.rotate(
        request.token,
        data=data_of(store, request.data) if request.HasField("data") else None,
        subject=changed(request, "subject"),
        ttl=changed_duration(request, "ttl"),
        idle=changed_duration(request, "idle"),
        if_version=optional(request, "if_version"),
        **session_limit_of(request),
        client=client_of(request.client) if request.HasField("client") else KEEP,
        bound_to=changed(request, "bound_to"),
        labels=request.labels.values if request.HasField("labels") else KEEP,
    )
    return pb.RotateResponse(token=token)


def _delete(store: Store, request: pb.DeleteRequest) -> pb.DeleteResponse:
    return pb.DeleteResponse(found=store.delete(request.token))


def _sessions(store: Store, request: pb.SessionsRequest) -> Iterator[pb.SessionsResponse]:
    messages = (session_message(session) for session in store.sessions(request.subject))
    for part in in_parts(messages, pb.Session.ByteSize):
        yield pb.SessionsResponse(sessions=part)


def _revoke(store: Store, request: pb.RevokeRequest) -> pb.RevokeResponse:
    names = {"keep": optional(request, "keep"), "label": optional(request, "label")}
    return pb.RevokeResponse(ended=store.revoke(optional(request, "subject"), **names))


def _revoke_id(store: Store, request: pb.RevokeIdRequest) -> pb.RevokeIdResponse:
    return pb.RevokeIdResponse(found=store.revoke_id(request.id.hex(), subject=optional(request, "subject")))


def _create_many(store: Store, requests: Iterator[pb.CreateManyRequest]) -> Iterator[pb.CreateManyResponse]:
    first = next(requests, pb.CreateManyRequest())
    items = chain.from_iterable(request.data for request in chain([first], requests))
    packed = within_one_call("data", items, len)
    subject = optional(first, "subject")
    tokens = store.create_many((data_of(store, item) for item in packed), **limits_of(first.limits), subject=subject)
    for part in in_parts(tokens, len):
        yield pb.CreateManyResponse(tokens=part)


def _read_many(store: Store, requests: Iterator[pb.ReadManyRequest]) -> Iterator[pb.ReadManyResponse]:
    tokens = tokens_of(requests)
    count = max(_READ_MANY_BYTES // (store.max_data_bytes or MAX_REQUEST_DATA_BYTES), 1)
    for start in range(0, len(tokens), count):
        sessions = store.read_many(tokens[start : start + count])
        results = (pb.ReadResponse(session=optional_session_message(session)) for session in sessions)
        for part in in_parts(results, pb.ReadResponse.ByteSize):
            yield pb.ReadManyResponse(results=part)


def _delete_many(store: Store, requests: Iterator[pb.DeleteManyRequest]) -> pb.DeleteManyResponse:
    return pb.DeleteManyResponse(ended=store.delete_many(tokens_of(requests)))


def _stats(store: Store, _request: pb.StatsRequest) -> pb.StatsResponse:
    return stats_message(store.stats())


def _sweep(store: Store, _request: pb.SweepRequest) -> pb.SweepResponse:
    return pb.SweepResponse(removed=store.sweep())


def _sync(store: Store, _request: pb.SyncRequest) -> pb.SyncResponse:
    store.sync()
    return pb.SyncResponse()


def _count(store: Store, request: pb.CountRequest) -> pb.CountResponse:
    return pb.CountResponse(sessions=store.count(optional(request, "subject")))


def _find(store: Store, request: pb.FindRequest) -> pb.FindResponse:
    return pb.FindResponse(session=optional_session_message(store.find(request.id.hex())))


def _list(store: Store, request: pb.ListRequest) -> Iterator[pb.ListResponse]:
    page = store.list(
        after=request.after.hex() if request.HasField("after") else None,
        limit=request.limit,
        subject=optional(request, "subject"),
        created_before=created_before_of(request),
        data=request.data,
    )
    for part in in_parts(map(session_message, page), pb.Session.ByteSize):
        yield pb.ListResponse(sessions=part)
    if page.next is not None:
        yield pb.ListResponse(next=bytes.fromhex(page.next))


def _events(store: Store, request: pb.EventsRequest) -> Iterator[pb.EventsResponse]:
    """Stream events, and now and then nothing, by which gRPC notices that the client has gone."""
    batches = getattr(store, "event_batches", None)
    if batches is None:
        raise StoreInaccessible(store.location, NO_EVENTS)
    quiet_since = time.monotonic()
    for batch in batches(optional(request, "after"), follow=request.follow):
        if batch or time.monotonic() - quiet_since > _QUIET_SECONDS:
            yield pb.EventsResponse(events=map(event_message, batch))
            quiet_since = time.monotonic()


NAME = "crudjt.v1.Store"

_CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "Create": _create,
    "Read": _read,
    "Peek": _peek,
    "Update": _update,
    "Touch": _touch,
    "Rotate": _rotate,
    "Delete": _delete,
    "Sessions": _sessions,
    "Revoke": _revoke,
    "RevokeId": _revoke_id,
    "CreateMany": _create_many,
    "ReadMany": _read_many,
    "DeleteMany": _delete_many,
    "Stats": _stats,
    "Sweep": _sweep,
    "Sync": _sync,
    "Count": _count,
    "Find": _find,
    "List": _list,
    "Events": _events,
    "Backup": send_backup,
}

_ACTIONS = {
    "Revoke": "end sessions",
    "RevokeId": "end session",
    "Sweep": "sweep",
    "Count": "count sessions",
    "Find": "look at session",
    "List": "list sessions",
    "Sessions": "list sessions",
    "Events": "follow events",
    "Backup": "back up",
}

# All but those that are made of these: see `crudjt.server.services.batch`.
METHODS = {
    described.name: Method(
        getattr(pb, described.input_type.name),
        getattr(pb, described.output_type.name),
        _CALLS[described.name],
        described.client_streaming,
        described.server_streaming,
        endless=described.name == "Events",
        action=_ACTIONS.get(described.name),
    )
    for described in pb.DESCRIPTOR.services_by_name["Store"].methods
    if described.name in _CALLS
}
