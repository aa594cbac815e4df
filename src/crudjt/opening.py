"""`open`: from what the caller and the environment say to an open store."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from crudjt._backends.embedded.store import EmbeddedStore
from crudjt._backends.grpc.location import (
    DEFAULT_TIMEOUT,
    is_remote,
    remote,
)
from crudjt._core.clock import (
    Clock,
    system_clock,
)
from crudjt._core.extras import require_extra
from crudjt._core.keyring import decode_secret_keys
from crudjt._core.options import (
    Durability,
    Options,
)
from crudjt.base import Store
from crudjt.errors import InvalidParameter, InvalidType

PATH_VARIABLE = "CRUDJT_PATH"
SECRET_KEY_VARIABLE = "CRUDJT_SECRET_KEY"  # noqa: S105 - the name of a variable
SECRET_KEY_FILE_VARIABLE = "CRUDJT_SECRET_KEY_FILE"  # noqa: S105 - the name of a variable

SYSTEM_LOCATION = Path("/var/lib/store_jt")
PROJECT_LOCATION = "store_jt"

_NO_KEY = (
    f"no secret key: pass secret_key=…, or set {SECRET_KEY_VARIABLE} or {SECRET_KEY_FILE_VARIABLE} (to make one: "
    "crudjt keygen)"
)


def open(  # noqa: A001 - crudjt.open is the name
    location: str | os.PathLike[str] | None = None,
    *,
    secret_key: str | Sequence[str] | None = None,
    durability: Durability = "interval",
    sync_interval: float = 0.5,
    sweep_interval: float = 86_400.0,
    max_size: int | None = None,
    max_data_bytes: int = 4096,
    clock: Clock = system_clock,
    access_token: str | None = None,
    tls_ca: str | os.PathLike[str] | None = None,
    tls_cert: str | os.PathLike[str] | None = None,
    tls_key: str | os.PathLike[str] | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> Store:
    """Open the store in a directory, creating both if needed. Any number of processes may have it open.

    Or connect to a server that has it open: ``grpc://host:port``, ``grpcs://host:port`` with TLS, ``unix:///path`` of a
    socket. It connects at the first call, and has the same methods.

    Args:
        location: the directory, or the server. ``None`` takes `CRUDJT_PATH` from the environment, then
            ``/var/lib/store_jt`` where it can be written, then ``store_jt`` in the working directory.
        secret_key: Base64 of 32, 48 or 64 random bytes, as `crudjt keygen` makes them; or several, oldest to newest, to
            rotate them: the newest makes tokens, all read. ``None`` takes `CRUDJT_SECRET_KEY`, then the content of the
            file named by `CRUDJT_SECRET_KEY_FILE`; there too, white space separates several.
        durability: ``"interval"`` answers at once and syncs to disk every `sync_interval`; ``"full"`` answers when the
            change is on disk. Neither loses anything when processes die; they differ when the power fails.
        sync_interval: seconds between two syncs to disk.
        sweep_interval: seconds between two removals of expired sessions.
        max_size: bytes that the view of live sessions may grow to. ``None`` keeps the largest value that the store ever
            had (16 GiB for a new store). A larger value takes effect when no other process has the store open. It is
            address space, not disk space.
        max_data_bytes: the largest data of one session, in bytes of MessagePack.
        clock: the source of time, in nanoseconds since 1970; for tests.
        access_token: only for a server, as all that follow: what it asks for. ``None`` takes `CRUDJT_ACCESS_TOKEN`,
            then the content of the file named by `CRUDJT_ACCESS_TOKEN_FILE`. Sent through TLS or within this host only.
        tls_ca: a file of certificates to trust, in PEM; ``None`` for those that everybody trusts.
        tls_cert: a file with our own certificate, for a server that asks for one, in PEM.
        tls_key: a file with its key.
        timeout: seconds that a call may take.

    Raises:
        InvalidParameter: a parameter, or the environment in its place, is not usable.
        MissingDependency: the location is a server, and gRPC is not installed.
        StoreError: the store cannot be opened; the subclass says why.

    """
    for_directory = {
        "secret_key": (secret_key, None),
        "durability": (durability, Options.durability),
        "sync_interval": (sync_interval, Options.sync_interval),
        "sweep_interval": (sweep_interval, Options.sweep_interval),
        "max_size": (max_size, Options.max_size),
        "max_data_bytes": (max_data_bytes, Options.max_data_bytes),
        "clock": (clock, system_clock),
    }
    for_server = {
        "access_token": (access_token, None),
        "tls_ca": (tls_ca, None),
        "tls_cert": (tls_cert, None),
        "tls_key": (tls_key, None),
        "timeout": (timeout, DEFAULT_TIMEOUT),
    }
    if isinstance(location, str) and is_remote(location):
        _require_defaults(for_directory, f"is only for a directory; {location!r} is a server, which has its own")
        where = remote(
            location, access_token=access_token, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key, timeout=timeout
        )
        require_extra("grpc")
        from crudjt._backends.grpc.channel import Connection  # noqa: PLC0415 - gRPC takes 0.1 s to import
        from crudjt._backends.grpc.store import RemoteStore  # noqa: PLC0415 - as above

        return RemoteStore(Connection(where))
    _require_defaults(for_server, "is only for a server: grpc://…, grpcs://… or unix://…")
    options = Options(
        durability=durability,
        sync_interval=sync_interval,
        sweep_interval=sweep_interval,
        max_size=max_size,
        max_data_bytes=max_data_bytes,
        clock=clock,
    )
    secrets = decode_secret_keys(secret_key if secret_key is not None else secret_keys_of_environment())
    return EmbeddedStore(_directory(location), secrets, options)


def _require_defaults(parameters: Mapping[str, tuple[object, object]], rule: str) -> None:
    for name, (value, default) in parameters.items():
        if value is not default and value != default:
            raise InvalidParameter(name, f"{name} {rule}")


def secret_keys_of_environment() -> list[str]:
    """Return the secret keys that the environment names.

    Raises:
        InvalidParameter: it names none, or a file that cannot be read.

    """
    text = os.environ.get(SECRET_KEY_VARIABLE, "")
    if text.strip():
        return text.split()
    name = os.environ.get(SECRET_KEY_FILE_VARIABLE)
    if not name:
        raise InvalidParameter("secret_key", _NO_KEY)
    try:
        return Path(name).read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidParameter(
            "secret_key",
            f"cannot read the secret key from {name} ({type(error).__name__}); name a readable file in "
            f"{SECRET_KEY_FILE_VARIABLE}",
        ) from None


def _directory(location: str | os.PathLike[str] | None) -> Path:
    if location is None:
        return default_directory()
    if not isinstance(location, str | os.PathLike):
        raise InvalidType("location", f"location must be a str or a path, not {type(location).__name__}")
    path = os.fspath(location)
    if not isinstance(path, str):
        raise InvalidType("location", f"location must be a path of str, not of {type(path).__name__}")
    if not path or "\0" in path:
        raise InvalidParameter("location", "location must be the path of a directory; it is empty or holds a NUL")
    return Path(location).absolute()


def default_directory() -> Path:
    """Return where a store lies that nobody has placed: the original engine's order."""
    configured = os.environ.get(PATH_VARIABLE)
    if configured:
        return Path(configured).absolute()
    probe = SYSTEM_LOCATION if SYSTEM_LOCATION.exists() else SYSTEM_LOCATION.parent
    if os.access(probe, os.W_OK | os.X_OK):
        return SYSTEM_LOCATION
    return Path.cwd() / PROJECT_LOCATION
