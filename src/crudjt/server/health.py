"""The standard health service (grpc.health.v1)."""

from collections.abc import Iterable
from typing import Any

import grpc
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from crudjt.server.handlers import Refused
from crudjt.server.services.method import Method

_NO_CONTEXT: Any = None  # the servicer uses it for unknown services only


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
