"""The part of a move that its source in a directory has: its note, its marks, and the transactions of a mover."""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from crudjt._backends.embedded.engine import manifest
from crudjt._backends.embedded.engine.control_block import MOVING, WORD_FAILED
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.maintenance_lock import exclusively
from crudjt._backends.embedded.engine.manifest import MOVING_FORMAT, Manifest
from crudjt._backends.embedded.engine.os_errors import store_error
from crudjt._core import moves
from crudjt._core.changes import SESSION, Change, Reader
from crudjt._core.moves import NOTE_KEY, Looked, Note
from crudjt.errors import StoreMoved

_POLL_SECONDS = 0.05


def noted(engine: Engine) -> Note | None:
    """Return the note of a move; ``None`` before one has begun."""
    value, _ = engine.get_in_move(NOTE_KEY)
    return None if value is None else moves.unpack_note(value)


def has_begun(engine: Engine) -> bool:
    """Tell whether a move may have begun. It has not as long as this is False, and was not before the call."""
    return engine.words[WORD_FAILED] == MOVING


def begin(engine: Engine, move: bytes, location: str) -> int:
    """Begin a move, or take it over; return the epoch. From now on each process needs to know of the move.

    Raises:
        OtherMove: a move to another destination has begun.

    """
    change_manifest(engine, _with_moving_format)

    def decide(reader: Reader) -> tuple[int, Sequence[Change]]:
        # Before the commit, and under the lock of writers: whoever finds a mark or a new session of the destination
        # missing looks at the note. A mover that dies in between leaves processes that look and find no note.
        if not engine.control.failed:
            engine.control.fail(MOVING)
        return moves.begin(reader, move, location)

    return engine.write(decide, (), durable=True, moving=True)


def look(engine: Engine, after: bytes, limit: int) -> Looked:
    """Return up to `limit` ids after one, with their records and marks."""
    items = engine.scan(SESSION, SESSION + after + b"\0", limit, moving=True)
    found = [(key[len(SESSION) :], value) for key, value in items]
    return Looked(found, found[-1][0] if len(found) == limit else None)


def mark(engine: Engine, epoch: int, records: Mapping[bytes, bytes]) -> list[bytes] | None:
    """Mark sessions whose records are as given, on disk; return their ids, or ``None`` to a mover of an old epoch."""
    return engine.write(moves.mark, (epoch, records), durable=True, moving=True)


def clear(engine: Engine, ids: Iterable[bytes]) -> None:
    """Remove the marks of sessions that have been published."""
    engine.write(moves.clear, (ids,), moving=True)


def refuse_arrival(engine: Engine) -> None:
    """Raise if sessions are still being moved to this store."""
    try:
        arrival = manifest.load(engine.directory).arrival
    except OSError as error:
        raise store_error(error, engine.directory, "opening") from error
    if arrival is not None and not arrival.finished:
        raise StoreMoved(
            engine.directory, "sessions are being moved to it; open the store that they come from, and say so"
        )


def change_manifest(engine: Engine, change: Callable[[Manifest], Manifest]) -> None:
    """Change the manifest durably, unless it is as wanted; wait for a process that holds it."""
    while (found := manifest.load(engine.directory)) != change(found):
        with exclusively(engine) as alone:
            if alone:
                change(manifest.load(engine.directory)).save(engine.directory)
                return
        time.sleep(_POLL_SECONDS * (1 + random.random()))  # noqa: S311 - only to keep processes apart


def _with_moving_format(found: Manifest) -> Manifest:
    """Make the manifest say that there may be marks, before there is one."""
    return msgspec.structs.replace(found, format=MOVING_FORMAT)
