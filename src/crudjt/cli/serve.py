"""The commands `serve` and `health`. gRPC is imported only when one of them runs."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from crudjt._core.extras import require_extra
from crudjt.cli.context import Settings
from crudjt.cli.options import json_option, older_path_option, one_location, store_option

_MAX_WORKERS = 64
_LOG_FORMATS = ("text", "json")  # these are checked again in crudjt.server, which is not imported for other commands
_LOG_LEVELS = ("debug", "info", "warning", "error")


def _option(name: str, text: str, **attributes: Any) -> Callable[..., Any]:
    """Return an option that can also come from the environment: ``--log-format`` is ``CRUDJT_LOG_FORMAT``."""
    variable = f"CRUDJT_{name.removeprefix('--').replace('-', '_').upper()}"
    return click.option(name, envvar=variable, help=f"{text}  [{variable}]", **attributes)


def _file_option(name: str, text: str) -> Callable[..., Any]:
    return _option(name, text, metavar="PATH", type=click.Path(path_type=Path))


@click.command()
@store_option
@older_path_option
@_option("--listen", "HOST:PORT or unix:/PATH; may be repeated.", metavar="ADDRESS", multiple=True)
@_option("--workers", "Processes that serve; 1 if not given.", type=click.IntRange(1, _MAX_WORKERS), default=1)
@_option("--max-cache-bytes", "Memory of a worker's read cache; 0 for none.", type=click.IntRange(0), metavar="BYTES")
@_file_option("--tls-cert", "Certificate of the server, in PEM.")
@_file_option("--tls-key", "Its private key, in PEM.")
@_file_option("--client-ca", "Authorities whose certificates clients must have, in PEM.")
@_file_option("--access-token-file", "Access tokens, one a line, of which clients must send one.")
@_option("--metrics", "Where to serve metrics for Prometheus.", metavar="HOST:PORT")
@_option("--log-format", "How to log; text if not given.", type=click.Choice(_LOG_FORMATS), default="text")
@_option("--log-level", "Least level to log; info if not given.", type=click.Choice(_LOG_LEVELS), default="info")
@click.pass_obj
def serve(settings: Settings, /, store: str | None, path: Path | None, **options: Any) -> None:
    """Serve the store over gRPC until SIGTERM or SIGINT.

    Listens on 127.0.0.1:50051 by default. Addresses that other hosts can reach require TLS and access tokens.
    """
    require_extra("grpc")
    if sys.platform != "linux":
        raise click.UsageError(f"serve needs Linux, not {sys.platform}; run it in a container, or on another host")
    location = one_location(store, path)
    if location is not None:
        settings = replace(settings, location=location)
    from crudjt.cli.server_commands import run_server  # noqa: PLC0415 - takes long, and the other commands need none of it

    run_server(settings, **options)


@click.command()
@json_option
@click.pass_obj
def health(settings: Settings, /) -> None:
    """Ask a server whether it serves.

    It is the one that --store names, or else on 127.0.0.1:50051. The exit status is 1 if it does not serve or does not
    answer.
    """
    require_extra("grpc")
    from crudjt.cli.health import show_health  # noqa: PLC0415 - as above

    show_health(settings)
