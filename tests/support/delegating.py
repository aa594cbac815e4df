"""A backend that hands every call to another store. It shares no code with the embedded one, and looks into nothing."""

import builtins
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from importlib.metadata import EntryPoint, EntryPoints
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

import crudjt
from crudjt import KEEP, KeepType, _registry

Duration = float | timedelta
WhenFull = Literal["end_oldest", "refuse"]


class DelegatingStore(crudjt.Store):
    """A store of its own kind: it has nothing but the methods of `crudjt.Store`."""

    def __init__(self, store: crudjt.Store) -> None:
        self._target = store

    @property
    def location(self) -> str:
        return self._target.location

    @property
    def durable(self) -> bool | None:
        return self._target.durable

    @property
    def max_data_bytes(self) -> int | None:
        return self._target.max_data_bytes

    def create(
        self,
        data: dict[Any, Any],
        ttl: Duration | None = None,
        max_reads: int | None = None,
        *,
        idle: Duration | None = None,
        subject: str | None = None,
        max_sessions: int | None = None,
        when_full: WhenFull = "end_oldest",
        client: crudjt.Client | None = None,
        bound_to: str | None = None,
        labels: Iterable[str] = (),
    ) -> str:
        room: Any = {"max_sessions": max_sessions, "when_full": when_full, "client": client, "bound_to": bound_to}
        room["labels"] = labels
        return self._target.create(data, ttl, max_reads, idle=idle, subject=subject, **room)

    def read(self, token: str) -> crudjt.Session | None:
        return self._target.read(token)

    def peek(self, token: str) -> crudjt.Session | None:
        return self._target.peek(token)

    def update(
        self,
        token: str,
        data: dict[Any, Any],
        ttl: Duration | KeepType | None = KEEP,
        max_reads: int | KeepType | None = KEEP,
        *,
        idle: Duration | KeepType | None = KEEP,
        if_version: int | None = None,
    ) -> bool:
        return self._target.update(token, data, ttl, max_reads, idle=idle, if_version=if_version)

    def touch(
        self, token: str, ttl: Duration | KeepType | None = KEEP, *, idle: Duration | KeepType | None = KEEP
    ) -> bool:
        return self._target.touch(token, ttl, idle=idle)

    def rotate(
        self,
        token: str,
        *,
        data: dict[Any, Any] | None = None,
        subject: str | KeepType | None = KEEP,
        ttl: Duration | KeepType | None = KEEP,
        idle: Duration | KeepType | None = KEEP,
        if_version: int | None = None,
        max_sessions: int | None = None,
        when_full: WhenFull = "end_oldest",
        client: crudjt.Client | KeepType | None = KEEP,
        bound_to: str | KeepType | None = KEEP,
        labels: Iterable[str] | KeepType = KEEP,
    ) -> str | None:
        room: Any = {"max_sessions": max_sessions, "when_full": when_full, "client": client, "bound_to": bound_to}
        room["labels"] = labels
        changes: Any = {"data": data, "subject": subject, "ttl": ttl, "idle": idle}
        return self._target.rotate(token, **changes, if_version=if_version, **room)

    def delete(self, token: str) -> bool:
        return self._target.delete(token)

    def sessions(self, subject: str) -> Iterator[crudjt.Session]:
        return self._target.sessions(subject)

    def revoke(self, subject: str | None = None, *, keep: str | None = None, label: str | None = None) -> int:
        return self._target.revoke(subject, keep=keep, label=label)

    def revoke_id(self, id: str, *, subject: str | None = None) -> bool:  # noqa: A002 - named as Session.id is
        return self._target.revoke_id(id, subject=subject)

    def create_many(
        self,
        data: Iterable[dict[Any, Any]],
        ttl: Duration | None = None,
        max_reads: int | None = None,
        *,
        idle: Duration | None = None,
        subject: str | None = None,
    ) -> builtins.list[str]:
        return self._target.create_many(data, ttl, max_reads, idle=idle, subject=subject)

    def read_many(self, tokens: Iterable[str]) -> builtins.list[crudjt.Session | None]:
        return self._target.read_many(tokens)

    def delete_many(self, tokens: Iterable[str]) -> int:
        return self._target.delete_many(tokens)

    def stats(self) -> crudjt.Stats:
        return self._target.stats()

    def sweep(self) -> int:
        return self._target.sweep()

    def sync(self) -> None:
        self._target.sync()

    def backup(self, path: str | PathLike[str]) -> None:
        self._target.backup(path)

    def close(self) -> None:
        self._target.close()

    def count(self, subject: str | None = None) -> int:
        return self._target.count(subject)

    def find(self, id: str) -> crudjt.Session | None:  # noqa: A002 - named as Session.id is
        return self._target.find(id)

    def list(
        self,
        *,
        after: str | None = None,
        limit: int = 100,
        subject: str | None = None,
        created_before: datetime | None = None,
        data: bool = False,
    ) -> crudjt.Page:
        return self._target.list(after=after, limit=limit, subject=subject, created_before=created_before, data=data)

    def __repr__(self) -> str:
        return f"<DelegatingStore to {self._target!r}>"


def open_delegating(path: Path, **options: Any) -> crudjt.Store:
    """Open the store at a path behind one that delegates to it."""
    return DelegatingStore(crudjt.open(path, **options))


def _parse(location: str, options: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    return Path(location.partition(":")[2]), dict(options)


def _open_parsed(parsed: tuple[Path, dict[str, Any]]) -> crudjt.Store:
    return open_delegating(parsed[0], **parsed[1])


def register_near(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Install the backend of another package: ``near:PATH`` is the store at a path, behind one that delegates."""
    module = ModuleType("near_store")
    contents: dict[str, Any] = {
        "SCHEMES": ("near",),
        "OPTIONS": frozenset({"secret_key", "clock"}),
        "parse": _parse,
        "open_store": _open_parsed,
    }
    vars(module).update(contents)
    monkeypatch.setitem(sys.modules, "near_store", module)
    register(monkeypatch, "near")
    return module


def register(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """Make the backend above that of a scheme, as the installation of a package would."""
    entry_points = EntryPoints([EntryPoint(scheme, "near_store", _registry.ENTRY_POINTS)])

    def installed(**_: Any) -> EntryPoints:
        return entry_points

    monkeypatch.setattr("importlib.metadata.entry_points", installed)
