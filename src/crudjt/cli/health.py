"""Implementation of `health`, which needs no part of the server."""

from dataclasses import replace
from pathlib import Path

import click
import grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from crudjt._backends.grpc.channel import channel_to
from crudjt._backends.grpc.failures import translated
from crudjt._backends.grpc.location import Remote
from crudjt._rpc.addresses import DEFAULT_HOST, DEFAULT_PORT
from crudjt.cli.context import Settings
from crudjt.opening import parse

_HEALTH_SECONDS = 5.0


class NoAnswer(click.ClickException):
    """A server that was asked for its health did not answer."""

    exit_code = 1


def show_health(settings: Settings) -> None:
    """Print whether a server serves.

    Raises:
        NoAnswer: it does not answer.

    """
    if settings.location is None and isinstance(settings.place, Path):
        settings = replace(settings, location=f"grpc://{DEFAULT_HOST}:{DEFAULT_PORT}")
    server = parse(settings.location, settings.options()).place if isinstance(settings.place, str) else None
    if not isinstance(server, Remote):
        raise click.UsageError("--store must be a server: grpc://HOST:PORT, grpcs://HOST:PORT or unix:/PATH")
    with channel_to(server) as channel:
        check = channel.unary_unary(
            f"/{HEALTH}/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        try:
            response = check(HealthCheckRequest(), timeout=_HEALTH_SECONDS)
        except grpc.RpcError as error:
            raise NoAnswer(str(translated(error, server.location))) from None
    status = HealthCheckResponse.ServingStatus.Name(response.status)
    settings.show({"status": status}, status)
    if response.status != HealthCheckResponse.SERVING:
        raise click.exceptions.Exit(1)
