"""A worker: a process that serves a store on ports that it shares with its like."""

import os
import resource
import signal
import threading
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from crudjt.errors import CrudjtError
from crudjt.opening import OpenOptions
from crudjt.opening import open as open_store
from crudjt.server.auth import TLS
from crudjt.server.handlers import Observer
from crudjt.server.log_format import log_to_standard_error
from crudjt.server.server import Server

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # the name is prometheus_client's


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """All that a worker must know; it goes to it through a pipe.

    Attributes:
        location: the store, as `crudjt.open` takes it.
        options: its options, as `crudjt.open` takes them.
        listen: addresses, with actual ports.
        tls: as `Server` takes it, and so the next.
        access_tokens: texts.
        metrics_directory: where it leaves its metrics for the supervisor; ``None`` for no metrics.
        log_format: as `log_to_standard_error` takes it, and so the next.
        log_level: the least level that is logged.

    """

    location: str | Path
    options: OpenOptions = field(repr=False)
    listen: tuple[str, ...] = ()
    tls: TLS | None = None
    access_tokens: tuple[str, ...] = field(default=(), repr=False)
    metrics_directory: str | None = None
    log_format: str = "text"
    log_level: str = "info"


def run_worker(pipe: Connection, settings: WorkerSettings) -> None:
    """Serve until SIGTERM or SIGINT comes or the supervisor is gone.

    Sends ``None`` through the pipe when it serves, or the error that keeps it from it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # before there are threads: only sigwait is to get them
    log_to_standard_error(settings.log_format, settings.log_level)
    _allow_many_connections()
    try:
        with open_store(settings.location, **settings.options) as store:
            observer: Observer | None = None
            if settings.metrics_directory is not None:
                os.environ[METRICS_VARIABLE] = settings.metrics_directory  # read when prometheus_client is imported
                from crudjt.server.metrics import Metrics  # noqa: PLC0415 - an extra, imported only if asked for

                observer = Metrics()
            server = Server(
                store,
                settings.listen,
                tls=settings.tls,
                access_tokens=settings.access_tokens,
                share_ports=True,
                observer=observer,
            )
            server.start()
            pipe.send(None)
            threading.Thread(target=_follow, args=(pipe,), name="crudjt-follow", daemon=True).start()
            signal.sigwait(STOP_SIGNALS)
            server.stop()
    except CrudjtError as error:
        pipe.send(error)


def _follow(pipe: Connection) -> None:
    """Stop this process when the supervisor has gone, however it went."""
    try:
        pipe.recv_bytes()  # nothing is ever sent
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)


def _allow_many_connections() -> None:
    """Raise the soft limit of open files, which is often 1024, to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
