"""Build the request of each method of a remote store. Nothing is sent here."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from crudjt._backends.grpc import responses
from crudjt._backends.grpc.arguments import (
    changed_duration,
    changed_reads,
    checked_token,
    client_message,
    limits,
    optional_subject,
    optional_version,
    packed_data,
    subject_limit,
    token_parts,
)
from crudjt._core.details import Client, checked_labels, checked_thumbprint
from crudjt._core.events import checked_position
from crudjt._core.gil import in_batches
from crudjt._core.labels import named
from crudjt._core.listing import Page, checked_listing
from crudjt._core.session import Session
from crudjt._core.stats import Stats
from crudjt._core.validation import KEEP, Duration, KeepType, WhenFull, checked_handle, checked_subject
from crudjt._rpc.chunking import in_parts, within_one_call
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.errors import InvalidType

Answer = TypeVar("Answer")


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
    data: dict[Any, Any],
    ttl: Duration | None,
    max_reads: int | None,
    idle: Duration | None,
    subject: str | None,
    max_sessions: int | None,
    when_full: WhenFull,
    client: Client | None,
    bound_to: str | None,
    labels: Iterable[str],
) -> Request[str]:
    """Return the request of `Store.create`."""
    request = pb.CreateRequest(
        data=packed_data(data),
        subject=optional_subject(subject),
        limits=limits(ttl, idle, max_reads),
        client=None if client is None else client_message(client),
        bound_to=None if bound_to is None else checked_thumbprint(bound_to),
        labels=checked_labels(labels),
    )
    if max_sessions is not None:
        request.session_limit.CopyFrom(subject_limit(max_sessions, when_full, subject))
    return Request("Create", request, responses.token)


def read(token: str) -> Request[Session | None]:
    """Return the request of `Store.read`."""
    return Request("Read", pb.ReadRequest(token=checked_token(token)), responses.session)


def peek(token: str) -> Request[Session | None]:
    """Return the request of `Store.peek`."""
    return Request("Peek", pb.PeekRequest(token=checked_token(token)), responses.session)


def update(
    token: str,
    data: dict[Any, Any],
    ttl: Duration | KeepType | None,
    max_reads: int | KeepType | None,
    idle: Duration | KeepType | None,
    if_version: int | None,
) -> Request[bool]:
    """Return the request of `Store.update`."""
    request = pb.UpdateRequest(
        data=packed_data(data),
        if_version=optional_version(if_version),
        token=checked_token(token),
        ttl=changed_duration("ttl", ttl),
        idle=changed_duration("idle", idle),
        max_reads=changed_reads(max_reads),
    )
    return Request("Update", request, responses.found)


def touch(token: str, ttl: Duration | KeepType | None, idle: Duration | KeepType | None) -> Request[bool]:
    """Return the request of `Store.touch`."""
    request = pb.TouchRequest(
        token=checked_token(token), ttl=changed_duration("ttl", ttl), idle=changed_duration("idle", idle)
    )
    return Request("Touch", request, responses.found)


def rotate(
    token: str,
    data: dict[Any, Any] | None,
    subject: str | KeepType | None,
    ttl: Duration | KeepType | None,
    idle: Duration | KeepType | None,
    if_version: int | None,
    max_sessions: int | None,
    when_full: WhenFull,
    client: Client | KeepType | None,
    bound_to: str | KeepType | None,
    labels: Iterable[str] | KeepType,
) -> Request[str | None]:
    """Return the request of `Store.rotate`."""
    request = pb.RotateRequest(
        if_version=optional_version(if_version),
        token=checked_token(token),
        data=None if data is None else packed_data(data),
        subject=None if subject is KEEP else pb.SubjectChange(value=optional_subject(subject)),
        ttl=changed_duration("ttl", ttl),
        idle=changed_duration("idle", idle),
        client=None if client is KEEP else pb.Client() if client is None else client_message(client),
        bound_to=None if bound_to is KEEP else pb.KeyChange(value=bound_to and checked_thumbprint(bound_to)),
        labels=None if labels is KEEP else pb.LabelsChange(values=checked_labels(labels)),
    )
    if max_sessions is not None:
        request.session_limit.CopyFrom(subject_limit(max_sessions, when_full, subject))
    return Request("Rotate", request, responses.optional_token)


def delete(token: str) -> Request[bool]:
    """Return the request of `Store.delete`."""
    return Request("Delete", pb.DeleteRequest(token=checked_token(token)), responses.found)


# Sessions of a subject


def sessions(subject: str) -> Request[list[pb.Session]]:
    """Return the request of `Store.sessions`; `responses.to_session` converts each item of its answer."""
    request = pb.SessionsRequest(subject=checked_subject(subject))
    return Request("Sessions", request, lambda parts: [each for part in parts for each in part.sessions], streams=True)


def revoke(subject: str | None, keep: str | None, label: str | None) -> Request[int]:
    """Return the request of `Store.revoke`."""
    names = named(subject, label)
    kept = None if keep is None else checked_token(keep, "keep")
    request = pb.RevokeRequest(subject=names.subject, keep=kept, label=names.label)
    return Request("Revoke", request, responses.ended)


def revoke_id(id: str, subject: str | None) -> Request[bool]:  # noqa: A002 - named as Session.id is
    """Return the request of `Store.revoke_id`."""
    return Request(
        "RevokeId", pb.RevokeIdRequest(id=checked_handle(id), subject=optional_subject(subject)), responses.found
    )


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
    packed = within_one_call("data", map(packed_data, in_batches(data)), len)
    first = pb.CreateManyRequest(subject=optional_subject(subject), limits=limits(ttl, idle, max_reads))
    requests = [first, *(pb.CreateManyRequest(data=part) for part in in_parts(packed, len))]
    return Request(
        "CreateMany",
        iter(requests),
        lambda parts: [each for part in parts for each in part.tokens],
        streams=True,
    )


def read_many(tokens: Iterable[str]) -> Request[list[Session | None]]:
    """Return the request of `Store.read_many`."""
    requests = [pb.ReadManyRequest(tokens=part) for part in token_parts(tokens)]
    return Request(
        "ReadMany",
        iter(requests),
        lambda parts: [responses.session(each) for part in parts for each in in_batches(part.results)],
        streams=True,
    )


def delete_many(tokens: Iterable[str]) -> Request[int]:
    """Return the request of `Store.delete_many`."""
    requests = [pb.DeleteManyRequest(tokens=part) for part in token_parts(tokens)]
    return Request("DeleteMany", iter(requests), responses.ended)


# The store


def stats() -> Request[Stats]:
    """Return the request of `Store.stats`."""
    return Request("Stats", pb.StatsRequest(), responses.stats)


def sweep() -> Request[int]:
    """Return the request of `Store.sweep`."""
    return Request("Sweep", pb.SweepRequest(), responses.removed)


def sync() -> Request[None]:
    """Return the request of `Store.sync`."""
    return Request("Sync", pb.SyncRequest(), responses.nothing)


# For operators


def count(subject: str | None) -> Request[int]:
    """Return the request of `Store.count`."""
    return Request("Count", pb.CountRequest(subject=optional_subject(subject)), responses.counted)


def find(id: str) -> Request[Session | None]:  # noqa: A002 - named as Session.id is
    """Return the request of `Store.find`."""
    return Request("Find", pb.FindRequest(id=checked_handle(id)), responses.session)


def list_page(
    after: str | None, limit: int, subject: str | None, created_before: datetime | None, *, data: bool
) -> Request[Page]:
    """Return the request of `Store.list`."""
    wishes = checked_listing(after, limit, subject, created_before, data=data)
    request = pb.ListRequest(
        after=wishes.after,
        limit=wishes.limit,
        subject=wishes.subject,
        created_before_ms=wishes.created_before,
        data=wishes.data,
    )
    return Request("List", request, responses.page, streams=True)


def events(after: str | None, *, follow: bool) -> pb.EventsRequest:
    """Return the request of `Store.events`; `responses.events` converts each response."""
    return pb.EventsRequest(after=checked_position(after), follow=follow)
