"""The location and the options of a store on Valkey or Redis, checked before a driver is imported."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import get_args

from crudjt._backends.valkey.location import Assumption, File, Servers, servers
from crudjt._core.clock import Clock, system_clock
from crudjt._core.keyring import decode_secret_keys
from crudjt._core.options import DEFAULT_MAX_DATA_BYTES, Durability, require_clock, require_max_data_bytes
from crudjt._secret_keys import secret_keys_of_environment
from crudjt.errors import InvalidParameter, InvalidType

DEFAULT_TIMEOUT = 1.0
_MAX_REPLICAS = 100
_LEVELS: tuple[Durability, ...] = get_args(Durability)  # from the least to the greatest


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A store on servers that can be opened.

    Attributes:
        servers: the servers and how to connect to them.
        secrets: the decoded secret keys, oldest to newest.
        durability: of all changes.
        endings: of what ends a session, at least `durability`.
        replicas: how many must have a change that is to be replicated; ``None`` for all that each primary has.
        max_data_bytes: the largest data of a session.
        clock: the source of time; `system_clock` for that of the servers.
        create: whether to make a store if there is none.

    """

    servers: Servers
    secrets: tuple[bytes, ...] = field(repr=False)
    durability: Durability
    endings: Durability
    replicas: int | None
    max_data_bytes: int
    clock: Clock
    create: bool


def settings(
    location: str,
    *,
    secret_key: str | Sequence[str] | None = None,
    durability: Durability = "interval",
    endings: Durability = "replicated",
    replicas: int | None = None,
    timeout: float | None = None,
    tls_ca: File | None = None,
    tls_cert: File | None = None,
    tls_key: File | None = None,
    allow_plaintext: bool = False,
    assume: Collection[Assumption] = (),
    max_data_bytes: int = DEFAULT_MAX_DATA_BYTES,
    clock: Clock = system_clock,
    create: bool = True,
) -> Settings:
    """Return the checked location and options.

    Raises:
        InvalidParameter: the location or an option, or the environment in its place, is not usable.

    """
    found = servers(
        location,
        tls_ca=tls_ca,
        tls_cert=tls_cert,
        tls_key=tls_key,
        timeout=DEFAULT_TIMEOUT if timeout is None else timeout,
        allow_plaintext=allow_plaintext,
        assume=assume,
    )
    for name, level in (("durability", durability), ("endings", endings)):
        if level not in _LEVELS:
            raise InvalidParameter(name, f"{name} must be 'interval', 'replicated' or 'full', not {level!r}")
    _require_replicas(replicas)
    if replicas == 0 and durability != "interval":
        raise InvalidParameter("replicas", f"replicas must be at least 1 for durability={durability!r}")
    require_max_data_bytes(max_data_bytes)
    require_clock(clock)
    if not isinstance(create, bool):
        raise InvalidType("create", "create must be True or False")
    secrets = decode_secret_keys(secret_keys_of_environment(None) if secret_key is None else secret_key)
    return Settings(
        servers=found,
        secrets=tuple(secrets),
        durability=durability,
        endings=_LEVELS[max(_LEVELS.index(durability), _LEVELS.index(endings))],
        replicas=replicas,
        max_data_bytes=max_data_bytes,
        clock=clock,
        create=create,
    )


def _require_replicas(replicas: int | None) -> None:
    if replicas is None:
        return
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise InvalidType("replicas", f"replicas must be an int or None, not {type(replicas).__name__}")
    if not 0 <= replicas <= _MAX_REPLICAS:
        raise InvalidParameter("replicas", f"replicas must be from 0 to {_MAX_REPLICAS}, not {replicas}")
