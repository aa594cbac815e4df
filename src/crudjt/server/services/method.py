"""A method of a gRPC service, without gRPC: message types and a function of the store.

The services list their methods so; what is the same for all of them - threads, access tokens, limits, status codes,
logs, metrics - is applied to the list in one place.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from google.protobuf.message import Message


class Method(NamedTuple):
    """One method of a service.

    Attributes:
        request: the type of a request.
        response: the type of a response.
        call: takes the store and the request, or an iterator of requests where they are streamed; returns the response,
            or yields responses where they are streamed. Raises the errors of `crudjt.errors`, and knows no gRPC.
        request_streaming: whether the client sends many requests in one call.
        response_streaming: whether the server sends many responses in one call.

    """

    request: type[Message]
    response: type[Message]
    call: Callable[[Any, Any], Any]
    request_streaming: bool = False
    response_streaming: bool = False
