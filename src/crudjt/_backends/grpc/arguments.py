"""Check the arguments of calls, and convert them to fields of requests."""

from collections.abc import Iterable, Iterator
from typing import Any

from crudjt._core.codec import pack
from crudjt._core.details import Client, checked_client
from crudjt._core.gil import in_batches
from crudjt._core.tokens import token_block
from crudjt._core.validation import (
    KEEP,
    Duration,
    KeepType,
    WhenFull,
    checked_subject,
    checked_version,
    list_of_tokens,
    milliseconds,
    reads,
    session_limit,
)
from crudjt._rpc.chunking import MAX_REQUEST_DATA_BYTES, in_parts, within_one_call
from crudjt._rpc.proto.v1 import store_pb2 as pb

# The largest numbers that can be sent. No store has so many sessions, and no session comes to such a version.
_MAX_SESSIONS = 2**63 - 1
_MAX_VERSION = 2**64 - 1


def packed_data(data: dict[Any, Any]) -> bytes:
    """Return the data of a session as MessagePack."""
    return pack(data, MAX_REQUEST_DATA_BYTES)


def checked_token(token: str, parameter: str = "token") -> str:
    """Return the token, or "" if it is malformed (it may not be valid UTF-8)."""
    return "" if token_block(token, parameter) is None else token


def token_parts(tokens: Iterable[str]) -> Iterator[list[str]]:
    """Return the tokens in parts, each for one message."""
    checked = map(checked_token, in_batches(list_of_tokens(tokens)))
    return in_parts(within_one_call("tokens", checked, len), len)


def optional_subject(subject: str | None) -> str | None:
    """Return the subject, if there is one."""
    return None if subject is None else checked_subject(subject)


def optional_version(version: int | None) -> int | None:
    """Return the version that a session is to have, if it is to have one."""
    return None if version is None else min(checked_version(version), _MAX_VERSION)


def limits(ttl: Duration | None, idle: Duration | None, max_reads: int | None) -> pb.Limits:
    """Return the limits of a new session."""
    return pb.Limits(
        ttl_ms=milliseconds("ttl", ttl) or None,
        idle_ms=milliseconds("idle", idle) or None,
        max_reads=reads(max_reads) or None,
    )


def client_message(client: Client) -> pb.Client:
    """Return the client of a session."""
    checked_client(client)
    return pb.Client(address=client.address, agent=client.agent)


def subject_limit(max_sessions: int, when_full: WhenFull, subject: str | KeepType | None) -> pb.SessionLimit:
    """Return how many sessions a subject may have."""
    limit = session_limit(max_sessions, when_full, subject)
    return pb.SessionLimit(max_sessions=min(limit.max_sessions, _MAX_SESSIONS), refuse=limit.refuse)


def changed_reads(max_reads: int | KeepType | None) -> pb.Change | None:
    """Return the change of a number of reads, ``None`` for `KEEP`."""
    return None if max_reads is KEEP else pb.Change(value=reads(max_reads) or None)


def changed_duration(parameter: str, duration: Duration | KeepType | None) -> pb.Change | None:
    """Return the change of a duration, ``None`` for `KEEP`."""
    return None if duration is KEEP else pb.Change(value=milliseconds(parameter, duration) or None)
