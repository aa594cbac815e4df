"""The directory, secret keys and options of an embedded store, checked before anything is created."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crudjt._core.keyring import decode_secret_keys
from crudjt._core.options import Options
from crudjt._secret_keys import secret_keys_of_environment
from crudjt.errors import StoreInaccessible

_SYSTEMS = {"linux", "darwin", "win32"}
_ELSEWHERE = "the location of a server, such as 'grpc://HOST:PORT' or 'valkey://HOST:PORT'"


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """An embedded store that can be opened.

    Attributes:
        directory: an absolute path.
        secrets: the decoded secret keys, oldest to newest.
        options: its settings.

    """

    directory: Path
    secrets: tuple[bytes, ...] = field(repr=False)
    options: Options


def parse(location: Path, options: Mapping[str, Any]) -> Embedded:
    """Return the store in a directory. It need not exist, and is not looked at.

    Raises:
        InvalidParameter: an option, or the environment in its place, is not usable.
        StoreInaccessible: this system has no store in a directory.

    """
    if sys.platform not in _SYSTEMS:
        raise StoreInaccessible(
            location, f"a store in a directory needs Linux, macOS or Windows, not {sys.platform}; open {_ELSEWHERE}"
        )
    given = dict(options)
    secret_key = given.pop("secret_key", None)
    checked = Options(**given)
    secrets = decode_secret_keys(secret_keys_of_environment(location) if secret_key is None else secret_key)
    return Embedded(directory=location, secrets=tuple(secrets), options=checked)
