"""Secret keys that the environment names."""

import os
from pathlib import Path

from crudjt.errors import InvalidParameter

SECRET_KEY_VARIABLE = "CRUDJT_SECRET_KEY"  # noqa: S105 - the name of a variable
SECRET_KEY_FILE_VARIABLE = "CRUDJT_SECRET_KEY_FILE"  # noqa: S105 - the name of a variable

_NO_KEY = (
    f"no secret key: pass secret_key=…, or set {SECRET_KEY_VARIABLE} or {SECRET_KEY_FILE_VARIABLE} (to make one: "
    "crudjt keygen)"
)


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
            f"cannot read secret_key from {name} ({type(error).__name__}); name a readable file in "
            f"{SECRET_KEY_FILE_VARIABLE}",
        ) from None
