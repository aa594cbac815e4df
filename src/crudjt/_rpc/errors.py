"""Encode errors for gRPC: one table from error class to status code and message, for clients and servers.

The message, `crudjt.v1.Error`, is sent in the trailing metadata, so that the client raises the same error with the
same fields. Paths are the server's. No error, and so no detail, holds a token, a key or a value of data.
"""

from pathlib import Path
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import DecodeError

from crudjt import errors
from crudjt._rpc.proto.v1 import store_pb2
from crudjt.errors import CrudjtError

ERROR_KEY = "crudjt-error-bin"

Metadata = tuple[tuple[str, bytes], ...]


class Form(NamedTuple):
    """The encoding of one class of errors.

    Attributes:
        code: the status code.
        field: the field of `crudjt.v1.Error` that is set.
        arguments: names of the constructor's arguments, which are also attributes and fields of the message.

    """

    code: grpc.StatusCode
    field: str
    arguments: tuple[str, ...] = ()


FORMS: dict[type[CrudjtError], Form] = {
    errors.InvalidParameter: Form(grpc.StatusCode.INVALID_ARGUMENT, "invalid_parameter", ("parameter", "problem")),
    errors.InvalidType: Form(grpc.StatusCode.INVALID_ARGUMENT, "invalid_type", ("parameter", "problem")),
    errors.DataTooLarge: Form(grpc.StatusCode.INVALID_ARGUMENT, "data_too_large", ("size", "limit")),
    errors.VersionConflict: Form(grpc.StatusCode.FAILED_PRECONDITION, "version_conflict", ("expected", "actual")),
    errors.TooManySessions: Form(grpc.StatusCode.FAILED_PRECONDITION, "too_many_sessions", ("max_sessions",)),
    errors.StoreClosed: Form(grpc.StatusCode.UNAVAILABLE, "store_closed"),
    errors.StoreUnavailable: Form(grpc.StatusCode.UNAVAILABLE, "store_unavailable", ("location", "reason")),
    errors.StoreBusy: Form(grpc.StatusCode.UNAVAILABLE, "store_busy", ("path", "reason", "waited")),
    errors.StoreFull: Form(grpc.StatusCode.RESOURCE_EXHAUSTED, "store_full", ("path", "reason")),
    errors.StoreFailed: Form(grpc.StatusCode.DATA_LOSS, "store_failed", ("path", "reason")),
    errors.StoreInaccessible: Form(grpc.StatusCode.PERMISSION_DENIED, "store_inaccessible", ("path", "reason")),
    errors.StoreMoved: Form(grpc.StatusCode.FAILED_PRECONDITION, "store_moved", ("path", "reason")),
    errors.StoreFormatError: Form(grpc.StatusCode.UNIMPLEMENTED, "store_format_error", ("path", "found", "supported")),
    errors.StoreCorrupt: Form(grpc.StatusCode.DATA_LOSS, "store_corrupt", ("path", "offset", "reason")),
}

_CLASSES = {form.field: kind for kind, form in FORMS.items()}


def status_of(error: BaseException) -> tuple[grpc.StatusCode, str, Metadata]:
    """Return the status code, details and trailing metadata of a call that raised `error`.

    Other errors than `CrudjtError` are faults of the server; the client gets no details.
    """
    form = next((FORMS[kind] for kind in type(error).__mro__ if kind in FORMS), None)
    if form is None:
        return grpc.StatusCode.INTERNAL, "internal error", ()
    message = store_pb2.Error()
    part = getattr(message, form.field)
    part.SetInParent()
    for name in form.arguments:
        value = getattr(error, name)
        if value is not None:
            setattr(part, name, _text(value) if isinstance(value, str | Path) else value)
    return form.code, _text(error), ((ERROR_KEY, message.SerializeToString()),)


def _text(value: object) -> str:
    return str(value).encode(errors="replace").decode()  # a path may not be valid text


def error_of(encoded: bytes) -> CrudjtError | None:
    """Return the error that `status_of` encoded; ``None`` if this version does not know its kind."""
    try:
        return error_in(store_pb2.Error.FromString(encoded))
    except DecodeError:
        return None


def error_in(message: store_pb2.Error) -> CrudjtError | None:
    """Return the error of a message; ``None`` if this version does not know its kind."""
    field = message.WhichOneof("error")
    kind = _CLASSES.get(field or "")
    if kind is None:
        return None
    part = getattr(message, field)
    return kind(**{name: _field(part, name) for name in FORMS[kind].arguments})


def _field(part: Any, name: str) -> Any:
    if name == "offset" and not part.HasField(name):
        return None
    value = getattr(part, name)
    return Path(value) if name == "path" and "://" not in value else value  # a URL is the location of a store
