"""Secret keys that the environment or a file holds, with one check of the file for the library and the command."""

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

from crudjt._core.keyring import decode_secret_keys
from crudjt._filesystem import ownership
from crudjt._filesystem.platform import system
from crudjt.errors import InvalidParameter

SECRET_KEY_VARIABLE = "CRUDJT_SECRET_KEY"  # noqa: S105 - the name of a variable
SECRET_KEY_FILE_VARIABLE = "CRUDJT_SECRET_KEY_FILE"  # noqa: S105 - the name of a variable

_NO_KEY = (
    f"no secret key: pass secret_key=…, or set {SECRET_KEY_VARIABLE} or {SECRET_KEY_FILE_VARIABLE} (to make one: "
    "crudjt keygen)"
)

Warn = Callable[[str], None]
"""What takes a warning, in words."""

log_warning: Warn = logging.getLogger("crudjt").warning


def secret_keys_of_environment(directory: Path | None, warn: Warn = log_warning) -> list[str]:
    """Return the secret keys that the environment names, for the store in a directory if it has one.

    Raises:
        InvalidParameter: it names none, or a file that cannot be used.

    """
    text = os.environ.get(SECRET_KEY_VARIABLE, "")
    if text.strip():
        return text.split()
    name = os.environ.get(SECRET_KEY_FILE_VARIABLE)
    if not name:
        raise InvalidParameter("secret_key", _NO_KEY)
    return read_secret_keys(Path(name), directory, warn)


def read_secret_keys(path: Path, directory: Path | None, warn: Warn = log_warning) -> list[str]:
    """Return the secret keys of a file, and warn if other users have any right to it.

    Args:
        path: of the file.
        directory: of the store that the keys are for, if it has one.
        warn: what takes a warning.

    Raises:
        InvalidParameter: the file cannot be read, holds no valid keys, or lies in the store, whose backups would hold
            both; or the path is a link of another user, who could exchange the key.

    """
    try:
        link, is_inside = path.lstat(), directory is not None and path.resolve().is_relative_to(directory.resolve())
        texts = path.read_text().split()
    except (OSError, ValueError) as error:  # not text, or a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise InvalidParameter("secret_key", f"cannot read secret_key from {path}: {reason}") from None
    if is_inside:
        raise InvalidParameter(
            "secret_key", f"the secret_key file {path} lies in the store; keep it elsewhere, and back it up apart"
        )
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in {0, system.effective_user()}:
        raise InvalidParameter("secret_key", f"the secret_key file {path} is a link of uid {link.st_uid}; name a file")
    if not texts:
        raise InvalidParameter("secret_key", f"secret_key file {path} is empty (to make a key: crudjt keygen)")
    try:
        decode_secret_keys(texts)
    except InvalidParameter as error:
        raise InvalidParameter("secret_key", f"{path}: {error}") from None
    mode = ownership.readable_by_others(path)
    if mode is not None:
        warn(f"others may use the secret key in {path} (mode {mode:04o}); chmod 600 it")
    return texts
