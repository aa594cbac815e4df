"""From the methods of a service to handlers of gRPC: what is the same for every call happens here, once.

A call is: the message that was sent, parsed; the method; its answer, or its error as a status. Each is handled as a
stream of requests, also where there is only one: so the call of a client that is slow to send can be given up.
"""

import logging
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from crudjt.errors import CrudjtError, StoreError
from crudjt.server.method import Method
from crudjt.server.status import status_of

# Called after every call: "/service/method", its status, and how many seconds it took.
Observer = Callable[[str, grpc.StatusCode, float], None]

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_SECONDS_BETWEEN_LINES = 60.0
_INTERNAL = "internal error; the log of the server says which"

AnyMessage = TypeVar("AnyMessage", bound=Message)

logger = logging.getLogger("crudjt.server")


class Refused(Exception):
    """A call that ends with a status of its own, before or beside the store."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        """Take what the client is told."""
        super().__init__(details)
        self.code = code
        self.details = details


class Dispatcher:
    """Handles the calls of any services on one store.

    Args:
        store: what the methods get.
        observers: told of each call when it has ended.
        seconds_per_call: how long a call may last before `give_up` cancels it.

    """

    def __init__(self, store: Any, observers: Iterable[Observer], seconds_per_call: float) -> None:
        """Prepare; it holds nothing that must be closed."""
        self._store = store
        self._observers = tuple(observers)
        self._seconds_per_call = seconds_per_call
        self._running: dict[int, tuple[float, grpc.ServicerContext]] = {}
        self._next_line: dict[type, float] = {}

    def handlers(self, service: str, methods: Mapping[str, Method]) -> dict[str, Handler]:
        """Return the handlers of a service, by method."""
        return {name: self._handler(f"/{service}/{name}", method) for name, method in methods.items()}

    def give_up(self) -> None:
        """Cancel the calls that last too long, such as those of clients that do not send or do not read."""
        latest = time.monotonic() - self._seconds_per_call
        for started, context in list(self._running.values()):
            if started < latest:
                context.cancel()

    @contextmanager
    def call(self, name: str, context: grpc.ServicerContext) -> Iterator[None]:
        """Turn whatever is raised within the block into the status of the call, and report it."""
        started = time.monotonic()
        code = grpc.StatusCode.CANCELLED  # what it stays if the client leaves
        self._running[id(context)] = started, context
        try:
            yield
            code = grpc.StatusCode.OK
        except grpc.RpcError:
            raise
        except Exception as error:  # noqa: BLE001 - each has its status
            code, details, metadata = self._status(name, error)
            context.set_trailing_metadata(metadata)
            context.abort(code, details)
        finally:
            del self._running[id(context)]
            seconds = time.monotonic() - started
            logger.debug("%s %s %.6f s", name, code.name, seconds)
            for observe in self._observers:
                observe(name, code, seconds)

    def _handler(self, name: str, method: Method) -> Handler:
        def answer(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            with self.call(name, context):
                response: Message = method.call(self._store, _request(method, messages, context))
                return response.SerializeToString()

        def answers(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            with self.call(name, context):
                for response in method.call(self._store, _request(method, messages, context)):
                    yield response.SerializeToString()

        if method.response_streaming:
            return grpc.stream_stream_rpc_method_handler(answers)
        return grpc.stream_unary_rpc_method_handler(answer)

    def _status(self, name: str, error: Exception) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]:
        if isinstance(error, Refused):
            return error.code, error.details, ()
        if not isinstance(error, CrudjtError):
            logger.error("%s failed: %s", name, _whereabouts(error))
            return grpc.StatusCode.INTERNAL, _INTERNAL, ()
        if isinstance(error, StoreError):
            self._report(error)
        return status_of(error)

    def _report(self, error: StoreError) -> None:
        """Log what ails the store; a store that fails does so at every call, so each kind is named once a minute."""
        now = time.monotonic()
        if now >= self._next_line.get(type(error), now):
            self._next_line[type(error)] = now + _SECONDS_BETWEEN_LINES
            logger.error("%s: %s", type(error).__name__, error)


def first(message_type: type[AnyMessage], messages: Iterator[bytes]) -> AnyMessage:
    """Return the one request of a call that has no more."""
    for message in messages:
        return _parsed(message_type, message)
    raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "no request was sent")


def _request(method: Method, messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
    if method.request_streaming:
        request: Any = (_parsed(method.request, message) for message in messages)
    else:
        request = first(method.request, messages)
    if not context.time_remaining():
        raise Refused(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the call could begin")
    return request


def _parsed(message_type: type[AnyMessage], message: bytes) -> AnyMessage:
    try:
        return message_type.FromString(message)
    except DecodeError:
        name = message_type.DESCRIPTOR.full_name
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"the request is not a {name} in protobuf") from None


def _whereabouts(error: Exception) -> str:
    """Say what kind of error came from where. Its text may hold a token or data, so it is left out."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name}, {Path(frame.filename).name}:{frame.lineno}"
