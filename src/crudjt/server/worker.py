"""A worker process: serves a store on ports that it shares with the other workers."""

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
    """The settings of a worker; pickled and sent to it.

    Attributes:
        location: the location of the store, for `crudjt.open`.
        options: the options of the store, for `crudjt.open`.
        listen: addresses, with actual ports.
        tls: see `Server`.
        access_tokens: see `Server`.
        metrics_directory: the directory for its metrics, which the supervisor reads; ``None`` for no metrics.
        log_format: see `log_to_standard_error`.
        log_level: the lowest level that is logged.

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
    """Serve until SIGTERM or SIGINT, or until the supervisor ends.

    Sends ``None`` through the pipe when it serves, or the error that prevents it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # before any thread starts, so that only sigwait gets them
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
    """Stop this process when the supervisor ends, for whatever reason."""
    try:
        pipe.recv_bytes()  # nothing is ever sent
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)


def _allow_many_connections() -> None:
    """Raise the soft limit of open files, often 1024, to the hard limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
