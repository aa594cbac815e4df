"""Details: what a session has beside subject, data and limits, such as its client. Most sessions have none.

They are sealed in the record, as a MessagePack map between subject and data (``docs/format.md``).
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from crudjt._core.validation import KEEP, KeepType
from crudjt.errors import InvalidParameter, InvalidType

MAX_ADDRESS = 64
MAX_AGENT = 256
"""Characters of a client's address, and of its user agent."""
MAX_LABELS = 8
MAX_LABEL_BYTES = 256

_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")  # 256 bits: the last character has two zeros


class Client(msgspec.Struct, frozen=True, gc=False):
    """The client that a session was made for. Personal data: neither is in its repr.

    Attributes:
        address: its network address, such as ``"192.0.2.1"``; at most 64 characters.
        agent: its user agent, as in the header of that name; at most 256 characters.

    """

    address: str | None = None
    agent: str | None = None

    def __repr__(self) -> str:
        """Name the type alone."""
        return "<Client>"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        """Return nothing for rich; the inherited method would show address and agent."""
        return []


class _Map(msgspec.Struct, omit_defaults=True):
    """The map in a record. Each field is missing where a session has none."""

    address: str | None = None
    agent: str | None = None
    bound_to: str | None = None
    labels: tuple[str, ...] = ()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Map).decode


class Details(msgspec.Struct, frozen=True, gc=False):
    """The details of a session as they are stored. They are decoded on use.

    Attributes:
        packed: the map.
        tags: the keyed hashes of its labels, one after the other; empty until a session has them.

    """

    packed: bytes
    tags: bytes = b""

    @property
    def client(self) -> Client | None:
        """The client."""
        stored = _decode(self.packed)
        return None if stored.address is stored.agent is None else Client(stored.address, stored.agent)

    @property
    def bound_to(self) -> str | None:
        """The thumbprint of a key."""
        return _decode(self.packed).bound_to

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels."""
        return _decode(self.packed).labels


_NONE = Details(_encode(_Map()))


class NewDetails(NamedTuple):
    """Changed details of a session: each as in `pack_details`, or `KEEP`."""

    client: Client | KeepType | None
    bound_to: str | KeepType | None
    labels: tuple[str, ...] | KeepType


NO_NEW_DETAILS = NewDetails(KEEP, KEEP, KEEP)


def pack_details(client: Client | None, bound_to: str | None, labels: Iterable[str] = ()) -> Details | None:
    """Return checked details as they are stored; ``None`` where there are none.

    Raises:
        InvalidParameter: one is out of range; `InvalidType` if it is of a wrong type.

    """
    stored = _Map()
    if client is not None:
        checked_client(client)
        stored.address, stored.agent = client.address, client.agent
    if bound_to is not None:
        stored.bound_to = checked_thumbprint(bound_to)
    stored.labels = checked_labels(labels)
    return None if stored == _Map() else Details(_encode(stored))


def changed_details(
    client: Client | KeepType | None, bound_to: str | KeepType | None, labels: Iterable[str] | KeepType
) -> NewDetails:
    """Return checked changes of a session's details."""
    if client is bound_to is labels is KEEP:
        return NO_NEW_DETAILS
    if client is not KEEP and client is not None:
        checked_client(client)
    if bound_to is not KEEP and bound_to is not None:
        checked_thumbprint(bound_to)
    return NewDetails(client, bound_to, labels if labels is KEEP else checked_labels(labels))


def with_new(details: Details | None, new: NewDetails) -> Details | None:
    """Return details with changes."""
    if new is NO_NEW_DETAILS:
        return details
    kept = details or _NONE
    return pack_details(
        kept.client if new.client is KEEP else new.client,
        kept.bound_to if new.bound_to is KEEP else new.bound_to,
        kept.labels if new.labels is KEEP else new.labels,
    )


def checked_client(client: object) -> Client:
    """Return a valid client. Neither address nor agent is in an error."""
    if not isinstance(client, Client):
        raise InvalidType("client", f"client must be a crudjt.Client, not {type(client).__name__}")
    for name, text, limit in (("address", client.address, MAX_ADDRESS), ("agent", client.agent, MAX_AGENT)):
        given: object = text  # the type at run time
        if given is None:
            continue
        if not isinstance(given, str):
            raise InvalidType("client", f"client must have a str or None as {name}, not {type(given).__name__}")
        if len(given) > limit:
            raise InvalidParameter(
                "client", f"client must have at most {limit} characters as {name}, and has {len(given)}; shorten it"
            )
        try:
            given.encode()
        except UnicodeEncodeError:
            raise InvalidParameter(
                "client", f"client must have valid Unicode as {name}, without a lone surrogate"
            ) from None
    return client


def checked_thumbprint(bound_to: object) -> str:
    """Return a valid thumbprint of a key."""
    if not isinstance(bound_to, str):
        raise InvalidType("bound_to", f"bound_to must be a str (a JWK thumbprint), not {type(bound_to).__name__}")
    if _THUMBPRINT.fullmatch(bound_to) is None:
        raise InvalidParameter(
            "bound_to",
            "bound_to must be a JWK thumbprint of SHA-256 (RFC 7638): 43 characters of URL-safe Base64",
        )
    return bound_to


def checked_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Return valid labels, each once. None of them is in an error."""
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise InvalidType("labels", f"labels must be an iterable of str, not {type(labels).__name__}")
    given: Iterable[object] = labels
    found = tuple(dict.fromkeys(checked_label(label, "labels") for label in given))
    if len(found) > MAX_LABELS:
        raise InvalidParameter("labels", f"labels must be at most {MAX_LABELS}, not {len(found)}")
    return found


def checked_label(label: object, parameter: str = "label") -> str:
    """Return a valid label. Its text is never in an error."""
    if not isinstance(label, str):
        raise InvalidType(parameter, f"{parameter}: a label must be a str, not {type(label).__name__}")
    try:
        size = len(label.encode())
    except UnicodeEncodeError:
        raise InvalidParameter(
            parameter, f"{parameter}: a label must be valid Unicode, without a lone surrogate"
        ) from None
    if not 1 <= size <= MAX_LABEL_BYTES:
        raise InvalidParameter(
            parameter, f"{parameter}: a label must take from 1 to {MAX_LABEL_BYTES} bytes in UTF-8, and takes {size}"
        )
    return label
