"""Parse addresses to listen on, and check which of them require encryption.

    127.0.0.1:50051   [::1]:50051   localhost:0   0.0.0.0:50051   sessions.example:50051   unix:/run/crudjt.sock

Port 0 picks a free port. Loopback addresses and Unix sockets may be plaintext; every other address requires TLS and an
access token.
"""

import ipaddress
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from crudjt._rpc.addresses import MAX_SOCKET_PATH_BYTES
from crudjt.errors import InvalidParameter, InvalidType

_UNIX = "unix:"
_MAX_PORT = 65_535
_MAX_PORT_DIGITS = 9  # with leading zeros; int() refuses thousands of digits
_REQUIRED = {
    "tls": "TLS (tls; --tls-cert and --tls-key)",
    "access_tokens": "access tokens (access_tokens; --access-token-file)",
}
_ALLOWED = "HOST:PORT, [IPV6]:PORT or unix:/PATH"


class TcpAddress(NamedTuple):
    """An IP address, never a host name, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as gRPC and `parse_address` take it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def stays_on_host(self) -> bool:
        """Whether nothing that is sent to it leaves the host."""
        return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback


class UnixAddress(NamedTuple):
    """The absolute path of a Unix socket."""

    path: Path

    def __str__(self) -> str:
        """Return it as gRPC and `parse_address` take it."""
        return f"{_UNIX}{self.path}"

    @property
    def stays_on_host(self) -> bool:
        """Whether nothing that is sent to it leaves the host."""
        return True


Address = TcpAddress | UnixAddress


def parse_address(text: str, parameter: str = "listen") -> list[Address]:
    """Return the addresses of a text: one, or all of a host name.

    Raises:
        InvalidParameter: malformed address or unknown host name. `parameter` is the name used in the error.

    """
    if not isinstance(text, str):
        raise InvalidType(parameter, f"{parameter} must be a str ({_ALLOWED}), not {type(text).__name__}")
    if text[: len(_UNIX)].lower() == _UNIX:
        return [_unix(text, parameter)]
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or (":" in host) != bracketed or not (port.isascii() and port.isdigit()):
        raise InvalidParameter(parameter, f"{parameter} must be {_ALLOWED}, not {text!r}")
    if len(port) > _MAX_PORT_DIGITS or int(port) > _MAX_PORT:
        raise InvalidParameter(parameter, f"{parameter}: port {port[:20]} is out of range (0 to {_MAX_PORT})")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except (OSError, UnicodeError):
        raise InvalidParameter(parameter, f"{parameter}: unknown host in {text!r}") from None
    return [TcpAddress(host, int(port)) for host in dict.fromkeys(str(each[4][0]) for each in found)]


def _unix(text: str, parameter: str) -> UnixAddress:
    name = text[len(_UNIX) :]
    if name.startswith("//"):  # unix:///path, as in an URL
        name = name.removeprefix("//")
    if not name.startswith("/") or "\0" in name:
        raise InvalidParameter(
            parameter, f"{parameter}: a socket must have an absolute path (unix:/PATH), not {text!r}"
        )
    path = Path(name)
    size = len(os.fsencode(path))
    if size > MAX_SOCKET_PATH_BYTES:
        raise InvalidParameter(
            parameter,
            f"{parameter}: the path of a Unix socket may take at most {MAX_SOCKET_PATH_BYTES} bytes, and this one "
            f"takes {size}; choose a shorter path",
        )
    return UnixAddress(path)


def checked_addresses(listen: Sequence[str], *, tls: bool, access_tokens: bool) -> list[Address]:
    """Return the addresses to listen on, if TLS and access tokens suffice for them.

    Raises:
        InvalidParameter: no address, or one that other hosts can reach without TLS and an access token.

    """
    if isinstance(listen, str) or not listen:
        raise InvalidParameter("listen", f"listen must be a list of at least one address ({_ALLOWED})")
    addresses = [address for text in listen for address in parse_address(text)]
    missing = [name for name, given in (("tls", tls), ("access_tokens", access_tokens)) if not given]
    for address in addresses:
        if missing and not address.stays_on_host:
            raise InvalidParameter(
                " and ".join(missing),
                f"{address} can be reached from other hosts, which requires "
                f"{' and '.join(_REQUIRED[name] for name in missing)}; without, listen on a loopback address "
                "(127.0.0.1) or a Unix socket (unix:/PATH)",
            )
    return addresses
