"""Parse the location and options of a remote store, before gRPC is imported."""

import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from crudjt._filesystem.contents import read_parameter_file, read_secret_file
from crudjt._rpc.addresses import ACCESS_TOKEN, DEFAULT_PORT, MAX_SOCKET_PATH_BYTES, is_ip_address, is_this_host
from crudjt.errors import InvalidParameter, InvalidType

ACCESS_TOKEN_VARIABLE = "CRUDJT_ACCESS_TOKEN"  # noqa: S105 - the name of a variable
ACCESS_TOKEN_FILE_VARIABLE = "CRUDJT_ACCESS_TOKEN_FILE"  # noqa: S105 - the name of a variable

DEFAULT_TIMEOUT = 5.0
MAX_TIMEOUT = 3600.0

_ALLOWED = "grpc://host:port, grpcs://host:port or unix:/path"
_NAME = re.compile(r"[A-Za-z0-9._-]+")

File = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A remote store.

    Attributes:
        location: as given to `crudjt.open`.
        target: the location in gRPC's syntax.
        tls: whether the connection is encrypted.
        timeout: limit of a call, in seconds.
        access_token: sent with every call, if given.
        ca: CA certificates in PEM; ``None`` for gRPC's default root certificates.
        certificate: client certificate in PEM, with its key in `key`.

    """

    location: str
    target: str
    tls: bool
    timeout: float
    access_token: str | None = field(repr=False)
    ca: bytes | None = field(repr=False)
    certificate: bytes | None = field(repr=False)
    key: bytes | None = field(repr=False)


def remote(
    location: str,
    *,
    access_token: str | None = None,
    tls_ca: File | None = None,
    tls_cert: File | None = None,
    tls_key: File | None = None,
    timeout: float | None = None,
    allow_plaintext: bool = False,
) -> Remote:
    """Return the checked location and options of a remote store.

    Raises:
        InvalidParameter: a parameter, or its environment variable, is invalid. The message never has an access token.

    """
    scheme, target, loopback = _parsed(location)
    tls = scheme == "grpcs"
    for name, file in (("tls_ca", tls_ca), ("tls_cert", tls_cert), ("tls_key", tls_key)):
        if file is not None and not tls:
            raise InvalidParameter(name, f"{name} is only for a server with TLS: grpcs://host:port")
    if (tls_cert is None) != (tls_key is None):
        raise InvalidParameter("tls_cert", "tls_cert and tls_key must be given together")
    access_token = _access_token(access_token)
    if access_token is not None and not tls and not loopback:
        raise InvalidParameter(
            "location", "an access token must not cross the network in plaintext; use TLS: grpcs://host:port"
        )
    if not isinstance(allow_plaintext, bool):
        raise InvalidType("allow_plaintext", f"allow_plaintext must be a bool, not {type(allow_plaintext).__name__}")
    if not (tls or loopback or allow_plaintext):
        raise InvalidParameter(
            "location",
            "location is on another host, which session tokens and data would reach in plaintext; use TLS: "
            "grpcs://host:port, or pass allow_plaintext=True (--allow-plaintext) if the network is encrypted otherwise",
        )
    if timeout is None:
        timeout = DEFAULT_TIMEOUT
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise InvalidType("timeout", f"timeout must be a number of seconds, not {type(timeout).__name__}")
    if not 0 < timeout <= MAX_TIMEOUT:
        raise InvalidParameter(
            "timeout", f"timeout must be above 0 and at most {MAX_TIMEOUT:.0f} seconds, not {timeout!r}"
        )
    return Remote(
        location=location,
        target=target,
        tls=tls,
        timeout=timeout,
        access_token=access_token,
        ca=_content("tls_ca", tls_ca),
        certificate=_content("tls_cert", tls_cert),
        key=None if tls_key is None else read_secret_file("tls_key", tls_key),
    )


def _parsed(location: str) -> tuple[str, str, bool]:
    """Return scheme, target, and whether the target is on this host."""
    scheme, _, rest = location.partition(":")
    if scheme.lower() == "unix":
        path = rest.removeprefix("//")
        if not path.startswith("/") or "\0" in path or len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            raise InvalidParameter(
                "location",
                f"location must be unix: and an absolute path of at most {MAX_SOCKET_PATH_BYTES} bytes",
            )
        return "unix", f"unix:{path}", True
    try:
        parts = urlsplit(location)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidParameter("location", f"location names no server; it must be {_ALLOWED}") from None
    if "@" in parts.netloc or parts.path not in ("", "/") or parts.query or parts.fragment:
        host = None
    if not host or port == 0 or not (is_ip_address(host) or _NAME.fullmatch(host)):
        raise InvalidParameter("location", f"location names no server; it must be {_ALLOWED}")
    bracketed = f"[{host}]" if ":" in host else host
    return parts.scheme, f"{bracketed}:{port or DEFAULT_PORT}", is_this_host(host)


def access_token_in(file: File) -> str:
    """Return the access token that a file holds.

    Raises:
        InvalidParameter: the file cannot be read.

    """
    return read_secret_file("access_token", file).decode(errors="replace").strip()


def _access_token(given: str | None) -> str | None:
    if given is None:
        given = os.environ.get(ACCESS_TOKEN_VARIABLE, "").strip() or None
    if given is None and (name := os.environ.get(ACCESS_TOKEN_FILE_VARIABLE)):
        given = access_token_in(name)
    if given is not None and not isinstance(given, str):
        raise InvalidType("access_token", f"access_token must be a str, not {type(given).__name__}")
    if given is not None and not ACCESS_TOKEN.fullmatch(given):
        raise InvalidParameter(
            "access_token",
            "access_token must be printable ASCII without spaces, wherever it comes from: the parameter, "
            f"{ACCESS_TOKEN_VARIABLE}, or a file",
        )
    return given


def _content(parameter: str, file: File | None) -> bytes | None:
    return None if file is None else read_parameter_file(parameter, file)
