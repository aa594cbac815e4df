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
    """Health service; the status of the server and of each of its services is the same."""

    def __init__(self, services: Iterable[str]) -> None:
        """Start as not serving."""
        self._names = frozenset({"", *services})
        self._servicer = HealthServicer()
        self._serving: bool | None = None
        self.say(serving=False)

    def say(self, *, serving: bool) -> bool:
        """Set whether the server serves; return whether that changed."""
        if serving is self._serving:
            return False
        self._serving = serving
        status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        for name in self._names:
            self._servicer.set(name, status)
        return True

    def methods(self) -> dict[str, Method]:
        """Return the methods of the service.

        `Watch` is left out, as the protocol allows: `HealthServicer` sends to watchers while it holds a lock that
        another watcher needs to end, which can deadlock.
        """
        return {"Check": Method(HealthCheckRequest, HealthCheckResponse, self._check)}

    def _check(self, _store: object, request: HealthCheckRequest) -> HealthCheckResponse:
        if request.service not in self._names:
            raise Refused(grpc.StatusCode.NOT_FOUND, "unknown service")
        return self._servicer.Check(request, _NO_CONTEXT)
