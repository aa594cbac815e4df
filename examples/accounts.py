"""Names and passwords, for the login examples: whatever your application has in its place."""

import hashlib
import hmac
import os
import sqlite3
from pathlib import Path
from urllib.parse import parse_qsl

_SALT_BYTES = 16
_NOBODY = bytes(_SALT_BYTES) + bytes(64)  # is compared with where there is no such user, so that both take as long


class Accounts:
    """Users in a file of SQLite. Its methods take some 50 ms for the hash: call them off the event loop."""

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        self._path = path
        with self._database() as database:
            database.execute("CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, password BLOB NOT NULL)")

    def register(self, name: str, password: str) -> bool:
        """Make a user; return False if there is one of that name."""
        row = (name, _hashed(password, os.urandom(_SALT_BYTES)))
        with self._database() as database:
            return database.execute("INSERT OR IGNORE INTO users VALUES (?, ?)", row).rowcount == 1

    def knows(self, name: str, password: str) -> bool:
        """Tell whether there is such a user with such a password."""
        with self._database() as database:
            row = database.execute("SELECT password FROM users WHERE name = ?", (name,)).fetchone()
        stored = _NOBODY if row is None else row[0]
        return hmac.compare_digest(_hashed(password, stored[:_SALT_BYTES]), stored)

    def has(self, name: str) -> bool:
        """Tell whether there is such a user."""
        with self._database() as database:
            return database.execute("SELECT 1 FROM users WHERE name = ?", (name,)).fetchone() is not None

    def set_password(self, name: str, password: str) -> None:
        """Change a password."""
        row = (_hashed(password, os.urandom(_SALT_BYTES)), name)
        with self._database() as database:
            database.execute("UPDATE users SET password = ? WHERE name = ?", row)

    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=10)


def send_mail(outbox: Path, name: str, link: str) -> None:
    """Write a line to a file that no other user can read. Your application sends a mail."""
    with os.fdopen(os.open(outbox, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as file:
        file.write(f"{name} {link}\n")


def form_in(body: bytes) -> dict[str, str]:
    """Return the fields of a form that a browser has sent, for frameworks that need a package for that."""
    return dict(parse_qsl(body.decode(), keep_blank_values=True))


def _hashed(password: str, salt: bytes) -> bytes:
    return salt + hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)
