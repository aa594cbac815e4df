"""Convert between the messages of `crudjt.v1` and what a `Store` takes and returns."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from crudjt._core.clock import EPOCH, utc
from crudjt._core.codec import pack_again, unpack_sent
from crudjt._core.details import Client
from crudjt._core.events import Event
from crudjt._core.session import Session, has_data, is_of_older_key
from crudjt._core.stats import Stats
from crudjt._core.validation import KEEP, KeepType
from crudjt._rpc.chunking import within_one_call
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.base import Store
from crudjt.errors import DataTooLarge, InvalidParameter

_MILLISECOND = timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)
_MS_PER_SECOND = 1000


# From messages


def data_of(store: Store, packed: bytes) -> dict[Any, Any]:
    """Return the data of a session that is to be stored.

    Raises:
        DataTooLarge: it is too large for the store.

    """
    limit = store.max_data_bytes  # checked before decoding, which may take 60 times the memory
    if limit is not None and len(packed) > limit:
        raise DataTooLarge(len(packed), limit)
    return unpack_sent(packed)


def limits_of(limits: pb.Limits) -> dict[str, Any]:
    """Return the limits of a new session, as arguments of `Store.create`."""
    return {
        "ttl": _seconds(optional(limits, "ttl_ms")),
        "max_reads": optional(limits, "max_reads"),
        "idle": _seconds(optional(limits, "idle_ms")),
    }


def session_limit_of(request: pb.CreateRequest | pb.RotateRequest) -> dict[str, Any]:
    """Return how many sessions the subject may have, as arguments of `Store.create`."""
    if not request.HasField("session_limit"):
        return {}
    limit = request.session_limit
    return {"max_sessions": limit.max_sessions, "when_full": "refuse" if limit.refuse else "end_oldest"}


def client_of(message: pb.Client) -> Client:
    """Return the client of a session."""
    return Client(optional(message, "address"), optional(message, "agent"))


def optional(message: Any, field: str) -> Any:
    """Return a field, ``None`` if it is not set."""
    return getattr(message, field) if message.HasField(field) else None


def changed(request: Any, field: str) -> Any:
    """Return the new value of a field that a request may change, ``None`` to remove it, or `KEEP`."""
    return optional(getattr(request, field), "value") if request.HasField(field) else KEEP


def changed_duration(request: Any, field: str) -> float | KeepType | None:
    """Return the new duration in seconds, ``None`` to remove it, or `KEEP`."""
    ms = changed(request, field)
    return KEEP if ms is KEEP else _seconds(ms)


def created_before_of(request: pb.ListRequest) -> datetime | None:
    """Return the time before which the sessions of a list were created, ``None`` for any.

    Raises:
        InvalidParameter: it is no time that Python knows.

    """
    if not request.HasField("created_before_ms"):
        return None
    try:
        return utc(request.created_before_ms)
    except OverflowError:
        raise InvalidParameter("created_before", "created_before must be a time from the years 1 to 9999") from None


def tokens_of(requests: Iterable[pb.ReadManyRequest | pb.DeleteManyRequest]) -> list[str]:
    """Return the tokens of a stream of requests, as many as one call may have."""
    return within_one_call("tokens", chain.from_iterable(request.tokens for request in requests), len)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / _MS_PER_SECOND


# To messages


def session_message(session: Session) -> pb.Session:
    """Return the message of a session."""
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


def optional_session_message(session: Session | None) -> pb.Session | None:
    """Return the message of a session, ``None`` for ``None``."""
    return None if session is None else session_message(session)


def event_message(event: Event) -> pb.Event:
    """Return the message of an event."""
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


def stats_message(stats: Stats) -> pb.StatsResponse:
    """Return the message of a store's counters."""
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


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - EPOCH) // _MILLISECOND
