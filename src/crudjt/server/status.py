"""From errors to status codes."""

import grpc

from crudjt.errors import CrudjtError


def status_of(_error: CrudjtError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]:
    """Return code, details and trailing metadata."""
    return grpc.StatusCode.INTERNAL, "", ()
