"""A table in SQLite, as Django's `django_session` and its relatives have it, without the framework above.

Text key, data, and an indexed column with the end of the session, which every read checks; sessions always end there,
by default in two weeks. Beside those a user, indexed, for sessions of a subject, and the reads left. WAL mode with
`synchronous=NORMAL`, which every guide recommends: a power failure may lose what came last; `FULL` where an operation
may only return once its change is on disk. Data is a blob of MessagePack rather than the signed Base64 of JSON that
Django writes, and there is no ORM: both are in SQLite's favour. Each operation is one statement in autocommit. It needs
nothing installed: Python brings it.
"""

import secrets
import sqlite3
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.payloads import Data
from benchmarks.peers.interface import MAX_READS, TTL, Engine, Place, as_is

_TWO_WEEKS = 14 * 86_400
_BUSY_SECONDS = 30

_SCHEMA = """
CREATE TABLE IF NOT EXISTS session (
    session_key VARCHAR(40) NOT NULL PRIMARY KEY,
    session_data BLOB NOT NULL,
    expire_date REAL NOT NULL,
    user TEXT,
    reads_left INTEGER
);
CREATE INDEX IF NOT EXISTS session_expire_date ON session (expire_date);
CREATE INDEX IF NOT EXISTS session_user ON session (user);
"""
_INSERT = "INSERT INTO session VALUES (?, ?, ?, ?, ?)"
_SELECT = "SELECT session_data FROM session WHERE session_key = ? AND expire_date > ?"
_TAKE_ONE = """
UPDATE session SET reads_left = reads_left - 1
WHERE session_key = ? AND reads_left > 0 AND expire_date > ? RETURNING session_data
"""
_UPDATE = "UPDATE session SET session_data = ? WHERE session_key = ? AND expire_date > ?"
_ROTATE = "UPDATE session SET session_key = ? WHERE session_key = ? AND expire_date > ?"
_DELETE = "DELETE FROM session WHERE session_key = ?"
_REVOKE = "DELETE FROM session WHERE user = ?"


def open_table(place: Place) -> Engine:  # noqa: C901 - one short function for each operation
    """Open the file, whoever else has it open."""
    connection = sqlite3.connect(
        str(Path(place.workspace, "sessions.sqlite")), timeout=_BUSY_SECONDS, isolation_level=None
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if place.durable else 'NORMAL'}")
    connection.executescript(_SCHEMA)
    execute, now = connection.execute, time.time
    pack, unpack, new_token = msgspec.msgpack.encode, msgspec.msgpack.decode, secrets.token_urlsafe

    def create(data: Data) -> str:
        token = new_token(16)
        execute(_INSERT, (token, pack(data), now() + _TWO_WEEKS, None, None))
        return token

    def create_expiring(data: Data) -> str:
        token = new_token(16)
        execute(_INSERT, (token, pack(data), now() + TTL, None, None))
        return token

    def create_owned(data: Data, subject: str) -> str:
        token = new_token(16)
        execute(_INSERT, (token, pack(data), now() + TTL, subject, None))
        return token

    def create_limited(data: Data) -> str:
        token = new_token(16)
        execute(_INSERT, (token, pack(data), now() + _TWO_WEEKS, None, MAX_READS))
        return token

    def read(token: str) -> Any:
        row = execute(_SELECT, (token, now())).fetchone()
        return None if row is None else unpack(row[0])

    def read_limited(token: str) -> Any:
        rows = execute(_TAKE_ONE, (token, now())).fetchall()
        return unpack(rows[0][0]) if rows else None

    def update(token: str, data: Data) -> bool:
        return execute(_UPDATE, (pack(data), token, now())).rowcount == 1

    def delete(token: str) -> bool:
        return execute(_DELETE, (token,)).rowcount == 1

    def rotate(token: str) -> str | None:
        fresh = new_token(16)
        return fresh if execute(_ROTATE, (fresh, token, now())).rowcount == 1 else None

    def revoke(subject: str) -> int:
        return execute(_REVOKE, (subject,)).rowcount

    return Engine(
        create=create,
        read=read,
        data_of=as_is,
        close=connection.close,
        update=update,
        delete=delete,
        create_expiring=create_expiring,
        create_owned=create_owned,
        create_limited=create_limited,
        read_limited=read_limited,
        rotate=rotate,
        revoke=revoke,
    )
