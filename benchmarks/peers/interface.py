"""What every peer offers to the timed loops: plain functions, or ``None`` for what it cannot do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.payloads import Data

TTL = 3600
MAX_READS = 10


@dataclass(frozen=True)
class Place:
    """Where a peer keeps its sessions.

    Attributes:
        workspace: a directory that is there for one turn; servers that belong to the turn listen in it.
        port: where a server of the turn listens on loopback, if it does.
        remote: whether another process has the store open throughout; the original's serves it at the port.
        served: whether a server of ours has it open, and is to be asked at the port.
        clustered: whether the server at the port is one of a cluster.
        durable: whether an operation may only return once its change is on disk.

    """

    workspace: str
    port: int = 0
    remote: bool = False
    served: bool = False
    clustered: bool = False
    durable: bool = False


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An open store.

    `create_expiring` gives a session a lifetime of `TTL`, `create_owned` that and a subject, `create_limited` is good
    for `MAX_READS` reads by `read_limited`. `read` returns something false for a session that is not there.
    """

    create: Callable[[Data], str]
    read: Callable[[str], Any]
    data_of: Callable[[Any], Data]
    close: Callable[[], None]
    update: Callable[[str, Data], Any] | None = None
    delete: Callable[[str], Any] | None = None
    create_expiring: Callable[[Data], str] | None = None
    create_owned: Callable[[Data, str], str] | None = None
    create_limited: Callable[[Data], str] | None = None
    read_limited: Callable[[str], Any] | None = None
    rotate: Callable[[str], str | None] | None = None
    revoke: Callable[[str], Any] | None = None
    read_many: Callable[[list[str]], Any] | None = None


def as_is(data: Data) -> Data:
    """Return the data of peers whose `read` returns nothing else."""
    return data


def do_nothing() -> None:
    """Close what needs no closing."""
