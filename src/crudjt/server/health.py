"""The standard services beside our own: health (grpc.health.v1) and reflection."""

from collections.abc import Iterable, Iterator
from typing import Any

import grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection import SERVICE_NAME as REFLECTION
from grpc_reflection.v1alpha.reflection import ReflectionServicer
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from crudjt.server.handlers import Refused
from crudjt.server.services.method import Method

_NO_CONTEXT: Any = None  # these two use it for unknown services only, or not at all


class Health:
    """Answers whether the server serves: as a whole, and for each of its services, which is the same."""

    def __init__(self, services: Iterable[str]) -> None:
        """Begin as not serving."""
        self._names = frozenset({"", *services})
        self._servicer = HealthServicer()
        self._serving: bool | None = None
        self.say(serving=False)

    def say(self, *, serving: bool) -> bool:
        """State whether the server serves, and return whether that is news."""
        if serving is self._serving:
            return False
        self._serving = serving
        status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        for name in self._names:
            self._servicer.set(name, status)
        return True

    def methods(self) -> dict[str, Method]:
        """Return the methods of the service.

        `Watch` is not among them, as the protocol allows: `HealthServicer` sends to watchers while it holds the lock
        that the end of another watcher waits for, in the one thread that could finish the sending.
        """
        return {"Check": Method(HealthCheckRequest, HealthCheckResponse, self._check)}

    def _check(self, _store: object, request: HealthCheckRequest) -> HealthCheckResponse:
        if request.service not in self._names:
            raise Refused(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return self._servicer.Check(request, _NO_CONTEXT)


def reflection_methods(services: Iterable[str]) -> dict[str, Method]:
    """Return the methods of the reflection service, which explains these services to tools such as grpcurl."""
    servicer: Any = ReflectionServicer([*services, HEALTH, REFLECTION])  # its stubs leave out what it returns

    def explain(_store: object, requests: Iterator[ServerReflectionRequest]) -> Iterator[ServerReflectionResponse]:
        responses: Iterator[ServerReflectionResponse] = servicer.ServerReflectionInfo(requests, _NO_CONTEXT)
        return responses

    return {
        "ServerReflectionInfo": Method(
            ServerReflectionRequest, ServerReflectionResponse, explain, request_streaming=True, response_streaming=True
        )
    }
