"""Parse the location and options of a store on Valkey or Redis, before the driver is imported."""

import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import urlsplit

from crudjt._backends.valkey.requests import Node
from crudjt._filesystem.contents import read_parameter_file, read_secret_file
from crudjt._rpc.addresses import is_ip_address, is_this_host
from crudjt.errors import InvalidParameter, InvalidType

SCHEMES = {
    f"{engine}{tls}{cluster}": (bool(tls), bool(cluster))
    for engine in ("valkey", "redis")
    for tls in ("", "s")
    for cluster in ("", "+cluster")
}
"""For each scheme whether it is encrypted with TLS, and whether it is a cluster."""

USER_VARIABLE = "CRUDJT_CLUSTER_USER"
PASSWORD_VARIABLE = "CRUDJT_CLUSTER_PASSWORD"  # noqa: S105 - the name of a variable
PASSWORD_FILE_VARIABLE = "CRUDJT_CLUSTER_PASSWORD_FILE"  # noqa: S105 - the name of a variable

DEFAULT_PORT = 6379
DEFAULT_NAMESPACE = "crudjt"
MAX_TIMEOUT = 3600.0

Assumption = Literal["noeviction", "aof", "appendfsync"]
"""A value of `assume`: a setting of the servers that is taken for granted, where it cannot be seen."""

_ALLOWED = "valkey+cluster://host:port,host:port/namespace or valkey://host:port/namespace; valkeys… with TLS"
_HOST = re.compile(r"[A-Za-z0-9._-]+")
_NAMESPACE = re.compile(r"[A-Za-z0-9._:-]{1,64}")  # no brace: it would change the slots of all keys

File = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Servers:
    """The servers of a store and how to connect to them.

    Attributes:
        location: as given to `crudjt.open`; it holds no password.
        nodes: the nodes of the location.
        clustered: whether they are nodes of a cluster.
        tls: whether connections are encrypted.
        allow_plaintext: whether connections without TLS may leave this host; a cluster names nodes that the location
            does not.
        namespace: what all keys begin with.
        timeout: limit of a call, in seconds.
        user: the user of the servers; ``None`` for the default user.
        password: its password; ``None`` for none.
        ca: file with CA certificates in PEM; ``None`` for those of the system.
        certificate: file with the client certificate in PEM, with its private key in `key`.
        assume: what is not checked at the servers.

    """

    location: str
    nodes: tuple[Node, ...]
    clustered: bool
    tls: bool
    allow_plaintext: bool
    namespace: str
    timeout: float
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    ca: str | None = field(repr=False)
    certificate: str | None = field(repr=False)
    key: str | None = field(repr=False)
    assume: frozenset[Assumption]


def servers(
    location: str,
    *,
    tls_ca: File | None = None,
    tls_cert: File | None = None,
    tls_key: File | None = None,
    timeout: float = 1.0,
    allow_plaintext: bool = False,
    assume: Collection[Assumption] = (),
) -> Servers:
    """Return the checked location and options of a store on Valkey or Redis.

    Raises:
        InvalidParameter: a parameter, or its environment variable, is invalid. The message never has a password.

    """
    tls, clustered, nodes, namespace = _parsed(location)
    for name, file in (("tls_ca", tls_ca), ("tls_cert", tls_cert), ("tls_key", tls_key)):
        if file is not None and not tls:
            raise InvalidParameter(name, f"{name} is only for servers with TLS: valkeys:// or valkeys+cluster://")
    if (tls_cert is None) != (tls_key is None):
        raise InvalidParameter("tls_cert", "tls_cert and tls_key must be given together")
    if not isinstance(allow_plaintext, bool):
        raise InvalidType("allow_plaintext", f"allow_plaintext must be a bool, not {type(allow_plaintext).__name__}")
    if not (tls or allow_plaintext or all(is_this_host(node.host) for node in nodes)):
        raise InvalidParameter(
            "location",
            "location is on another host, which passwords and data would reach in plaintext; use TLS: valkeys:// or "
            "valkeys+cluster://; or pass allow_plaintext=True (--allow-plaintext) if the network is encrypted "
            "otherwise",
        )
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise InvalidType("timeout", f"timeout must be a number of seconds, not {type(timeout).__name__}")
    if not 0 < timeout <= MAX_TIMEOUT:
        raise InvalidParameter(
            "timeout", f"timeout must be above 0 and at most {MAX_TIMEOUT:.0f} seconds, not {timeout!r}"
        )
    user, password = _credentials()
    return Servers(
        location=location,
        nodes=nodes,
        clustered=clustered,
        tls=tls,
        allow_plaintext=allow_plaintext,
        namespace=namespace,
        timeout=float(timeout),
        user=user,
        password=password,
        ca=_readable("tls_ca", tls_ca),
        certificate=_readable("tls_cert", tls_cert),
        key=_readable("tls_key", tls_key, read_secret_file),
        assume=_assumptions(assume),
    )


def _parsed(location: str) -> tuple[bool, bool, tuple[Node, ...], str]:
    """Return whether there is TLS, whether it is a cluster, the nodes, and the namespace."""
    scheme, _, rest = location.partition("://")
    netloc, _, namespace = rest.partition("/")
    scheme = scheme.lower()
    if "@" in netloc:
        raise InvalidParameter(
            "location",
            f"location must not hold a user or password, which logs would show: set {USER_VARIABLE}, and "
            f"{PASSWORD_VARIABLE} or {PASSWORD_FILE_VARIABLE}",
        )
    try:
        nodes = tuple(map(_node, netloc.split(",")))
        tls, clustered = SCHEMES[scheme]
    except (ValueError, KeyError):
        raise InvalidParameter("location", f"location names no server; it must be {_ALLOWED}") from None
    if len(nodes) > 1 and not clustered:
        raise InvalidParameter("location", f"location names several servers; a cluster begins with {scheme}+cluster://")
    namespace = namespace or DEFAULT_NAMESPACE
    if not _NAMESPACE.fullmatch(namespace):
        raise InvalidParameter(
            "location", "the namespace in location must be of 1 to 64 letters, digits, dots, colons and -_"
        )
    return tls, clustered, nodes, namespace


def _node(text: str) -> Node:
    """Return the node of "host:port" or "[IPv6 address]:port". Raises ValueError if it is neither."""
    parts = urlsplit(f"//{text}")
    host, port = parts.hostname, parts.port
    if not host or parts.netloc != text or port == 0 or not (is_ip_address(host) or _HOST.fullmatch(host)):
        raise ValueError
    return Node(host, port or DEFAULT_PORT)


def _credentials() -> tuple[str | None, str | None]:
    user = os.environ.get(USER_VARIABLE) or None
    password = os.environ.get(PASSWORD_VARIABLE) or None
    if password is None and (name := os.environ.get(PASSWORD_FILE_VARIABLE)):
        password = read_secret_file(PASSWORD_FILE_VARIABLE, name).decode(errors="replace").strip() or None
    if user is not None and password is None:
        raise InvalidParameter(
            USER_VARIABLE,
            f"{USER_VARIABLE} is set without a password; set {PASSWORD_VARIABLE} or {PASSWORD_FILE_VARIABLE}",
        )
    return user, password


def _readable(
    parameter: str, file: File | None, read: Callable[[str, File], bytes] = read_parameter_file
) -> str | None:
    if file is None:
        return None
    read(parameter, file)
    return os.fspath(file)


def _assumptions(assume: Collection[Assumption]) -> frozenset[Assumption]:
    known = get_args(Assumption)
    if isinstance(assume, str) or not isinstance(assume, Collection):
        raise InvalidType("assume", f"assume must be a collection of {', '.join(map(repr, known))}")
    for each in assume:
        if each not in known:
            raise InvalidParameter("assume", f"assume takes {', '.join(map(repr, known))}, not {each!r}")
    return frozenset(assume)
