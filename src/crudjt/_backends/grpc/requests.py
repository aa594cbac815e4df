"""Build the request of each method of a remote store, and decode its answer. Nothing is sent here."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from crudjt._core.clock import NS_PER_MS, utc
from crudjt._core.codec import pack, unpack_map
from crudjt._core.gil import in_batches
from crudjt._core.session import Session, new_session
from crudjt._core.stats import Stats
from crudjt._core.tokens import token_block
from crudjt._core.validation import (
    KEEP,
    Duration,
    KeepType,
    checked_handle,
    checked_subject,
    checked_version,
    list_of_tokens,
    milliseconds,
    reads,
)
from crudjt._rpc.chunking import MAX_REQUEST_DATA_BYTES, in_parts, within_one_call
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.errors import InvalidType

Answer = TypeVar("Answer")

_NS_PER_SECOND = 10**9
_MAX_VERSION = 2**64 - 1  # what can be sent; no session comes so far


@dataclass(frozen=True)
class Request(Generic[Answer]):
    """One call of `crudjt.v1.Store`.

    Attributes:
        method: the name of the method.
        message: the message to send, or an iterator of messages.
        answer: converts the response, or the list of responses if `streams`, to the result.
        streams: whether the method returns a stream.

    """

    method: str
    message: Any
    answer: Callable[[Any], Answer]
    streams: bool = False


# One session


def create(
    data: dict[Any, Any], ttl: Duration | None, max_reads: int | None, idle: Duration | None, subject: str | None
) -> Request[str]:
    """Return the request of `Store.create`."""
    packed = _pack(data)
    request = pb.CreateRequest(data=packed, subject=_optional_subject(subject), limits=_limits(ttl, idle, max_reads))
    return Request("Create", request, _token)


def read(token: str) -> Request[Session | None]:
    """Return the request of `Store.read`."""
    return Request("Read", pb.ReadRequest(token=_checked_token(token)), _session)


def peek(token: str) -> Request[Session | None]:
    """Return the request of `Store.peek`."""
    return Request("Peek", pb.PeekRequest(token=_checked_token(token)), _session)


def update(
    token: str,
    data: dict[Any, Any],
    ttl: Duration | KeepType | None,
    max_reads: int | KeepType | None,
    idle: Duration | KeepType | None,
    if_version: int | None,
) -> Request[bool]:
    """Return the request of `Store.update`."""
    packed = _pack(data)
    if if_version is not None:
        if_version = min(checked_version(if_version), _MAX_VERSION)
    request = pb.UpdateRequest(
        token=_checked_token(token),
        data=packed,
        ttl=_changed_duration("ttl", ttl),
        idle=_changed_duration("idle", idle),
        max_reads=None if max_reads is KEEP else _change(reads(max_reads)),
        if_version=if_version,
    )
    return Request("Update", request, _found)


def touch(token: str, ttl: Duration | KeepType | None, idle: Duration | KeepType | None) -> Request[bool]:
    """Return the request of `Store.touch`."""
    request = pb.TouchRequest(
        token=_checked_token(token), ttl=_changed_duration("ttl", ttl), idle=_changed_duration("idle", idle)
    )
    return Request("Touch", request, _found)


def rotate(
    token: str,
    data: dict[Any, Any] | None,
    subject: str | KeepType | None,
    ttl: Duration | KeepType | None,
    idle: Duration | KeepType | None,
    if_version: int | None,
) -> Request[str | None]:
    """Return the request of `Store.rotate`."""
    if if_version is not None:
        if_version = min(checked_version(if_version), _MAX_VERSION)
    request = pb.RotateRequest(
        token=_checked_token(token),
        data=None if data is None else _pack(data),
        subject=None if subject is KEEP else pb.SubjectChange(value=_optional_subject(subject)),
        ttl=_changed_duration("ttl", ttl),
        idle=_changed_duration("idle", idle),
        if_version=if_version,
    )
    return Request("Rotate", request, _optional_token)


def delete(token: str) -> Request[bool]:
    """Return the request of `Store.delete`."""
    return Request("Delete", pb.DeleteRequest(token=_checked_token(token)), _found)


# Sessions of a subject


def sessions(subject: str) -> Request[list[pb.Session]]:
    """Return the request of `Store.sessions`; `to_session` converts each item of its answer."""
    request = pb.SessionsRequest(subject=checked_subject(subject))
    return Request(
        "Sessions", request, lambda responses: [each for part in responses for each in part.sessions], streams=True
    )


def revoke(subject: str, keep: str | None) -> Request[int]:
    """Return the request of `Store.revoke`."""
    checked_subject(subject)
    request = pb.RevokeRequest(subject=subject, keep=None if keep is None else _checked_token(keep, "keep"))
    return Request("Revoke", request, _ended)


def revoke_id(id: str, subject: str | None) -> Request[bool]:  # noqa: A002 - named as Session.id is
    """Return the request of `Store.revoke_id`."""
    return Request("RevokeId", pb.RevokeIdRequest(id=checked_handle(id), subject=_optional_subject(subject)), _found)


# Many sessions at once


def create_many(
    data: Iterable[dict[Any, Any]],
    ttl: Duration | None,
    max_reads: int | None,
    idle: Duration | None,
    subject: str | None,
) -> Request[list[str]]:
    """Return the request of `Store.create_many`."""
    if not isinstance(data, Iterable):
        raise InvalidType("data", f"data must be an iterable of dicts, not {type(data).__name__}")
    packed = within_one_call("data", map(_pack, in_batches(data)), len)
    first = pb.CreateManyRequest(subject=_optional_subject(subject), limits=_limits(ttl, idle, max_reads))
    requests = [first, *(pb.CreateManyRequest(data=part) for part in in_parts(packed, len))]
    return Request(
        "CreateMany",
        iter(requests),
        lambda responses: [each for part in responses for each in part.tokens],
        streams=True,
    )


def read_many(tokens: Iterable[str]) -> Request[list[Session | None]]:
    """Return the request of `Store.read_many`."""
    requests = [pb.ReadManyRequest(tokens=part) for part in _parts_of_tokens(tokens)]
    return Request(
        "ReadMany",
        iter(requests),
        lambda responses: [_session(each) for part in responses for each in in_batches(part.results)],
        streams=True,
    )


def delete_many(tokens: Iterable[str]) -> Request[int]:
    """Return the request of `Store.delete_many`."""
    requests = [pb.DeleteManyRequest(tokens=part) for part in _parts_of_tokens(tokens)]
    return Request("DeleteMany", iter(requests), _ended)


# The store


def stats() -> Request[Stats]:
    """Return the request of `Store.stats`."""
    return Request("Stats", pb.StatsRequest(), _stats)


def sweep() -> Request[int]:
    """Return the request of `Store.sweep`."""
    return Request("Sweep", pb.SweepRequest(), _removed)


def sync() -> Request[None]:
    """Return the request of `Store.sync`."""
    return Request("Sync", pb.SyncRequest(), _nothing)


# To messages


def _pack(data: dict[Any, Any]) -> bytes:
    return pack(data, MAX_REQUEST_DATA_BYTES)


def _checked_token(token: str, parameter: str = "token") -> str:
    """Return the token, or "" if it is malformed (it may not be valid UTF-8)."""
    return "" if token_block(token, parameter) is None else token


def _parts_of_tokens(tokens: Iterable[str]) -> Iterator[list[str]]:
    checked = map(_checked_token, in_batches(list_of_tokens(tokens)))
    return in_parts(within_one_call("tokens", checked, len), len)


def _optional_subject(subject: str | None) -> str | None:
    return None if subject is None else checked_subject(subject)


def _limits(ttl: Duration | None, idle: Duration | None, max_reads: int | None) -> pb.Limits:
    return pb.Limits(
        ttl_ms=milliseconds("ttl", ttl) or None,
        idle_ms=milliseconds("idle", idle) or None,
        max_reads=reads(max_reads) or None,
    )


def _change(value: int) -> pb.Change:
    return pb.Change(value=value or None)


def _changed_duration(parameter: str, seconds: Duration | KeepType | None) -> pb.Change | None:
    return None if seconds is KEEP else _change(milliseconds(parameter, seconds))


# From messages


def _token(response: pb.CreateResponse) -> str:
    return response.token


def _optional_token(response: pb.RotateResponse) -> str | None:
    return response.token if response.HasField("token") else None


def _found(response: Any) -> bool:
    found: bool = response.found
    return found


def _ended(response: Any) -> int:
    ended: int = response.ended
    return ended


def _removed(response: pb.SweepResponse) -> int:
    return response.removed


def _nothing(_response: Any) -> None:
    pass


def _stats(response: pb.StatsResponse) -> Stats:
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


def _session(response: Any) -> Session | None:
    return to_session(response.session) if response.HasField("session") else None


def to_session(message: pb.Session) -> Session:
    """Return the session that a message holds."""
    return new_session(
        id=message.id,
        data=unpack_map(message.data),
        version=message.version,
        created_ms=message.created_ms,
        now_ns=message.expires_ms * NS_PER_MS - round(message.expires_in * _NS_PER_SECOND),
        expires_ms=message.expires_ms,
        reads_left=message.reads_left if message.HasField("reads_left") else None,
        subject=message.subject if message.HasField("subject") else None,
    )


def _optional(response: Any, field: str) -> int | None:
    return getattr(response, field) if response.HasField(field) else None


def _time(response: Any, field: str) -> datetime | None:
    return utc(getattr(response, field)) if response.HasField(field) else None
