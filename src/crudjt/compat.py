"""`CRUDJT`: the interface of the original engine, so that code written for it runs unchanged.

One process starts the master, others connect to it, and all make the same four calls; ``docs/original.md`` lists the
results. gRPC is imported by the first of them that needs it, not with this module.
"""

import base64
import binascii
import os
import threading
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from crudjt._core.extras import require_extra
from crudjt._core.keyring import SECRET_KEY_SIZES
from crudjt._original import semantics
from crudjt._rpc.addresses import DEFAULT_HOST, DEFAULT_PORT
from crudjt.base import Store
from crudjt.errors import InvalidParameter
from crudjt.opening import open as open_store

if TYPE_CHECKING:  # it imports grpc
    from crudjt.server.server import Server

_PROTECTED = (
    "listen on a loopback address; to serve other hosts, run: crudjt serve --listen HOST:PORT --tls-cert FILE "
    "--tls-key FILE --access-token-file FILE"
)


def _place(store_jt_path: str | os.PathLike[str] | None) -> str | Path | None:
    """Return the location for `crudjt.open`: a URL as it is, any other text as a directory."""
    if not store_jt_path:
        return None
    if isinstance(store_jt_path, str) and "://" in store_jt_path:
        return store_jt_path
    return Path(store_jt_path)


class _Calls(Protocol):
    """The calls that a master and a client share."""

    @abstractmethod
    def create(self, data: Any, ttl: Any, silence_read: Any) -> str:
        """As `CRUDJT.create`."""

    def read(self, token: Any) -> semantics.OriginalAnswer | None:
        """As `CRUDJT.read`."""

    @abstractmethod
    def update(self, token: Any, data: Any, ttl: Any, silence_read: Any) -> bool:
        """As `CRUDJT.update`."""

    @abstractmethod
    def delete(self, token: Any) -> bool:
        """As `CRUDJT.delete`."""

    def close(self) -> None:
        """Release all resources."""


class _Master:
    """The store, open in this process, and a server that shares it with other processes.

    A forked child can use the store; the server stays in the parent.
    """

    def __init__(self, store: Store, server: "Server") -> None:
        self._store = store
        self._server = server
        self._serving_pid = os.getpid()

    def create(self, data: Any, ttl: Any, silence_read: Any) -> str:
        return semantics.create(self._store, data, ttl, silence_read)

    def read(self, token: Any) -> semantics.OriginalAnswer | None:
        return semantics.read(self._store, token)

    def update(self, token: Any, data: Any, ttl: Any, silence_read: Any) -> bool:
        return semantics.update(self._store, token, data, ttl, silence_read)

    def delete(self, token: Any) -> bool:
        return semantics.delete(self._store, token)

    def close(self) -> None:
        self.stop_serving()
        self._store.close()

    def stop_serving(self) -> None:
        if os.getpid() == self._serving_pid:
            self._server.stop()

    def stop_serving_at_exit(self) -> None:
        """Stop the server when the main thread ends; the store stays open for the others, and is closed at exit.

        Must run before the pool's own exit hook, or shutdown deadlocks. Those hooks run before `atexit`, in the reverse
        order of registration; so this is registered after the pool was made.
        """
        hooks: Any = threading  # its hook is private, and no other is early enough
        hooks._register_atexit(self.stop_serving)  # noqa: SLF001 - as above


class _Process:
    """The role of this process: master, client, or none yet."""

    def __init__(self) -> None:
        self.changing = threading.Lock()
        self.calls: _Calls | None = None

    @property
    def started(self) -> _Calls:
        if self.calls is None:
            raise ValueError("CRUDJT has not started")
        return self.calls

    @property
    def is_master(self) -> bool:
        return isinstance(self.calls, _Master)

    def become(self, calls: _Calls | None) -> None:
        before, self.calls = self.calls, calls
        if before is not None:
            before.close()


_process = _Process()


class CRUDJT:
    """The original's interface: four calls, on the master or client that `CRUDJT.Config` has started.

    Every call raises ``ValueError`` for a value that is not allowed, and before `Config.start_master` or
    `Config.connect_to_master`; it raises `crudjt.StoreError` where the store or the connection fails.
    """

    @staticmethod
    def create(data: dict[Any, Any], ttl: int | None = None, silence_read: int | None = None) -> str:
        """Start a session and return its token.

        Args:
            data: a dict of at most 256 bytes in MessagePack.
            ttl: the lifetime in seconds; ``None`` for no end.
            silence_read: number of reads the token is valid for; ``None`` for any number.

        """
        return _process.started.create(data, ttl, silence_read)

    @staticmethod
    def read(token: str) -> dict[str, Any] | None:
        """Return ``{"metadata": …, "data": …}``, or ``None`` if the token is unknown, expired or used up.

        ``metadata`` holds ``ttl``, the seconds left, and ``silence_read``, the reads left after this one, where the
        session has such a limit; without one there is no ``metadata``.
        """
        return _process.started.read(token)

    @staticmethod
    def update(token: str, data: dict[Any, Any], ttl: int | None = None, silence_read: int | None = None) -> bool:
        """Replace data and limits, ``None`` removing a limit; return whether there was such a session."""
        return _process.started.update(token, data, ttl, silence_read)

    @staticmethod
    def delete(token: str) -> bool:
        """End a session; return whether there was one."""
        return _process.started.delete(token)

    class Config:
        """Makes this process the master of a store, or a client of one."""

        @staticmethod
        def start_master(
            *,
            secret_key: str | None = None,
            store_jt_path: str | os.PathLike[str] | None = None,
            grpc_host: str = DEFAULT_HOST,
            grpc_port: int = DEFAULT_PORT,
        ) -> None:
            """Open the store in this process, and serve it to others from a background thread.

            The server stops, and the store is synced and closed, when the process ends or `shutdown_server` is called.
            Other processes may open the directory at the same time, with `crudjt.open`.

            Args:
                secret_key: Base64 of 32, 48 or 64 bytes.
                store_jt_path: a directory, or the URL of servers (``valkey+cluster://…``); ``None`` looks for one as
                    `crudjt.open` does.
                grpc_host: a loopback address.
                grpc_port: a free port.

            Raises:
                ValueError: a parameter is not allowed, or this process is a master already.
                MissingDependency: gRPC is not installed.
                StoreError: the store cannot be opened, or the port is in use.

            """
            check_secret_key(secret_key)
            with _process.changing:
                if _process.is_master:
                    raise ValueError("CRUDJT already started")
                require_extra("grpc")  # before the store is made
                store = open_store(_place(store_jt_path), secret_key=secret_key)
                try:
                    server = _serve(store, grpc_host, grpc_port)
                except BaseException:
                    store.close()
                    raise
                master = _Master(store, server)
                master.stop_serving_at_exit()
                _process.become(master)

        @staticmethod
        def connect_to_master(*, grpc_host: str = DEFAULT_HOST, grpc_port: int = DEFAULT_PORT) -> None:
            """Send the calls of this process to a master, of this package or the original; the first call connects.

            Raises:
                ValueError: this process is a master.
                MissingDependency: gRPC is not installed.

            """
            require_extra("grpc")
            from crudjt._original.client import TokenClient  # noqa: PLC0415 - imports grpc

            with _process.changing:
                if _process.is_master:
                    raise ValueError("CRUDJT already started")
                _process.become(TokenClient(grpc_host, grpc_port))

        @staticmethod
        def shutdown_server() -> None:
            """Stop serving and close the store, or end the connection; running calls finish, and nothing is lost.

            Does nothing in a process that has not started.
            """
            with _process.changing:
                _process.become(None)

        @staticmethod
        def was_started() -> bool:
            """Tell whether this process is a master, as the original does: a client has started nothing."""
            return _process.is_master

        @staticmethod
        def master() -> bool:
            """Tell whether this process is a master."""
            return _process.is_master


def check_secret_key(secret_key: Any) -> None:
    """Refuse a key in the original's words, which do not hold it."""
    if secret_key is None:
        raise ValueError("Secret key is blank")
    try:
        secret = base64.b64decode(secret_key, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise ValueError("'secret_key' must be a valid Base64 string") from None
    if len(secret) not in SECRET_KEY_SIZES:
        raise ValueError(f"'secret_key' must be exactly 32, 48, or 64 bytes. Got {len(secret)} bytes")


def _serve(store: Store, host: str, port: int) -> "Server":
    """Return a running server of the store."""
    from crudjt._rpc.listening import parse_address  # noqa: PLC0415 - as the next
    from crudjt.server.server import Server  # noqa: PLC0415 - imports grpc

    address = f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    if not all(each.stays_on_host for each in parse_address(address, "grpc_host and grpc_port")):
        raise InvalidParameter(
            "grpc_host", f"grpc_host {host!r} can be reached from other hosts, without encryption; {_PROTECTED}"
        )
    server = Server(store, [address])
    try:
        server.start()
    except InvalidParameter as error:
        raise InvalidParameter("grpc_host and grpc_port", f"grpc_host and grpc_port: {error}") from None
    return server
