"""The service `crudjt.v1.Store`: every method of `Store`, as defined in ``proto/v1/store.proto``."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from crudjt._core.clock import EPOCH, utc
from crudjt._core.codec import pack_again, unpack_sent
from crudjt._core.details import Client
from crudjt._core.events import NO_EVENTS, Event
from crudjt._core.session import Session, has_data, is_of_older_key
from crudjt._core.validation import KEEP, KeepType
from crudjt._rpc.chunking import MAX_REQUEST_DATA_BYTES, PART_BYTES, in_parts, within_one_call
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.base import Store
from crudjt.errors import DataTooLarge, InvalidParameter, StoreInaccessible
from crudjt.server.services.method import Method

_MILLISECOND = timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)
_QUIET_SECONDS = 1.0
_MS_PER_SECOND = 1000
_READ_MANY_BYTES = 8 * 1024**2  # of data that one transaction of a ReadMany may read, at most

_Changing = pb.UpdateRequest | pb.TouchRequest | pb.RotateRequest


def _create(store: Store, request: pb.CreateRequest) -> pb.CreateResponse:
    token = store.create(
        _data(store, request.data),
        **_limits(request),
        **_room(request),
        client=_client(request.client) if request.HasField("client") else None,
        bound_to=_optional(request, "bound_to"),
        labels=request.labels,
    )
    return pb.CreateResponse(token=token)


def _read(store: Store, request: pb.ReadRequest) -> pb.ReadResponse:
    return pb.ReadResponse(session=_session(store.read(request.token)))


def _peek(store: Store, request: pb.PeekRequest) -> pb.PeekResponse:
    return pb.PeekResponse(session=_session(store.peek(request.token)))


def _update(store: Store, request: pb.UpdateRequest) -> pb.UpdateResponse:
    found = store.update(
        request.token,
        _data(store, request.data),
        _changed_duration(request, "ttl"),
        _changed(request, "max_reads"),
        idle=_changed_duration(request, "idle"),
        if_version=_optional(request, "if_version"),
    )
    return pb.UpdateResponse(found=found)


def _touch(store: Store, request: pb.TouchRequest) -> pb.TouchResponse:
    found = store.touch(request.token, _changed_duration(request, "ttl"), idle=_changed_duration(request, "idle"))
    return pb.TouchResponse(found=found)


def _rotate(store: Store, request: pb.RotateRequest) -> pb.RotateResponse:
    token = store.rotate(
        request.token,
        data=_data(store, request.data) if request.HasField("data") else None,
        subject=_optional(request.subject, "value") if request.HasField("subject") else KEEP,
        ttl=_changed_duration(request, "ttl"),
        idle=_changed_duration(request, "idle"),
        if_version=_optional(request, "if_version"),
        **_room(request),
        client=_client(request.client) if request.HasField("client") else KEEP,
        bound_to=_optional(request.bound_to, "value") if request.HasField("bound_to") else KEEP,
        labels=request.labels.values if request.HasField("labels") else KEEP,
    )
    return pb.RotateResponse(token=token)


def _delete(store: Store, request: pb.DeleteRequest) -> pb.DeleteResponse:
    return pb.DeleteResponse(found=store.delete(request.token))


def _sessions(store: Store, request: pb.SessionsRequest) -> Iterator[pb.SessionsResponse]:
    messages = (_message(session) for session in store.sessions(request.subject))
    for part in in_parts(messages, pb.Session.ByteSize):
        yield pb.SessionsResponse(sessions=part)


def _revoke(store: Store, request: pb.RevokeRequest) -> pb.RevokeResponse:
    names = {"keep": _optional(request, "keep"), "label": _optional(request, "label")}
    return pb.RevokeResponse(ended=store.revoke(_optional(request, "subject"), **names))


def _revoke_id(store: Store, request: pb.RevokeIdRequest) -> pb.RevokeIdResponse:
    return pb.RevokeIdResponse(found=store.revoke_id(request.id.hex(), subject=_optional(request, "subject")))


def _create_many(store: Store, requests: Iterator[pb.CreateManyRequest]) -> Iterator[pb.CreateManyResponse]:
    first = next(requests, pb.CreateManyRequest())
    items = chain.from_iterable(request.data for request in chain([first], requests))
    packed = within_one_call("data", items, len)
    tokens = store.create_many((_data(store, item) for item in packed), **_limits(first))
    for part in in_parts(tokens, len):
        yield pb.CreateManyResponse(tokens=part)


def _read_many(store: Store, requests: Iterator[pb.ReadManyRequest]) -> Iterator[pb.ReadManyResponse]:
    tokens = _tokens(requests)
    count = max(_READ_MANY_BYTES // (store.max_data_bytes or MAX_REQUEST_DATA_BYTES), 1)
    for start in range(0, len(tokens), count):
        sessions = store.read_many(tokens[start : start + count])
        results = (pb.ReadResponse(session=_session(session)) for session in sessions)
        for part in in_parts(results, pb.ReadResponse.ByteSize):
            yield pb.ReadManyResponse(results=part)


def _delete_many(store: Store, requests: Iterator[pb.DeleteManyRequest]) -> pb.DeleteManyResponse:
    return pb.DeleteManyResponse(ended=store.delete_many(_tokens(requests)))


def _stats(store: Store, _request: pb.StatsRequest) -> pb.StatsResponse:
    stats = store.stats()
    return pb.StatsResponse(
        sessions=stats.sessions,
        log_bytes=stats.log_bytes,
        unsynced_bytes=stats.unsynced_bytes,
        view_bytes=stats.view_bytes,
        max_size=stats.max_size,
        synced_ms=_ms(stats.synced_at),
        swept_ms=_ms(stats.swept_at),
        compacted_ms=_ms(stats.compacted_at),
        cache_bytes=stats.cache_bytes,
        max_cache_bytes=stats.max_cache_bytes,
        memory_bytes=stats.memory_bytes,
        max_memory_bytes=stats.max_memory_bytes,
        primaries=stats.primaries,
        replicas=stats.replicas,
    )


def _sweep(store: Store, _request: pb.SweepRequest) -> pb.SweepResponse:
    return pb.SweepResponse(removed=store.sweep())


def _sync(store: Store, _request: pb.SyncRequest) -> pb.SyncResponse:
    store.sync()
    return pb.SyncResponse()


def _count(store: Store, request: pb.CountRequest) -> pb.CountResponse:
    return pb.CountResponse(sessions=store.count(_optional(request, "subject")))


def _find(store: Store, request: pb.FindRequest) -> pb.FindResponse:
    return pb.FindResponse(session=_session(store.find(request.id.hex())))


def _list(store: Store, request: pb.ListRequest) -> Iterator[pb.ListResponse]:
    created_before = _optional(request, "created_before_ms")
    page = store.list(
        after=request.after.hex() if request.HasField("after") else None,
        limit=request.limit,
        subject=_optional(request, "subject"),
        created_before=None if created_before is None else _time("created_before", created_before),
        data=request.data,
    )
    for part in in_parts(map(_message, page), pb.Session.ByteSize):
        yield pb.ListResponse(sessions=part)
    if page.next is not None:
        yield pb.ListResponse(next=bytes.fromhex(page.next))


def _events(store: Store, request: pb.EventsRequest) -> Iterator[pb.EventsResponse]:
    """Stream events, and now and then nothing, by which gRPC notices that the client has gone."""
    batches = getattr(store, "event_batches", None)
    if batches is None:
        raise StoreInaccessible(store.location, NO_EVENTS)
    quiet_since = time.monotonic()
    for batch in batches(_optional(request, "after"), follow=request.follow):
        if batch or time.monotonic() - quiet_since > _QUIET_SECONDS:
            yield pb.EventsResponse(events=map(_event, batch))
            quiet_since = time.monotonic()


def _backup(store: Store, _request: pb.BackupRequest) -> Iterator[pb.BackupResponse]:
    """Stream a copy of the store, which is made in the directory for temporary files (``TMPDIR``).

    Its names are gone before the first byte is sent, so that nothing is left of it, however the call ends.
    """
    with ExitStack() as opened:
        with TemporaryDirectory(prefix="crudjt-backup-") as temporary:
            copy = Path(temporary) / "copy"
            store.backup(copy)
            paths = sorted(copy.rglob("*"))
            directories = [path.relative_to(copy).as_posix() for path in paths if path.is_dir()]
            files = [
                (path.relative_to(copy).as_posix(), opened.enter_context(path.open("rb")))
                for path in paths
                if not path.is_dir()
            ]
        for directory in directories:
            yield pb.BackupResponse(directory=directory)
        for name, file in files:
            yield pb.BackupResponse(file=name)
            while content := os.read(file.fileno(), PART_BYTES):
                yield pb.BackupResponse(content=content)


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
    "Backup": _backup,
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

# From messages


def _data(store: Store, packed: bytes) -> dict[Any, Any]:
    limit = store.max_data_bytes  # checked before decoding, which may take 60 times the memory
    if limit is not None and len(packed) > limit:
        raise DataTooLarge(len(packed), limit)
    return unpack_sent(packed)


def _limits(request: pb.CreateRequest | pb.CreateManyRequest) -> dict[str, Any]:
    limits = request.limits
    return {
        "ttl": _seconds(_optional(limits, "ttl_ms")),
        "max_reads": _optional(limits, "max_reads"),
        "idle": _seconds(_optional(limits, "idle_ms")),
        "subject": _optional(request, "subject"),
    }


def _room(request: pb.CreateRequest | pb.RotateRequest) -> dict[str, Any]:
    if not request.HasField("session_limit"):
        return {}
    limit = request.session_limit
    return {"max_sessions": limit.max_sessions, "when_full": "refuse" if limit.refuse else "end_oldest"}


def _client(message: pb.Client) -> Client:
    return Client(_optional(message, "address"), _optional(message, "agent"))


def _optional(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / _MS_PER_SECOND


def _changed(request: _Changing, field: str) -> int | KeepType | None:
    if not request.HasField(field):
        return KEEP
    value: int | None = _optional(getattr(request, field), "value")
    return value


def _changed_duration(request: _Changing, field: str) -> float | KeepType | None:
    ms = _changed(request, field)
    return KEEP if ms is KEEP else _seconds(ms)


def _time(parameter: str, ms: int) -> datetime:
    try:
        return utc(ms)
    except OverflowError:
        raise InvalidParameter(parameter, f"{parameter} must be a time from the years 1 to 9999") from None


def _tokens(requests: Iterable[pb.ReadManyRequest | pb.DeleteManyRequest]) -> list[str]:
    return within_one_call("tokens", chain.from_iterable(request.tokens for request in requests), len)


# To messages


def _session(session: Session | None) -> pb.Session | None:
    return None if session is None else _message(session)


def _message(session: Session) -> pb.Session:
    client = session.client
    return pb.Session(
        data=pack_again(session.data) if has_data(session) else b"",
        id=bytes.fromhex(session.id),
        subject=session.subject,
        version=session.version,
        created_ms=_ms(session.created_at),
        expires_ms=_ms(session.expires_at),
        reads_left=session.reads_left,
        expires_in=session.expires_in,
        last_seen_ms=_ms(session.last_seen),
        client=None if client is None else pb.Client(address=client.address, agent=client.agent),
        bound_to=session.bound_to,
        labels=session.labels,
        of_older_key=is_of_older_key(session),
    )


def _event(event: Event) -> pb.Event:
    return pb.Event(
        kind=event.kind,
        position=event.position,
        time_us=None if event.time is None else (event.time - EPOCH) // _MICROSECOND,
        exact=event.exact,
        id=None if event.id is None else bytes.fromhex(event.id),
        subject=event.subject,
        version=event.version,
        previous_id=None if event.previous_id is None else bytes.fromhex(event.previous_id),
    )


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - EPOCH) // _MILLISECOND
