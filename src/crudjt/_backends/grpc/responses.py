"""Decode the answer of each method of a remote store."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, cast, get_args

from crudjt._core.clock import EPOCH, NS_PER_MS, utc
from crudjt._core.codec import unpack_map
from crudjt._core.details import Client
from crudjt._core.events import Event, EventKind
from crudjt._core.listing import Page
from crudjt._core.session import Session, new_session
from crudjt._core.stats import Stats
from crudjt._rpc.proto.v1 import store_pb2 as pb

_NS_PER_SECOND = 10**9


def token(response: pb.CreateResponse) -> str:
    """Return the token of a new session."""
    return response.token


def optional_token(response: pb.RotateResponse) -> str | None:
    """Return the new token of a session; ``None`` if there is no such session."""
    return response.token if response.HasField("token") else None


def found(response: Any) -> bool:
    """Return whether there was such a session."""
    found: bool = response.found
    return found


def ended(response: Any) -> int:
    """Return how many sessions were ended."""
    ended: int = response.ended
    return ended


def removed(response: pb.SweepResponse) -> int:
    """Return how many expired sessions were removed."""
    return response.removed


def nothing(_response: Any) -> None:
    """Return nothing: the call has succeeded."""


def stats(response: pb.StatsResponse) -> Stats:
    """Return the counters of a store."""
    return Stats(
        sessions=response.sessions,
        log_bytes=response.log_bytes,
        unsynced_bytes=response.unsynced_bytes,
        view_bytes=response.view_bytes,
        max_size=response.max_size,
        synced_at=_time(response, "synced_ms"),
        swept_at=_time(response, "swept_ms"),
        compacted_at=_time(response, "compacted_ms"),
        cache_bytes=response.cache_bytes,
        max_cache_bytes=response.max_cache_bytes,
        memory_bytes=_optional(response, "memory_bytes"),
        max_memory_bytes=_optional(response, "max_memory_bytes"),
        primaries=_optional(response, "primaries"),
        replicas=_optional(response, "replicas"),
    )


def session(response: Any) -> Session | None:
    """Return the session that was found; ``None`` if there is none."""
    return to_session(response.session) if response.HasField("session") else None


def to_session(message: pb.Session) -> Session:
    """Return the session that a message holds."""
    return new_session(
        id=message.id,
        data=unpack_map(message.data) if message.data else None,
        version=message.version,
        created_ms=message.created_ms,
        now_ns=message.expires_ms * NS_PER_MS - round(message.expires_in * _NS_PER_SECOND),
        expires_ms=message.expires_ms,
        reads_left=message.reads_left if message.HasField("reads_left") else None,
        subject=message.subject if message.HasField("subject") else None,
        last_seen_ms=message.last_seen_ms if message.HasField("last_seen_ms") else None,
        client=_client(message.client) if message.HasField("client") else None,
        bound_to=message.bound_to if message.HasField("bound_to") else None,
        labels=message.labels,
        of_older_key=message.of_older_key,
    )


def counted(response: pb.CountResponse) -> int:
    """Return how many sessions there are."""
    return response.sessions


def page(parts: Iterable[pb.ListResponse]) -> Page:
    """Return a page of sessions from its parts."""
    sessions: list[Session] = []
    following: str | None = None
    for part in parts:
        sessions += map(to_session, part.sessions)
        if part.HasField("next"):
            following = part.next.hex()
    return Page(tuple(sessions), following)


def events(response: pb.EventsResponse) -> list[Event]:
    """Return the events of a response."""
    return [_event(message) for message in response.events if message.kind in get_args(EventKind)]


def _client(message: pb.Client) -> Client:
    return Client(
        message.address if message.HasField("address") else None, message.agent if message.HasField("agent") else None
    )


def _event(message: pb.Event) -> Event:
    return Event(
        cast("EventKind", message.kind),
        message.position,
        EPOCH + timedelta(microseconds=message.time_us) if message.HasField("time_us") else None,
        message.exact,
        message.id.hex() if message.HasField("id") else None,
        message.subject if message.HasField("subject") else None,
        message.version if message.HasField("version") else None,
        message.previous_id.hex() if message.HasField("previous_id") else None,
    )


def _optional(response: Any, field: str) -> int | None:
    return getattr(response, field) if response.HasField(field) else None


def _time(response: Any, field: str) -> datetime | None:
    return utc(getattr(response, field)) if response.HasField(field) else None
