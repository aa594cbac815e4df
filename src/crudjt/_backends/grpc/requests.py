"""What each method of a remote store asks of the server, and what the answer means.

Nothing is sent here: `RemoteStore` and its asynchronous sibling carry the calls out.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Generic, TypeVar

import msgspec

from crudjt._core.clock import NS_PER_MS
from crudjt._core.codec import pack
from crudjt._core.gil import in_bites
from crudjt._core.record import FORMAT, NO_SUBJECT, Header
from crudjt._core.session import Envelope, Session
from crudjt._core.stats import Stats
from crudjt._core.tokens import token_block
from crudjt._core.validation import (
    KEEP,
    KeepType,
    checked_handle,
    checked_subject,
    checked_version,
    list_of_tokens,
    milliseconds,
    reads,
)
from crudjt._rpc.chunking import (
    MAX_DATA_BYTES,
    in_parts,
    within_one_call,
)
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.errors import InvalidType

Answer = TypeVar("Answer")

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NS_PER_SECOND = 10**9
_MAX_VERSION = 2**64 - 1  # what can be sent; no session comes so far

_decode = msgspec.msgpack.Decoder(dict[Any, Any]).decode


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One call of `crudjt.v1.Store`.

    Attributes:
        method: its name.
        request: the message, or an iterator of those that are sent one after the other.
        answer: makes the result of the response, or of the list of them where there are many.
        streams: whether there are many responses.

    """

    method: str
    request: Any
    answer: Callable[[Any], Answer]
    streams: bool = False


# One session


def create(
    data: dict[Any, Any], ttl: float | None, max_reads: int | None, idle: float | None, subject: str | None
) -> Call[str]:
    """Return the call of `Store.create`."""
    packed = _pack(data)
    request = pb.CreateRequest(data=packed, subject=_optional_subject(subject), limits=_limits(ttl, idle, max_reads))
    return Call("Create", request, _token)


def read(token: str) -> Call[Session | None]:
    """Return the call of `Store.read`."""
    return Call("Read", pb.ReadRequest(token=_spelled(token)), _session)


def peek(token: str) -> Call[Session | None]:
    """Return the call of `Store.peek`."""
    return Call("Peek", pb.PeekRequest(token=_spelled(token)), _session)


def update(
    token: str,
    data: dict[Any, Any],
    ttl: float | KeepType | None,
    max_reads: int | KeepType | None,
    idle: float | KeepType | None,
    if_version: int | None,
) -> Call[bool]:
    """Return the call of `Store.update`."""
    packed = _pack(data)
    if if_version is not None:
        if_version = min(checked_version(if_version), _MAX_VERSION)
    request = pb.UpdateRequest(
        token=_spelled(token),
        data=packed,
        ttl=_changed_duration("ttl", ttl),
        idle=_changed_duration("idle", idle),
        max_reads=None if max_reads is KEEP else _change(reads(max_reads)),
        if_version=if_version,
    )
    return Call("Update", request, _found)


def touch(token: str, ttl: float | KeepType | None, idle: float | KeepType | None) -> Call[bool]:
    """Return the call of `Store.touch`."""
    request = pb.TouchRequest(
        token=_spelled(token), ttl=_changed_duration("ttl", ttl), idle=_changed_duration("idle", idle)
    )
    return Call("Touch", request, _found)


def rotate(token: str) -> Call[str | None]:
    """Return the call of `Store.rotate`."""
    return Call("Rotate", pb.RotateRequest(token=_spelled(token)), _optional_token)


def delete(token: str) -> Call[bool]:
    """Return the call of `Store.delete`."""
    return Call("Delete", pb.DeleteRequest(token=_spelled(token)), _found)


# Sessions of a subject


def sessions(subject: str) -> Call[list[pb.Session]]:
    """Return the call of `Store.sessions`; `to_session` makes the sessions of its answer, one by one."""
    request = pb.SessionsRequest(subject=checked_subject(subject))
    return Call(
        "Sessions", request, lambda responses: [each for part in responses for each in part.sessions], streams=True
    )


def revoke(subject: str, keep: str | None) -> Call[int]:
    """Return the call of `Store.revoke`."""
    checked_subject(subject)
    request = pb.RevokeRequest(subject=subject, keep=None if keep is None else _spelled(keep, "keep"))
    return Call("Revoke", request, _ended)


def revoke_id(id: str) -> Call[bool]:  # noqa: A002 - named as Session.id is
    """Return the call of `Store.revoke_id`."""
    return Call("RevokeId", pb.RevokeIdRequest(id=checked_handle(id)), _found)


# Many sessions in one transaction


def create_many(
    data: Iterable[dict[Any, Any]],
    ttl: float | None,
    max_reads: int | None,
    idle: float | None,
    subject: str | None,
) -> Call[list[str]]:
    """Return the call of `Store.create_many`."""
    if not isinstance(data, Iterable):
        raise InvalidType("data", f"data must be an iterable of dicts, not {type(data).__name__}")
    packed = within_one_call("data", map(_pack, in_bites(data)), len)
    first = pb.CreateManyRequest(subject=_optional_subject(subject), limits=_limits(ttl, idle, max_reads))
    requests = [first, *(pb.CreateManyRequest(data=part) for part in in_parts(packed, len))]
    return Call(
        "CreateMany",
        iter(requests),
        lambda responses: [each for part in responses for each in part.tokens],
        streams=True,
    )


def read_many(tokens: Iterable[str]) -> Call[list[Session | None]]:
    """Return the call of `Store.read_many`."""
    requests = [pb.ReadManyRequest(tokens=part) for part in _parts_of_tokens(tokens)]
    return Call(
        "ReadMany",
        iter(requests),
        lambda responses: [_session(each) for part in responses for each in in_bites(part.results)],
        streams=True,
    )


def delete_many(tokens: Iterable[str]) -> Call[int]:
    """Return the call of `Store.delete_many`."""
    requests = [pb.DeleteManyRequest(tokens=part) for part in _parts_of_tokens(tokens)]
    return Call("DeleteMany", iter(requests), _ended)


# The store


def stats() -> Call[Stats]:
    """Return the call of `Store.stats`."""
    return Call("Stats", pb.StatsRequest(), _stats)


def sweep() -> Call[int]:
    """Return the call of `Store.sweep`."""
    return Call("Sweep", pb.SweepRequest(), _removed)


def sync() -> Call[None]:
    """Return the call of `Store.sync`."""
    return Call("Sync", pb.SyncRequest(), _nothing)


# To messages


def _pack(data: dict[Any, Any]) -> bytes:
    return pack(data, MAX_DATA_BYTES)


def _spelled(token: str, parameter: str = "token") -> str:
    """Return a token; "", which is none, where no token is spelled so: it might be no text that can be sent."""
    return "" if token_block(token, parameter) is None else token


def _parts_of_tokens(tokens: Iterable[str]) -> Iterator[list[str]]:
    spelled = map(_spelled, in_bites(list_of_tokens(tokens)))
    return in_parts(within_one_call("tokens", spelled, len), len)


def _optional_subject(subject: str | None) -> str | None:
    return None if subject is None else checked_subject(subject)


def _limits(ttl: float | None, idle: float | None, max_reads: int | None) -> pb.Limits:
    return pb.Limits(
        ttl_ms=milliseconds("ttl", ttl) or None,
        idle_ms=milliseconds("idle", idle) or None,
        max_reads=reads(max_reads) or None,
    )


def _change(value: int) -> pb.Change:
    return pb.Change(value=value or None)


def _changed_duration(parameter: str, seconds: float | KeepType | None) -> pb.Change | None:
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
        synced_at=_moment(response, "synced_ms"),
        swept_at=_moment(response, "swept_ms"),
        compacted_at=_moment(response, "compacted_ms"),
    )


def _session(response: Any) -> Session | None:
    return to_session(response.session) if response.HasField("session") else None


def to_session(message: pb.Session) -> Session:
    """Return the session that a message tells of."""
    subject = message.subject if message.HasField("subject") else None
    reads_left = message.reads_left if message.HasField("reads_left") else None
    header = Header(
        FORMAT, 0, 0, message.version, message.created_ms, message.expires_ms, 0, 0, reads_left or 0, NO_SUBJECT
    )
    now_ns = message.expires_ms * NS_PER_MS - round(message.expires_in * _NS_PER_SECOND)
    return Session(_decode(message.data), reads_left, Envelope(message.id, header.packed(), subject), now_ns)


def _moment(response: Any, field: str) -> datetime | None:
    return _EPOCH + timedelta(milliseconds=getattr(response, field)) if response.HasField(field) else None
