"""The client of a request, for `record_client`: as the framework gives it, shortened to what a session holds."""

from collections.abc import Mapping
from typing import Any

from crudjt import Client
from crudjt._core.details import MAX_ADDRESS, MAX_AGENT


def client(address: str | None, agent: str | None) -> Client | None:
    """Return the client of an address and a user agent; ``None`` if neither is known."""
    if not address and not agent:
        return None
    return Client(_storable(address, MAX_ADDRESS), _storable(agent, MAX_AGENT))


def client_of_scope(scope: Mapping[str, Any]) -> Client | None:
    """Return the client of an ASGI request, of ``scope["client"]``: servers put there what trusted proxies say."""
    peer = scope.get("client")
    agent = next((value.decode("latin-1") for name, value in scope.get("headers", ()) if name == b"user-agent"), None)
    return client(peer[0] if peer else None, agent)


def _storable(text: str | None, limit: int) -> str | None:
    return text[:limit].encode("utf-8", "replace").decode() if text else None
