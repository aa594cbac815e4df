"""A server in the test's own process, on a Unix socket."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

import crudjt
from crudjt.connection import Connection
from crudjt.locations import remote
from crudjt.remote import RemoteStore
from crudjt.server import store_service
from crudjt.server.method import Method
from crudjt.wire import status_of

_numbers = itertools.count()


def handler(store: crudjt.Store, method: Method) -> grpc.RpcMethodHandler:
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method.call(store, request)
        except Exception as error:  # noqa: BLE001 - each has its status
            end(context, error)

    def answers(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        try:
            yield from method.call(store, request)
        except Exception as error:  # noqa: BLE001 - each has its status
            end(context, error)

    kinds: dict[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler]] = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return kinds[method.request_streaming, method.response_streaming](
        answers if method.response_streaming else answer,
        request_deserializer=method.request.FromString,
        response_serializer=method.response.SerializeToString,
    )


def end(context: grpc.ServicerContext, error: Exception) -> None:
    code, details, metadata = status_of(error)
    context.set_trailing_metadata(metadata)
    context.abort(code, details)


def serve(store: crudjt.Store, address: str) -> grpc.Server:
    server = grpc.server(ThreadPoolExecutor(8))
    handlers = {name: handler(store, method) for name, method in store_service.METHODS.items()}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(store_service.NAME, handlers)])
    server.add_insecure_port(address)
    server.start()
    return server


class ServedStore(RemoteStore):
    """A remote store that brings its server, and takes it along when it is closed."""

    def __init__(self, path: Path, **options: Any) -> None:
        self._store = crudjt.open(path, **options)
        socket = f"{path}.{next(_numbers)}"
        self._server = serve(self._store, f"unix:{socket}")
        super().__init__(Connection(remote(f"unix://{socket}")))

    def close(self) -> None:
        super().close()
        self._server.stop(None).wait(10)
        self._store.close()
