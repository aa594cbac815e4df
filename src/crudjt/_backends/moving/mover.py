"""The mover: takes the sessions from the source to the destination while both are in use. It may die at any step."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from crudjt._backends.moving import steps
from crudjt._backends.moving.ports import Destination, Source
from crudjt._backends.moving.steps import Begin, Clear, Ended, Leave, Look, Mark, MoverStep, PublishForGood, Stage
from crudjt._core.moves import OtherMove, is_mark, is_record
from crudjt.errors import StoreInaccessible, StoreUnavailable

_BATCH = 200  # sessions that are marked in one transaction, and wait for their publication
_ATTEMPTS = 5  # without progress, at a destination that does not answer


@dataclass
class Progress:
    """The progress of a move.

    Attributes:
        moved: sessions that were moved by this mover.
        left: ids of the sessions that cannot move.

    """

    moved: int = 0
    left: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Plan:
    """The result of a look at a source before a move.

    Attributes:
        sessions: how many it has, ended ones that were not swept too.
        moving: how many have been marked by a mover that died.
        left: ids of the sessions that cannot move.

    """

    sessions: int
    moving: int
    left: list[str]


def check(source: Source, destination: Destination) -> None:
    """Check that the destination is that of the move, if one has begun.

    Raises:
        StoreInaccessible: it is not, or the move to it has finished and this directory does not know of it.

    """
    note = source.note
    if note is not None and note.move != destination.move:
        raise StoreInaccessible(
            source.store.location,
            f"its sessions are moved to {note.location} already, and not to this destination; one in a directory is on "
            "the host where the move was begun",
        )
    if note is None and destination.has_finished:
        raise StoreInaccessible(
            destination.store.location,
            "a move to it has finished, of which the source knows nothing: it is a copy from before; use the "
            "destination alone",
        )


def plan(source: Source, show: Callable[[int], None] = lambda _done: None) -> Plan:
    """Look at every session of the source, and change nothing; `show` is given how many were looked at."""
    sessions, moving, left, at = 0, 0, list[str](), None
    while True:
        items, at = source.look(at, _BATCH)
        sessions += len(items)
        moving += sum(is_mark(value) for _, value in items)
        left += [id_.hex() for id_, value in items if is_record(value) and not source.is_placed(id_, value)]
        show(sessions)
        if at is None:
            return Plan(sessions, moving, left)


def move(
    source: Source, destination: Destination, show: Callable[[Progress], None] = lambda _progress: None
) -> Progress:
    """Move all sessions that can move, and return when none is left; `show` is called after each step.

    A mover that has died is followed by the next call. If the destination does not answer, the move is begun again.

    Raises:
        StoreInaccessible: a move to another destination has begun, or another mover has taken this one over.
        StoreError: the source or the destination failed, several times in a row.

    """
    check(source, destination)
    mover = _Mover(source, destination, show)
    failures, moved = 0, -1
    while True:
        error = mover.run()
        if error is None:
            return mover.progress
        # A stage may still be on its way: only a later epoch keeps it from replacing one that comes after it.
        failures = failures + 1 if mover.progress.moved == moved else 1
        moved = mover.progress.moved
        if failures == _ATTEMPTS:
            raise error


class _Mover:
    """Carries out the steps of a mover."""

    def __init__(self, source: Source, destination: Destination, show: Callable[[Progress], None]) -> None:
        self.progress = Progress()
        self._source = source
        self._destination = destination
        self._show = show
        self._left: dict[bytes, None] = {}  # ids, in order

    def run(self) -> StoreUnavailable | None:
        """Begin, and go on until nothing is left to move; return the error of a destination that does not answer."""
        mover = steps.of_a_mover(self._may_move)
        self._left.clear()
        self.progress.left = []
        answer: Any = None
        try:
            while True:
                answer = self._carry_out(mover.send(answer))
                self._show(self.progress)
        except StopIteration as end:
            if end.value is Ended.SUPERSEDED:
                raise StoreInaccessible(
                    self._source.store.location, "another mover has taken the move over; this one has stopped"
                ) from None
            return None
        except StoreUnavailable as error:
            return error

    def _carry_out(self, step: MoverStep) -> Any:
        answer: Any = None
        match step:
            case Begin():
                answer = self._begin()
            case Look(at):
                answer = self._source.look(at, _BATCH)
            case Stage(epoch, records):
                answer = self._destination.stage(epoch, records)
            case Mark(epoch, records):
                answer = self._source.mark(epoch, records)
            case PublishForGood(marks):
                self._destination.publish(marks, replicated=True)
                self.progress.moved += len(marks)
            case Clear(marks):
                self._source.clear(marks)
            case Leave(ids):
                self._leave(ids)
        return answer

    def _leave(self, ids: Iterable[bytes]) -> None:
        self._left |= dict.fromkeys(ids)
        self.progress.left = [id_.hex() for id_ in self._left]

    def _begin(self) -> int:
        try:
            return self._source.begin(self._destination.move, self._destination.store.location)
        except OtherMove:  # since it was checked
            raise StoreInaccessible(self._source.store.location, "another move has begun just now") from None

    def _may_move(self, id_: bytes, record: bytes) -> bool:
        if id_ not in self._left and not self._source.is_placed(id_, record):
            self._leave([id_])
        return id_ not in self._left
