"""The connection to a remote store: channel and calls."""

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from crudjt._backends.grpc.coalescing import OPERATIONS, Batching
from crudjt._backends.grpc.failures import NO_ANSWER, translated, translated_failure
from crudjt._backends.grpc.location import Remote
from crudjt._core.process_guard import guard, own_memory, renew
from crudjt._rpc.channel_options import CHANNEL_OPTIONS
from crudjt._rpc.chunking import MAX_MESSAGE_BYTES
from crudjt._rpc.proto.v1 import store_pb2
from crudjt.errors import CrudjtError, StoreClosed, StoreUnavailable

_SERVICE = store_pb2.DESCRIPTOR.services_by_name["Store"]

_OPTIONS = [
    *CHANNEL_OPTIONS,
    # Detect a vanished server, in calls that have no time limit.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # The last response of a batch may exceed the size of a part.
    ("grpc.max_receive_message_length", 2 * MAX_MESSAGE_BYTES),
]

_READS = frozenset({"Read", "Peek"})  # batched apart from changes, which wait for locks


class Connection:
    """Calls the methods of `crudjt.v1.Store` by name. Connects at the first call, and again after a failure or fork."""

    def __init__(self, remote: Remote) -> None:
        """Store the target; nothing is sent."""
        self.location = remote.location
        self.remote = remote
        self.closed = False
        self._lock = threading.Lock()
        self._metadata = metadata_for(remote)
        self._pid = 0
        self._channel: Any = None
        self._methods: dict[str, Callable[..., Any]] = {}
        self._batching: dict[str, Batching] = {}
        guard(self)

    def require_open(self) -> None:
        """Raise `StoreClosed` after `close`."""
        if self.closed:
            raise StoreClosed

    def call(self, name: str, request: Any) -> Any:
        """Call a method and return its response.

        Raises:
            CrudjtError: the error that the server raised; `StoreUnavailable` if it did not answer.

        """
        if self._pid != os.getpid() or self.closed:
            self._connect()
        timeout = self.remote.timeout
        try:
            ask = self._batching[name].ask if name in OPERATIONS else self._call
            response = ask(name, request, timeout)
        except grpc.RpcError as error:
            raise self._translated(error) from error
        except TimeoutError as error:
            raise StoreUnavailable(self.location, NO_ANSWER) from error
        except InterruptedError as error:
            raise StoreUnavailable(self.location, str(error)) from error
        except ValueError:  # closed by another thread
            self.require_open()
            raise
        if isinstance(response, store_pb2.Failure):
            raise translated_failure(response, self.location)
        return response

    def _call(self, name: str, request: Any, timeout: float) -> Any:
        return self._methods[name](request, timeout=timeout, metadata=self._metadata)

    def stream(self, name: str, request: Any, *, forever: bool = False) -> Iterator[Any]:
        """Yield the responses of a streaming method; `forever` removes the time limit. Raises as `call` does."""
        method = self._method(name)
        responses = None
        try:
            responses = method(request, timeout=None if forever else self.remote.timeout, metadata=self._metadata)
            yield from responses
        except grpc.RpcError as error:
            raise self._translated(error) from error
        except ValueError:
            self.require_open()
            raise
        finally:
            if responses is not None:  # end the call, if the caller stops early
                _end(responses)

    def close(self) -> None:
        """Disconnect permanently."""
        if not own_memory[0]:
            renew()
        with self._lock:
            self.closed = True
            if self._channel is not None and self._pid == os.getpid():
                self._channel.close()
            self._channel = None

    def leave_to_parent(self) -> None:
        """Make a lock of this process: a thread of the parent may have been connecting."""
        self._lock = threading.Lock()

    def _method(self, name: str) -> Callable[..., Any]:
        if self._pid != os.getpid() or self.closed:
            self._connect()
        return self._methods[name]

    def _connect(self) -> None:
        """Make a channel for this process; one that was inherited through a fork belongs to the parent."""
        if not own_memory[0]:
            renew()
        with self._lock:
            self.require_open()
            if self._pid == os.getpid():
                return
            self._channel = channel_to(self.remote)
            reads, changes = Batching(self._call), Batching(self._call)
            self._batching = {name: reads if name in _READS else changes for name in OPERATIONS}
            self._methods = methods_of(self._channel)
            self._pid = os.getpid()

    def _translated(self, error: Any) -> CrudjtError:
        return StoreClosed() if self.closed else translated(error, self.location)


def _end(responses: Any) -> None:
    """End a streaming call; instrumentation of gRPC may have put a generator in its place."""
    if hasattr(responses, "cancel"):
        responses.cancel()
    else:
        responses.close()


def metadata_for(remote: Remote) -> tuple[tuple[str, str], ...] | None:
    """Return the metadata of each call: the access token, if there is one."""
    return (("authorization", f"Bearer {remote.access_token}"),) if remote.access_token else None


def channel_to(remote: Remote, kind: Any = grpc) -> Any:
    """Return a channel that connects at its first call; `kind` is its module, `grpc` or `grpc.aio`."""
    if remote.tls:
        credentials = grpc.ssl_channel_credentials(remote.ca, remote.key, remote.certificate)
        return kind.secure_channel(remote.target, credentials, _OPTIONS)
    return kind.insecure_channel(remote.target, _OPTIONS)


def methods_of(channel: Any) -> dict[str, Callable[..., Any]]:
    """Return the callables of a channel for the methods of `crudjt.v1.Store`, by name."""
    return {method.name: _callable(channel, method) for method in _SERVICE.methods}


def _callable(channel: Any, method: Any) -> Callable[..., Any]:
    kind = f"{_arity(method.client_streaming)}_{_arity(method.server_streaming)}"
    made: Callable[..., Any] = getattr(channel, kind)(
        f"/{_SERVICE.full_name}/{method.name}",
        request_serializer=getattr(store_pb2, method.input_type.name).SerializeToString,
        response_deserializer=getattr(store_pb2, method.output_type.name).FromString,
    )
    return made


def _arity(streaming: bool) -> str:
    return "stream" if streaming else "unary"
