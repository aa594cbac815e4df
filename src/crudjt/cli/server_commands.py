"""Implementation of `serve`."""

import logging
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from crudjt._backends.grpc import SCHEMES as SERVER_SCHEMES
from crudjt._core.extras import require_extra
from crudjt._rpc.access_tokens import read_access_tokens
from crudjt._rpc.addresses import DEFAULT_HOST, DEFAULT_PORT
from crudjt._rpc.listening import TcpAddress, checked_addresses, parse_address
from crudjt._secret_keys import SECRET_KEY_FILE_VARIABLE, SECRET_KEY_VARIABLE
from crudjt.cli.context import Settings
from crudjt.errors import InvalidParameter
from crudjt.server.auth import TLS
from crudjt.server.log_format import log_to_standard_error
from crudjt.server.supervisor import Supervisor, block_signals
from crudjt.server.worker import WorkerSettings

_logger = logging.getLogger("crudjt.server")

# Settings of the original engine's container.
_ORIGINAL_HOST_VARIABLE = "CRUDJT_DOCKER_HOST"
_ORIGINAL_PORT_VARIABLE = "CRUDJT_DOCKER_PORT"
_ORIGINAL_KEY_FILE = Path("secrets/secret_key.txt")


def run_server(
    settings: Settings,
    *,
    listen: tuple[str, ...],
    workers: int,
    max_cache_bytes: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    client_ca: Path | None,
    access_token_file: Path | None,
    metrics: str | None,
    log_format: str,
    log_level: str,
) -> None:
    """Check all options, open the store, and serve it until a signal. The parameters are the options of `serve`.

    Raises:
        InvalidParameter: an option cannot be used, or an address cannot be had.
        StoreError: the store cannot be opened, or has failed.

    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its lines have another format
    # Its newer way of listening wakes another thread for each message: a fifth of a call's cost in the workers.
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
    log_to_standard_error(log_format, log_level)
    tls = _tls(tls_cert, tls_key, client_ca)
    tokens = () if access_token_file is None else tuple(read_access_tokens(access_token_file))
    addresses = checked_addresses(listen or _default_listen(), tls=tls is not None, access_tokens=bool(tokens))
    metrics_address = None if metrics is None else _metrics_address(metrics)
    _refuse_server(settings)
    options = settings.options(_original_key_file(), create=True)
    if max_cache_bytes is not None:
        options["max_cache_bytes"] = max_cache_bytes
    block_signals()
    with ExitStack() as stack:
        store = stack.enter_context(settings.open(options))
        directory = None
        if metrics_address is not None:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="crudjt-metrics-"))
            from crudjt.server.metrics import metrics_served  # noqa: PLC0415 - an extra, imported only if asked for

            bound = stack.enter_context(metrics_served(metrics_address, store, directory))
            _logger.info("metrics are on http://%s/metrics", bound)
            if not bound.stays_on_host:
                _logger.warning("other hosts can read the metrics on %s: plain HTTP, without an access token", bound)
        worker = WorkerSettings(
            location=settings.place,
            options=options,
            tls=tls,
            access_tokens=tokens,
            metrics_directory=directory,
            log_format=log_format,
            log_level=log_level,
        )
        Supervisor(store, worker, addresses, workers).run()


def _refuse_server(settings: Settings) -> None:
    """Refuse the location of a server: only a directory can be served."""
    if isinstance(settings.place, str) and settings.place.partition(":")[0].lower() in SERVER_SCHEMES:
        raise click.UsageError("--store is the location of a server; serve needs the store itself")


def _default_listen() -> tuple[str, ...]:
    host = os.environ.get(_ORIGINAL_HOST_VARIABLE) or DEFAULT_HOST
    port = os.environ.get(_ORIGINAL_PORT_VARIABLE) or DEFAULT_PORT
    return (f"{host}:{port}",)


def _original_key_file() -> Path | None:
    """Return the key file of the original's container, if it is there and nothing else is named."""
    if any(os.environ.get(name, "").strip() for name in (SECRET_KEY_VARIABLE, SECRET_KEY_FILE_VARIABLE)):
        return None
    return _ORIGINAL_KEY_FILE if _ORIGINAL_KEY_FILE.exists() else None


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> TLS | None:
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        raise InvalidParameter(
            "tls_cert and tls_key", "tls_cert and tls_key must be given together, and client_ca only with them"
        )
    tls = TLS(certificate, key, client_ca)
    tls.read()  # so that what is wrong with them is known before anything runs
    return tls


def _metrics_address(text: str) -> TcpAddress:
    require_extra("metrics")
    address = parse_address(text, "metrics")[0]
    if not isinstance(address, TcpAddress):
        raise InvalidParameter("metrics", "metrics must be HOST:PORT, not a Unix socket")
    return address
