"""The binding of a session to a device, and its place in the stored data, which the application never sees.

It is kept in the data of the session, so that it is sealed with it, under a reserved key:

    offset  size  field
         0    32  secret of the session's bound cookies and challenges
        32    16  identifier of the session for the browser
        48    64  public key of the device, a point of P-256: x and y; only once it is registered
       112     8  when it was registered, seconds since 1970, big-endian
"""

import secrets
from collections.abc import Mapping
from struct import Struct
from typing import Any

import msgspec

from crudjt._core.session import Session
from crudjt.contrib._sessions.reserved import DEVICE

_OFFERED = Struct(">32s16s")
_REGISTERED = Struct(">32s16s64sQ")


class Binding(msgspec.Struct, frozen=True):
    """The data that a session keeps for its device.

    Attributes:
        secret: 32 bytes that no other session has; it authenticates bound cookies and challenges.
        identifier: what the browser calls the session; it is no token.
        public_key: the key of the device, ``None`` until one is registered.
        registered_at: when, in seconds since 1970.

    """

    secret: bytes
    identifier: bytes
    public_key: bytes | None = None
    registered_at: int = 0

    def __repr__(self) -> str:
        """Tell whether a key is registered, and nothing else."""
        return f"<Binding registered={self.registered}>"

    @property
    def registered(self) -> bool:
        """Whether the session is of use only with the device's key."""
        return self.public_key is not None

    @property
    def name(self) -> str:
        """The identifier as the browser knows it."""
        return self.identifier.hex()

    def packed(self) -> bytes:
        """Return the stored form."""
        if self.public_key is None:
            return _OFFERED.pack(self.secret, self.identifier)
        return _REGISTERED.pack(self.secret, self.identifier, self.public_key, self.registered_at)


def binding_of(data: Mapping[Any, Any]) -> Binding | None:
    """Return the binding in stored data, ``None`` where there is none."""
    value = data.get(DEVICE)
    if type(value) is not bytes:
        return None
    if len(value) == _REGISTERED.size:
        return Binding(*_REGISTERED.unpack(value))
    return Binding(*_OFFERED.unpack(value)) if len(value) == _OFFERED.size else None


def is_bound(session: Session[Any]) -> bool:
    """Return whether a session is of use only with the key of a device."""
    binding = binding_of(session.data)
    return binding is not None and binding.registered


def with_binding(data: Mapping[Any, Any], binding: Binding | None) -> dict[Any, Any]:
    """Return stored data with another binding, which comes last, or with none."""
    stored = {key: value for key, value in data.items() if key != DEVICE}
    if binding is not None:
        stored[DEVICE] = binding.packed()
    return stored


def offered(data: dict[Any, Any], offers: bool) -> dict[Any, Any]:
    """Return stored data for a session that begins, with a binding that a device has yet to register if it is asked."""
    return with_binding(data, Binding(secrets.token_bytes(32), secrets.token_bytes(16))) if offers else data


def rebound(data: dict[Any, Any], offers: bool, *, same_user: bool) -> dict[Any, Any]:
    """Return stored data for a session that gets a new token: a device that is bound stays so, for the same user."""
    binding = binding_of(data)
    if binding is None:
        return offered(data, offers)
    return data if binding.registered and same_user else offered(with_binding(data, None), offers)
