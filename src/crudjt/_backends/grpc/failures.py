"""Translate the errors of gRPC: a `CrudjtError` whose message says what is wrong and what helps."""

from typing import Any

import grpc

from crudjt._rpc.errors import ERROR_KEY, error_in, error_of
from crudjt._rpc.proto.v1 import store_pb2
from crudjt.errors import CrudjtError, StoreInaccessible, StoreUnavailable

NO_ANSWER = "no answer in time; see whether the server is busy or stopped, or raise timeout"

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_REFUSALS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
_REASONS = {
    grpc.StatusCode.DEADLINE_EXCEEDED: NO_ANSWER,
    grpc.StatusCode.UNIMPLEMENTED: "what listens there is no server of crudjt; correct the location",
}
_CLOSED = (
    "the server closed the connection; see whether it was stopped, or requires TLS (grpcs://host:port) or a client "
    "certificate (tls_cert and tls_key)"
)
_REASONS_BY_DETAILS = {
    "WRONG_VERSION_NUMBER": "the server answers without TLS; start it with TLS, or use grpc://host:port",
    "CERTIFICATE_VERIFY_FAILED": "the server's certificate is not trusted; name the file of its authority with tls_ca",
    "Hostname Verification": "the server's certificate is for another host name; use the one that is in it",
    "Connection refused": "no server listens there; start it (crudjt serve), or correct the location",
    "No such file or directory": "there is no such socket; start the server (crudjt serve), or correct the location",
    "Permission denied": "the socket belongs to another user; connect as the user that runs the server",
    "errors resolving": "the host name is not known; correct the location",
    "DNS resolution failed": "the host name is not known; correct the location",
    "HTTP/2": "what listens there is no server of crudjt; correct the location",
    "Socket closed": _CLOSED,
    "Connection reset": _CLOSED,
    "Concurrent RPC limit": "the server has as many calls as it takes; try again later",
}
"""Reasons by a part of what gRPC says. A text that is not here is passed on: it decides nothing else."""


def translated(error: Any, location: str) -> CrudjtError:
    """Return the error for one that gRPC raised: the one of the server, if it sent one."""
    for key, value in error.trailing_metadata() or ():
        if key == ERROR_KEY and (theirs := error_of(value)) is not None:
            return theirs
    if error.code() in _REFUSALS:
        return StoreInaccessible(location, "the access token, or the certificate, is missing or wrong")
    return StoreUnavailable(location, _reason(error.code(), error.details() or ""))


def translated_failure(failure: store_pb2.Failure, location: str) -> CrudjtError:
    """Return the error of one operation of a batch."""
    theirs = error_in(failure.error) if failure.HasField("error") else None
    code = _CODES.get(failure.code, grpc.StatusCode.UNKNOWN)
    return theirs or StoreUnavailable(location, _reason(code, failure.details))


def _reason(code: grpc.StatusCode, details: str) -> str:
    if code in _REASONS:
        return _REASONS[code]
    for part, reason in _REASONS_BY_DETAILS.items():
        if part in details:
            return reason
    return f"the call failed: {details} ({code.name})"
