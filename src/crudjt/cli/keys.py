"""Find the secret key for the command, and make one for a user who has none."""

import contextlib
import os
import tempfile
from pathlib import Path

from crudjt import _filesystem
from crudjt._core.keyring import generate_secret_key
from crudjt._filesystem import ownership
from crudjt._secret_keys import (
    SECRET_KEY_FILE_VARIABLE,
    SECRET_KEY_VARIABLE,
    read_secret_keys,
    secret_keys_of_environment,
)
from crudjt.cli.notices import inform, warn
from crudjt.errors import InvalidParameter


def secret_keys(given: Path | None, directory: Path | None, *, may_make: bool) -> list[str]:
    """Return the secret keys: of the file given, else of the environment, else the user's own.

    Args:
        given: the file that an option names.
        directory: of the store, if it has one.
        may_make: whether to make a key for a user who has none: only for a store that is made, too.

    Raises:
        InvalidParameter: the named key is invalid, or there is no key and none can be made.

    """
    if given is not None:
        return read_secret_keys(given, directory, warn)
    if any(os.environ.get(name, "").strip() for name in (SECRET_KEY_VARIABLE, SECRET_KEY_FILE_VARIABLE)):
        return secret_keys_of_environment(directory, warn)
    own = _own_path()
    if not own.exists():
        if not may_make:
            raise InvalidParameter(
                "secret_key",
                "no secret key for a store that exists already; give the one that its sessions were made with: pass "
                f"--secret-key-file, or set {SECRET_KEY_VARIABLE} or {SECRET_KEY_FILE_VARIABLE}",
            )
        _make(own)
    return read_secret_keys(own, directory, warn)


def _own_path() -> Path:
    configured = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    # The XDG Base Directory Specification has relative paths ignored.
    home = configured if configured.is_absolute() else Path.home() / ".config"
    return home / "crudjt" / "secret_key"


def _make(path: Path) -> None:
    """Make a key for a user who has none, unless another process is quicker; print a notice.

    The file gets its name only when it is complete and on disk, and only if that name is free. So every process sees
    the same key, and a store never survives a power failure that its key does not.
    """
    try:
        path.parent.parent.mkdir(mode=ownership.DIRECTORY_MODE, parents=True, exist_ok=True)
        _filesystem.make_directory(path.parent)
        descriptor, temporary = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(generate_secret_key() + "\n")
                file.flush()
                _filesystem.sync_data(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
                _filesystem.sync_directory(path.parent)
                inform(f"Made a new secret key: {path}")
                inform("Back it up, apart from the store: without it, the sessions cannot be read.")
        finally:
            _filesystem.remove(Path(temporary))
    except OSError as error:
        raise InvalidParameter(
            "secret_key",
            f"no secret key, and none can be made at {path}: {error.strerror}; pass --secret-key-file, or set "
            f"{SECRET_KEY_VARIABLE} or {SECRET_KEY_FILE_VARIABLE}",
        ) from None
