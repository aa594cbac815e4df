"""Turn the methods of a service into gRPC handlers: parsing, error status, metrics and slow clients.

Every call is handled as a stream of requests, even if it has only one, so that the call of a client that is slow to
send can be cancelled.
"""

import logging
import math
import time
import traceback
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from crudjt._rpc.errors import Metadata, status_of
from crudjt.base import Store
from crudjt.errors import CrudjtError, StoreError
from crudjt.server.auditing import audited
from crudjt.server.budget import Budget
from crudjt.server.services.method import Method

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_SECONDS_BETWEEN_LINES = 60.0
_TOO_MUCH = "the calls of all clients hold too many bytes of requests; try again later, or send less in one call"
_INTERNAL = "internal error; the log of the server says which"

AnyMessage = TypeVar("AnyMessage", bound=Message)

_logger = logging.getLogger("crudjt.server")


class Refused(Exception):
    """Ends a call with its own status, for errors that are not of the store."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        """Take the status code and the details for the client."""
        super().__init__(details)
        self.code = code
        self.details = details


class Observer(Protocol):
    """Metrics hooks that the server calls; see `crudjt.server.metrics`."""

    def observed(self, store: Store) -> Any:
        """Return a store that does the same and reports each operation."""

    def count_call(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """Record a call that has ended; `seconds` is how long it took."""


class Dispatcher:
    """Handles the calls of any services on one store.

    Args:
        store: passed to the methods.
        observer: receives each operation on the store and each call that has ended.
        client_timeout: seconds that a client may take to send a request or to receive a response, before `give_up`
            cancels its call. An operation of the store is never interrupted.
        max_held_bytes: limit of the bytes of requests that all calls hold together.

    """

    def __init__(self, store: Store, observer: Observer | None, client_timeout: float, max_held_bytes: int) -> None:
        """Prepare; nothing has to be closed."""
        self._store: Any = store if observer is None else observer.observed(store)
        self._observer = observer
        self._client_timeout = client_timeout
        self._budget = Budget(max_held_bytes)
        self._calls: set[ActiveCall] = set()
        self._next_line: dict[type, float] = {}

    def handlers(self, service: str, methods: Mapping[str, Method]) -> dict[str, Handler]:
        """Return the handlers of a service, by method."""
        return {name: self._handler(f"/{service}/{name}", method) for name, method in methods.items()}

    def give_up(self) -> None:
        """Cancel the calls of clients that are too slow."""
        latest = time.monotonic() - self._client_timeout
        for call in self._calls.copy():
            if call.waiting_since < latest:
                call.context.cancel()

    def end_endless(self) -> None:
        """Cancel the calls that do not end by themselves."""
        for call in self._calls.copy():
            if call.endless:
                call.context.cancel()

    @contextmanager
    def call(self, name: str, context: grpc.ServicerContext) -> Generator["ActiveCall"]:
        """Convert an exception in the block to the status of the call, and report the call."""
        started = time.monotonic()
        code = grpc.StatusCode.CANCELLED  # if the client disconnects
        call = ActiveCall(context, self._budget)
        self._calls.add(call)
        try:
            yield call
            code = grpc.StatusCode.OK
        except grpc.RpcError:
            raise
        except Exception as error:  # noqa: BLE001 - each has its status
            code, details, metadata = self.status(name, error)
            context.set_trailing_metadata(metadata)
            context.abort(code, details)
        finally:
            self._calls.discard(call)
            self._budget.release(call.held_bytes)
            seconds = time.monotonic() - started
            _logger.debug("%s %s %.6f s", name, code.name, seconds)
            if self._observer is not None:
                self._observer.count_call(name, code, seconds)

    def _handler(self, name: str, method: Method) -> Handler:
        def answer(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            with self.call(name, context) as call:
                request = call.argument(method, messages)
                if method.action is None:
                    response: Message = method.call(self._store, request)
                    return response.SerializeToString()
                with audited(method, request, context) as record:
                    record.response = method.call(self._store, request)
                answered: bytes = record.response.SerializeToString()
                return answered

        def answers(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            with self.call(name, context) as call:
                call.endless = method.endless
                request = call.argument(method, messages)
                with nullcontext() if method.action is None else audited(method, request, context):
                    for response in method.call(self._store, request):
                        with call.waiting():
                            yield response.SerializeToString()

        if method.response_streaming:
            return grpc.stream_stream_rpc_method_handler(answers)
        return grpc.stream_unary_rpc_method_handler(answer)

    def status(self, name: str, error: Exception) -> tuple[grpc.StatusCode, str, Metadata]:
        """Return the status of a call that raised `error`; log errors of the store and of this server."""
        if isinstance(error, Refused):
            return error.code, error.details, ()
        if not isinstance(error, CrudjtError):
            _logger.error("%s failed: %s", name, _whereabouts(error))
            return grpc.StatusCode.INTERNAL, _INTERNAL, ()
        if isinstance(error, StoreError):
            self._report(error)
        return status_of(error)

    def _report(self, error: StoreError) -> None:
        """Log an error of the store: each kind once a minute at most, since a failed store raises in every call."""
        now = time.monotonic()
        if now >= self._next_line.get(type(error), now):
            self._next_line[type(error)] = now + _SECONDS_BETWEEN_LINES
            _logger.error("%s: %s", type(error).__name__, str(error))


class ActiveCall:
    """A running call."""

    def __init__(self, context: grpc.ServicerContext, budget: Budget) -> None:
        """Start in the state of not waiting."""
        self.context = context
        self.held_bytes: int = 0  # taken from the budget, until the call ends
        self._budget = budget
        self.waiting_since: float = math.inf
        self.endless = False

    @contextmanager
    def waiting(self) -> Generator[None]:
        """Mark a block that waits for the client."""
        self.waiting_since = time.monotonic()
        try:
            yield
        finally:
            self.waiting_since = math.inf

    def argument(self, method: Method, messages: Iterator[bytes]) -> Any:
        """Return what the method takes: a request, or an iterator of them.

        A call whose client has disconnected, or whose deadline has passed by the server's clock, is not started: gRPC
        raises instead of returning a request.
        """
        if method.request_streaming:
            return self._requests(method.request, messages, streamed=True)
        return self.request(method.request, messages)

    def request(self, message_type: type[AnyMessage], messages: Iterator[bytes]) -> AnyMessage:
        """Return the only request of a call."""
        for request in self._requests(message_type, messages, streamed=False):
            if self.context.time_remaining() == 0:
                raise Refused(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the call started")
            return request
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "no request was sent")

    def _requests(
        self, message_type: type[AnyMessage], messages: Iterator[bytes], *, streamed: bool
    ) -> Iterator[AnyMessage]:
        while True:
            with self.waiting():
                message = next(messages, None)
            if message is None:
                return
            if not self._budget.take(len(message), streamed=streamed):
                raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, _TOO_MUCH)
            self.held_bytes += len(message)
            try:
                yield message_type.FromString(message)
            except DecodeError:
                name = message_type.DESCRIPTOR.full_name
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"the request is not a {name} in protobuf") from None


def _whereabouts(error: Exception) -> str:
    """Return the type and the place of an error. Its text is left out, since it may hold a token or data."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name}, {Path(frame.filename).name}:{frame.lineno}"
