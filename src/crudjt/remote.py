"""`RemoteStore`: the face of `Store`, carried out by a server over gRPC."""

import os
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from crudjt.clock import NS_PER_MS
from crudjt.connection import Connection
from crudjt.copies import CopyWriter
from crudjt.engine import files
from crudjt.errors import DataTooLarge, InvalidParameter, StoreFull, StoreInaccessible
from crudjt.limits import KEEP, KeepType, checked_handle, checked_subject, checked_version, milliseconds, reads
from crudjt.parts import MAX_DATA_BYTES, in_parts, within_one_call
from crudjt.proto.v1 import store_pb2 as pb
from crudjt.records import FORMAT, NO_SUBJECT, Envelope, Header, Session
from crudjt.sessions import checked_block
from crudjt.stats import Stats
from crudjt.store import Store, list_of_tokens

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NS_PER_SECOND = 10**9
_MAX_VERSION = 2**64 - 1  # what can be sent; no session comes so far

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[Any, Any]).decode


class RemoteStore(Store):
    """A store that a server keeps: every method does what it does for `Store`, which explains them.

    Threads may share it. A call that gets no answer raises `StoreUnavailable` and is not repeated: it may have been
    carried out. The next call connects anew. A forked child connects for itself, at its first call.
    """

    def __init__(self, connection: Connection) -> None:
        """Take a connection; `crudjt.open` is the way to call this."""
        self._connection = connection
        self._call = connection.call

    # One session

    def create(
        self,
        data: dict[Any, Any],
        ttl: float | None = None,
        max_reads: int | None = None,
        *,
        idle: float | None = None,
        subject: str | None = None,
    ) -> str:
        request = pb.CreateRequest(
            data=_pack(data), subject=_optional_subject(subject), limits=_limits(ttl, idle, max_reads)
        )
        token: str = self._call("Create", request).token
        return token

    def read(self, token: str) -> Session | None:
        return _session(self._call("Read", pb.ReadRequest(token=_spelled(token))))

    def peek(self, token: str) -> Session | None:
        return _session(self._call("Peek", pb.PeekRequest(token=_spelled(token))))

    def update(
        self,
        token: str,
        data: dict[Any, Any],
        ttl: float | KeepType | None = KEEP,
        max_reads: int | KeepType | None = KEEP,
        *,
        idle: float | KeepType | None = KEEP,
        if_version: int | None = None,
    ) -> bool:
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
        found: bool = self._call("Update", request).found
        return found

    def touch(self, token: str, ttl: float | KeepType | None = KEEP, *, idle: float | KeepType | None = KEEP) -> bool:
        request = pb.TouchRequest(
            token=_spelled(token), ttl=_changed_duration("ttl", ttl), idle=_changed_duration("idle", idle)
        )
        found: bool = self._call("Touch", request).found
        return found

    def rotate(self, token: str) -> str | None:
        response = self._call("Rotate", pb.RotateRequest(token=_spelled(token)))
        return response.token if response.HasField("token") else None

    def delete(self, token: str) -> bool:
        found: bool = self._call("Delete", pb.DeleteRequest(token=_spelled(token))).found
        return found

    # Sessions of a subject

    def sessions(self, subject: str) -> Iterator[Session]:
        """Yield the live sessions of a subject, all read at the first step, so that a slow caller keeps nobody busy."""
        request = pb.SessionsRequest(subject=checked_subject(subject))
        for response in list(self._connection.stream("Sessions", request)):
            for message in response.sessions:
                self._connection.require_open()
                yield _to_session(message)

    def revoke(self, subject: str, *, keep: str | None = None) -> int:
        request = pb.RevokeRequest(
            subject=checked_subject(subject), keep=None if keep is None else _spelled(keep, "keep")
        )
        ended: int = self._call("Revoke", request).ended
        return ended

    def revoke_id(self, id: str) -> bool:  # noqa: A002 - named as Session.id is
        found: bool = self._call("RevokeId", pb.RevokeIdRequest(id=checked_handle(id))).found
        return found

    # Many sessions in one transaction

    def create_many(
        self,
        data: Iterable[dict[Any, Any]],
        ttl: float | None = None,
        max_reads: int | None = None,
        *,
        idle: float | None = None,
        subject: str | None = None,
    ) -> list[str]:
        if not isinstance(data, Iterable):
            raise InvalidParameter("data", f"is of type {type(data).__name__}", "an iterable of dicts")
        packed = within_one_call("data", map(_pack, data), len)
        first = pb.CreateManyRequest(subject=_optional_subject(subject), limits=_limits(ttl, idle, max_reads))
        requests = [first, *(pb.CreateManyRequest(data=part) for part in in_parts(packed, len))]
        responses = self._connection.stream("CreateMany", iter(requests))
        return [token for response in responses for token in response.tokens]

    def read_many(self, tokens: Iterable[str]) -> list[Session | None]:
        requests = [pb.ReadManyRequest(tokens=part) for part in _parts_of_tokens(tokens)]
        responses = self._connection.stream("ReadMany", iter(requests))
        return [_session(result) for response in responses for result in response.results]

    def delete_many(self, tokens: Iterable[str]) -> int:
        requests = [pb.DeleteManyRequest(tokens=part) for part in _parts_of_tokens(tokens)]
        ended: int = self._call("DeleteMany", iter(requests)).ended
        return ended

    # The store

    def stats(self) -> Stats:
        response = self._call("Stats", pb.StatsRequest())
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

    def sweep(self) -> int:
        removed: int = self._call("Sweep", pb.SweepRequest()).removed
        return removed

    def sync(self) -> None:
        self._call("Sync", pb.SyncRequest())

    def backup(self, path: str | PathLike[str]) -> None:
        """Write a copy of the store, as of one moment, to a new directory of this host; it has no time limit.

        Raises:
            StoreInaccessible: `path` exists and is not an empty directory, or cannot be written.

        """
        self._connection.require_open()
        target = Path(path)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise StoreInaccessible(target, "exists already; a backup goes to a new or an empty directory")
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        steps = self._connection.stream("Backup", pb.BackupRequest(), forever=True)
        try:
            files.make_directory(temporary)
            CopyWriter(temporary).write(steps)
            files.publish(temporary, target)
        except OSError as error:
            if error.errno in files.DISK_FULL_ERRNOS:
                raise StoreFull(target, "the disk is full") from error
            raise StoreInaccessible(target, f"cannot be written: {os.strerror(error.errno or 0)}") from error
        finally:
            files.remove_tree(temporary)

    def close(self) -> None:
        """Disconnect. Calling it again does nothing; anything else raises `StoreClosed` from then on."""
        self._connection.close()

    def __repr__(self) -> str:
        """Say where the store is, and nothing of what it holds."""
        state = "closed" if self._connection.closed else "open"
        return f"<RemoteStore {self._connection.location!r} {state}>"


# To messages


def _pack(data: dict[Any, Any]) -> bytes:
    if not isinstance(data, dict):
        raise InvalidParameter("data", f"is of type {type(data).__name__}", "a dict")
    try:
        packed = _encode(data)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidParameter(
            "data", f"cannot be packed ({type(error).__name__})", "what MessagePack carries, nested less than 1000 deep"
        ) from None
    if len(packed) > MAX_DATA_BYTES:
        raise DataTooLarge(len(packed), MAX_DATA_BYTES)
    return packed


def _spelled(token: str, parameter: str = "token") -> str:
    """Return a token; "", which is none, where no token is spelled so: it might be no text that can be sent."""
    return "" if checked_block(token, parameter) is None else token


def _parts_of_tokens(tokens: Iterable[str]) -> Iterator[list[str]]:
    spelled = map(_spelled, list_of_tokens(tokens))
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


def _session(response: Any) -> Session | None:
    return _to_session(response.session) if response.HasField("session") else None


def _to_session(message: pb.Session) -> Session:
    subject = message.subject if message.HasField("subject") else None
    reads_left = message.reads_left if message.HasField("reads_left") else None
    header = Header(
        FORMAT, 0, 0, message.version, message.created_ms, message.expires_ms, 0, 0, reads_left or 0, NO_SUBJECT
    )
    now_ns = message.expires_ms * NS_PER_MS - round(message.expires_in * _NS_PER_SECOND)
    return Session(_decode(message.data), reads_left, Envelope(message.id, header, subject), now_ns)


def _moment(response: Any, field: str) -> datetime | None:
    return _EPOCH + timedelta(milliseconds=getattr(response, field)) if response.HasField(field) else None
