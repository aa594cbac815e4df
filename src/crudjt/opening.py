"""`open`: from what the caller and the environment say to an open store."""

import os
from collections.abc import Sequence
from pathlib import Path

from crudjt.clock import Clock, system_clock
from crudjt.errors import InvalidParameter
from crudjt.keyring import decode_secret_keys
from crudjt.options import Durability, Options
from crudjt.store import Store

PATH_VARIABLE = "CRUDJT_PATH"
SECRET_KEY_VARIABLE = "CRUDJT_SECRET_KEY"  # noqa: S105 - the name of a variable
SECRET_KEY_FILE_VARIABLE = "CRUDJT_SECRET_KEY_FILE"  # noqa: S105 - the name of a variable

SYSTEM_LOCATION = Path("/var/lib/store_jt")
PROJECT_LOCATION = "store_jt"

_ALLOWED_KEYS = (
    f"the parameter, {SECRET_KEY_VARIABLE} or a file named by {SECRET_KEY_FILE_VARIABLE}; see: crudjt keygen"
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
) -> Store:
    """Open the store in a directory, creating both if needed. Any number of processes may have it open.

    Args:
        location: the directory. ``None`` takes `CRUDJT_PATH` from the environment, then ``/var/lib/store_jt`` where
        it can
            be written, then ``store_jt`` in the working directory.
        secret_key: Base64 of 32, 48 or 64 random bytes, as `crudjt keygen` makes them; or several, oldest to newest, to
            rotate them: the newest makes tokens, all read. ``None`` takes `CRUDJT_SECRET_KEY`, then the content of the
            file named by `CRUDJT_SECRET_KEY_FILE`; there too, white space separates several.
        durability: see `Options`, as for all that follow.
        sync_interval: seconds.
        sweep_interval: seconds.
        max_size: bytes.
        max_data_bytes: bytes.
        clock: nanoseconds since 1970; for tests.

    Raises:
        InvalidParameter: a parameter, or the environment in its place, is not usable.
        StoreError: the store cannot be opened; the subclass says why.

    """
    options = Options(
        durability=durability,
        sync_interval=sync_interval,
        sweep_interval=sweep_interval,
        max_size=max_size,
        max_data_bytes=max_data_bytes,
        clock=clock,
    )
    secrets = decode_secret_keys(secret_key if secret_key is not None else secret_keys_of_environment())
    return Store(_directory(location), secrets, options)


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
        raise InvalidParameter("secret_key", "is not given", _ALLOWED_KEYS)
    try:
        return Path(name).read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidParameter(
            "secret_key", f"cannot be read from {name} ({type(error).__name__})", _ALLOWED_KEYS
        ) from None


def _directory(location: str | os.PathLike[str] | None) -> Path:
    if location is None:
        return default_directory()
    if not isinstance(location, str | os.PathLike) or not os.fspath(location) or "\0" in os.fspath(location):
        raise InvalidParameter("location", "is not a path", "the path of a directory")
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
