"""From addresses to sockets of a gRPC server, with a clear error where one cannot be had."""

import contextlib
import os
import socket
import stat
import tempfile
from collections.abc import Generator
from pathlib import Path

import grpc

from crudjt._rpc.addresses import MAX_SOCKET_PATH_BYTES
from crudjt.errors import InvalidParameter
from crudjt.server.listeners.addresses import (
    Address,
    TcpAddress,
    UnixAddress,
)

_OWNER_ONLY = 0o600


def _unavailable(address: Address, reason: str) -> InvalidParameter:
    return InvalidParameter("listen", f"cannot listen on {address}: {reason.lower()}")


def bind_tcp(server: grpc.Server, address: TcpAddress, credentials: grpc.ServerCredentials | None) -> TcpAddress:
    """Let a server listen on a TCP address, and return it with its actual port.

    Raises:
        InvalidParameter: somebody else listens there, or it is no address of this host.

    """
    try:
        if credentials is None:
            port = server.add_insecure_port(str(address))
        else:
            port = server.add_secure_port(str(address), credentials)
    except RuntimeError:  # gRPC does not repeat what the operating system said
        with reserved(address):
            raise _unavailable(address, "gRPC refuses the address") from None
    return TcpAddress(address.host, port)


@contextlib.contextmanager
def reserved(address: TcpAddress) -> Generator[TcpAddress]:
    """Hold a TCP address that nobody else has, so that only sockets with SO_REUSEPORT of this user may share it.

    Raises:
        InvalidParameter: somebody else has it.

    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger are no reason to refuse
        try:
            held.bind((address.host, address.port))
        except OSError as error:
            raise _unavailable(address, error.strerror or str(error)) from None
        # Only now: before, it would have let the address be shared with whoever has it.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield TcpAddress(address.host, held.getsockname()[1])


class UnixSocket:
    """A Unix socket that its owner alone can connect to, from the moment it is there."""

    def __init__(self, server: grpc.Server, address: UnixAddress) -> None:
        """Let a server listen on it. A socket that nobody listens on any more is replaced.

        Raises:
            InvalidParameter: somebody listens on it, there is something else, or the directory refuses.

        """
        path = address.path
        _require_absent_or_stale(address)
        try:
            # Made where nobody else can reach it, and moved: so it never stands there with another mode.
            with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as private:
                made = Path(private) / "s"
                if len(os.fsencode(made)) > MAX_SOCKET_PATH_BYTES:
                    raise _unavailable(address, "the path of its directory is too long")
                server.add_insecure_port(f"unix:{made}")
                made.chmod(_OWNER_ONLY)
                self._identity = _identity(made)
                made.replace(path)
        except RuntimeError:
            raise _unavailable(address, "gRPC refuses the address") from None
        except OSError as error:
            raise _unavailable(address, error.strerror or str(error)) from None
        self._path = path

    def remove(self) -> None:
        """Remove it, unless another has taken its place."""
        with contextlib.suppress(FileNotFoundError):
            if _identity(self._path) == self._identity:
                self._path.unlink()


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino


def _require_absent_or_stale(address: UnixAddress) -> None:
    try:
        mode = address.path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unavailable(address, error.strerror or str(error)) from None
    if not stat.S_ISSOCK(mode):
        raise _unavailable(address, "there is a file of another kind")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(address.path))
        except ConnectionRefusedError:
            return
        except OSError as error:
            raise _unavailable(address, error.strerror or str(error)) from None
    raise _unavailable(address, "another process listens on it")
