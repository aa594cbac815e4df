"""Bind a gRPC server to addresses, with a clear error if one is not available."""

import contextlib
import os
import socket
import stat
import tempfile
from collections.abc import Generator
from pathlib import Path

import grpc

from crudjt._rpc.addresses import MAX_SOCKET_PATH_BYTES
from crudjt._rpc.listening import Address, TcpAddress, UnixAddress
from crudjt.errors import InvalidParameter

_OWNER_ONLY = 0o600


def _unavailable(address: Address, reason: str) -> InvalidParameter:
    return InvalidParameter("listen", f"cannot listen on {address}: {reason.lower()}")


def bind_tcp(server: grpc.Server, address: TcpAddress, credentials: grpc.ServerCredentials | None) -> TcpAddress:
    """Bind a server to a TCP address; return the address with its actual port.

    Raises:
        InvalidParameter: another process listens there, or it is no address of this host.

    """
    try:
        if credentials is None:
            port = server.add_insecure_port(str(address))
        else:
            port = server.add_secure_port(str(address), credentials)
    except RuntimeError:  # without the error of the operating system
        with reserved(address):
            raise _unavailable(address, "gRPC refuses the address") from None
    return TcpAddress(address.host, port)


@contextlib.contextmanager
def reserved(address: TcpAddress) -> Generator[TcpAddress]:
    """Reserve a free TCP address, so that only SO_REUSEPORT sockets of this user can share it.

    Raises:
        InvalidParameter: another process has it.

    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # lingering connections are no reason to refuse
        try:
            held.bind((address.host, address.port))
        except OSError as error:
            raise _unavailable(address, error.strerror or str(error)) from None
        # Set after bind: before it, the address could be shared with the process that has it.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield TcpAddress(address.host, held.getsockname()[1])


class UnixSocket:
    """A Unix socket that only its owner can ever connect to."""

    def __init__(self, server: grpc.Server, address: UnixAddress) -> None:
        """Bind a server to it. A socket that no process listens on is replaced.

        Raises:
            InvalidParameter: a process listens on it, another kind of file is there, or the directory is not writable.

        """
        path = address.path
        _require_absent_or_stale(address)
        try:
            # Made in a private directory and moved, so that it never exists there with another mode.
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
        """Remove it, unless another socket has replaced it."""
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
