"""`Server`: serve a store over gRPC, in `crudjt.v1` and in the protocol of the original."""

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH

from crudjt._rpc.access_tokens import checked_access_tokens
from crudjt._rpc.chunking import MAX_MESSAGE_BYTES
from crudjt._rpc.listening import Address, TcpAddress, checked_addresses
from crudjt.base import Store
from crudjt.errors import StoreError
from crudjt.server.auth import TLS, BearerCheck
from crudjt.server.executor import AdaptiveThreadPool
from crudjt.server.handlers import Dispatcher, Observer
from crudjt.server.health import Health
from crudjt.server.reflection import reflection_services
from crudjt.server.services import original as token_service
from crudjt.server.services import store as store_service
from crudjt.server.services.batch import batch_of
from crudjt.server.services.method import Method
from crudjt.server.sockets import UnixSocket, bind_tcp
from crudjt.server.transport import transport_options

SERVICES = {each.NAME: each.METHODS for each in (store_service, token_service)}

THREADS = 64
MAX_CONCURRENT_RPCS = 1000
MAX_HELD_BYTES = 256 * 1024**2
CLIENT_TIMEOUT_SECONDS = 30.0
GRACE_SECONDS = 10.0

_PROBE_SECONDS = 1.0
_NO_TOKEN = "A" * 22  # well-formed, but of no session

_logger = logging.getLogger("crudjt.server")


class Server:
    """Serves an open store. The caller closes the store, after `stop`.

    Args:
        store: the store.
        listen: addresses, as in `crudjt._rpc.listening`.
        tls: encrypts all TCP addresses; required for addresses that other hosts can reach. Unix sockets never use TLS.
        access_tokens: every call but ``grpc.health.v1.Health/Check`` must send one of these.
        services: the services to offer, by name.
        threads: limit of calls that run at once, including blocked ones; see `crudjt.server.executor`.
        max_concurrent_rpcs: limit of calls that run or wait; more are refused with ``RESOURCE_EXHAUSTED``.
        max_message_bytes: limit of a request; a response may be twice as large.
        max_held_bytes: limit of the bytes of requests that all calls hold together, each until it ends; half of it for
            calls that stream their requests. More are refused with ``RESOURCE_EXHAUSTED``.
        client_timeout: seconds that a client may take to send a request or to receive a response, before its call is
            cancelled.
        share_ports: allow other processes of this user to listen on the same ports (``SO_REUSEPORT``).
        observer: receives every call and operation, for metrics.

    Raises:
        InvalidParameter: an address is malformed, or requires TLS and an access token.

    """

    def __init__(
        self,
        store: Store,
        listen: Sequence[str],
        *,
        services: Mapping[str, Mapping[str, Method]] = SERVICES,
        tls: TLS | None = None,
        access_tokens: Sequence[str] = (),
        threads: int = THREADS,
        max_concurrent_rpcs: int = MAX_CONCURRENT_RPCS,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_held_bytes: int = MAX_HELD_BYTES,
        client_timeout: float = CLIENT_TIMEOUT_SECONDS,
        share_ports: bool = False,
        observer: Observer | None = None,
    ) -> None:
        """Check everything; nothing is bound before `start`."""
        self._store = store
        tokens = checked_access_tokens(access_tokens)
        self._wanted = checked_addresses(listen, tls=tls is not None, access_tokens=bool(tokens))
        self._credentials = None if tls is None else tls.credentials()
        self._dispatcher = Dispatcher(store, observer, client_timeout, max_held_bytes)
        self._health = Health(services)
        self._pool = AdaptiveThreadPool(threads, "crudjt-rpc")
        executor: Any = self._pool  # gRPC takes any executor, and its stubs a ThreadPoolExecutor
        self._grpc = grpc.server(
            executor,
            interceptors=[BearerCheck(tokens)] if tokens else [],
            options=transport_options(
                listeners=len(self._wanted), share_ports=share_ports, max_message_bytes=max_message_bytes
            ),
            maximum_concurrent_rpcs=max_concurrent_rpcs,
        )
        served = {name: dict(methods) for name, methods in services.items()}
        if single := services.get(store_service.NAME):
            served[store_service.NAME] |= batch_of(store_service.NAME, single, self._dispatcher.status)
        served[HEALTH] = self._health.methods()
        served |= reflection_services(served)
        for name, methods in served.items():
            self._grpc.add_registered_method_handlers(name, self._dispatcher.handlers(name, methods))
        self._unix_sockets: list[UnixSocket] = []
        self._addresses: list[Address] = []
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="crudjt-server", daemon=True)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that it listens on, with actual ports; empty before `start`."""
        return tuple(map(str, self._addresses))

    def start(self) -> None:
        """Listen on every address, and serve in background threads.

        Raises:
            InvalidParameter: it cannot listen on one of them; then it listens on none.

        """
        try:
            for address in self._wanted:
                self._bind(address)
        except BaseException:
            self.stop(0)
            raise
        self._grpc.start()
        self._health.say(serving=True)
        self._watching.start()
        _logger.info("serving on %s", ", ".join(self.addresses))

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Refuse new calls; return when running calls have ended, at most `grace` seconds later. Idempotent."""
        if self._stopping.is_set():
            self._stopped.wait()
            return
        self._stopping.set()
        self._health.say(serving=False)
        self._dispatcher.end_endless()
        try:
            self._grpc.stop(grace).wait()
        except RuntimeError:  # it starts a thread, which Python 3.12 before 3.12.3 refuses at the end of a process
            self._grpc.stop(None).wait()
        self._pool.shutdown(cancel_futures=True)
        for each in self._unix_sockets:
            each.remove()
        self._stopped.set()

    def _bind(self, address: Address) -> None:
        if isinstance(address, TcpAddress):
            self._addresses.append(bind_tcp(self._grpc, address, self._credentials))
        else:
            self._unix_sockets.append(UnixSocket(self._grpc, address))
            self._addresses.append(address)

    def _watch(self) -> None:
        """Cancel calls of slow clients, and update the health service."""
        while not self._stopping.wait(_PROBE_SECONDS):
            self._dispatcher.give_up()
            failure = self._failure()
            if not self._stopping.is_set() and self._health.say(serving=failure is None):
                if failure is None:
                    _logger.info("the store serves again")
                else:
                    _logger.error("the store fails, so the server is not healthy: %s", failure)

    def _failure(self) -> StoreError | None:
        try:
            probe(self._store)
        except StoreError as error:
            return error
        return None


def probe(store: Store) -> None:
    """Look up a session that does not exist; raises `StoreError` if the store fails."""
    store.peek(_NO_TOKEN)
