"""How a connection to a node fails, and why, in words. Both drivers use it."""

import os
import socket
import ssl
from typing import Any

from crudjt._backends.valkey.location import Servers
from crudjt._backends.valkey.replies import ErrorReply, Meaning, address, reason, store_error
from crudjt._backends.valkey.requests import Node
from crudjt._rpc.addresses import is_this_host
from crudjt.errors import StoreInaccessible

_ALERTS = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "CERTIFICATE_UNKNOWN", "HANDSHAKE_FAILURE")
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")


class Unreachable(Exception):
    """There is no connection to a node now, so nothing was sent."""


class LinkBroken(Exception):
    """A connection failed after something was sent, so what was sent may have been carried out."""


class LinkTimedOut(LinkBroken):
    """No reply came in time."""


def refuse_plaintext(servers: Servers, node: Node) -> None:
    """Check that a connection to a node is encrypted, or stays on this host, or is allowed all the same.

    Raises:
        StoreInaccessible: it is none of these.

    """
    if not (servers.tls or servers.allow_plaintext or is_this_host(node.host)):
        raise StoreInaccessible(
            servers.location,
            f"{address(node)} is a node of the cluster on another host, which passwords and data would reach in "
            "plaintext; use TLS, or allow_plaintext=True (--allow-plaintext) if the network is encrypted otherwise",
        )


def refused_connection(error: ErrorReply, node: Node, location: str) -> Exception:
    """Return what to raise for a server that replied an error to a new connection."""
    if error.meaning in (Meaning.LATER, Meaning.STALE_MAP):
        return Unreachable(reason(error))
    return store_error(error, node, location)


def cannot_connect(error: Exception, node: Node, servers: Servers) -> Exception:
    """Return what to raise for a connection that failed before a request was sent."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLError):
        refusal = _refused_by_tls(cause)
        return (
            Unreachable(f"TLS failed ({cause.reason})")
            if refusal is None
            else StoreInaccessible(servers.location, f"{address(node)}: {refusal}")
        )
    if isinstance(cause, socket.gaierror):
        return Unreachable("cannot connect: the name of the host is not known")
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ConnectionResetError):
        return Unreachable(f"cannot connect: {os.strerror(cause.errno)}")
    hint = "is TLS on at this port?" if servers.tls else "does it require TLS?"
    return Unreachable(f"cannot connect: no answer in time, or the connection was closed at once; {hint}")


def _refused_by_tls(error: ssl.SSLError) -> str | None:
    """Return why TLS will fail again, ``None`` if it may not."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); see tls_ca"
    alert = error.reason or ""
    if any(part in alert for part in _ALERTS):
        return "it requires a client certificate, or does not trust it; see tls_cert and tls_key"
    if any(part in alert for part in _NO_TLS):
        return "it answers without TLS; use valkey:// or valkey+cluster://"
    return None


def connection_options(servers: Servers, node: Node) -> dict[str, Any]:
    """Return what both connection classes of the client library take: nothing is sent but AUTH, nothing repeated."""
    return {
        "host": node.host,
        "port": node.port,
        "username": servers.user,
        "password": servers.password,
        "protocol": 2,
        "socket_keepalive": True,
        "lib_name": None,
        "lib_version": None,
    }
