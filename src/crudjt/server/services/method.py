"""A method of a gRPC service, without gRPC: message types and a function of the store.

Services list their methods in this form. Threads, access tokens, limits, status codes, logs and metrics are added in
one place for all of them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from google.protobuf.message import Message


class Method(NamedTuple):
    """One method of a service.

    Attributes:
        request: the type of a request.
        response: the type of a response.
        call: takes the store and the request, or an iterator of requests if they are streamed; returns the response, or
            yields responses if they are streamed. Raises the errors of `crudjt.errors`.
        request_streaming: whether the client sends many requests in one call.
        response_streaming: whether the server sends many responses in one call.
        action: what it is in the audit log; ``None`` for what applications do all the time.
        endless: whether a call may go on until one side ends it; a server that stops does not wait for it.

    """

    request: type[Message]
    response: type[Message]
    call: Callable[[Any, Any], Any]
    request_streaming: bool = False
    response_streaming: bool = False
    endless: bool = False
    action: str | None = None
