"""The steps of calls and of a mover while sessions move, as generators without input or output.

A call yields where it is to be carried out and receives its outcome; a mover yields the steps of `crudjt._core.moves`.
A driver carries them out. The tests run the same generators over a model, in every order.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

from crudjt._core.moves import Rotation, is_mark, is_record, mark_of
from crudjt._core.stages import Staged


class At(Enum):
    """The store at which a call is carried out."""

    SOURCE = 1
    DESTINATION = 2


class Publish(NamedTuple):
    """Publish sessions at the destination, whose marks were met at the source; the marks by id."""

    marks: Mapping[bytes, bytes]


class Outcome(NamedTuple):
    """The outcome of a call at the source.

    Attributes:
        value: its result, without what the marks hide.
        marked: the marks that it met, by id.
        has_begun: whether the move had begun when the call was over; until then nothing is at the destination. Said
            only where it matters: if there is no value, or the call is about a subject.
        refused: the rotation that is to be made on the way.

    """

    value: Any
    marked: Mapping[bytes, bytes] = MappingProxyType({})
    has_begun: bool = False
    refused: Rotation | None = None


class StageNew(NamedTuple):
    """Stage the new session of a rotation that the source has refused."""

    rotation: Rotation


class Swap(NamedTuple):
    """End the old session of such a rotation at the source, and mark the new one.

    Answer: whether the old one was still as it was read.
    """

    rotation: Rotation


CallSteps = Generator[At | Publish | StageNew | Swap, Any, Any]


def of_one_session() -> CallSteps:
    """Take the steps of a call about one session, whose result at the source is false where it has none."""
    while True:
        found: Outcome = yield At.SOURCE
        if found.refused is not None:
            yield StageNew(found.refused)
            if (yield Swap(found.refused)):
                yield Publish(found.refused.marks)
                return found.refused.token
            continue  # the old session has changed, ended or moved
        if found.marked:
            yield Publish(found.marked)
        elif found.value or not found.has_begun:
            return found.value
        return (yield At.DESTINATION)


def of_a_new_session() -> CallSteps:
    """Take the steps of a call that makes sessions: at the source until a transaction there finds the move begun."""
    made: Outcome = yield At.SOURCE
    if not made.has_begun:
        return made.value
    return (yield At.DESTINATION)


def of_a_subject(add: Callable[[Any, Any], Any]) -> CallSteps:
    """Take the steps of a call about all sessions of a subject; `add` joins the results of both stores.

    Source first: no session goes back. What is met as a mark is published, so that the destination finds it.
    """
    here: Outcome = yield At.SOURCE
    if here.marked:
        yield Publish(here.marked)
    if not here.has_begun:
        return here.value
    return add(here.value, (yield At.DESTINATION))


class Begin(NamedTuple):
    """Begin the move at the source. Answer: the epoch."""


class Look(NamedTuple):
    """Read records and marks of the source, from its beginning or from where a look has ended. Answer: `Looked`."""

    at: object | None


class Stage(NamedTuple):
    """Stage records at the destination, on all replicas. Answer: a `Staged` for each."""

    epoch: int
    records: Mapping[bytes, bytes]


class Mark(NamedTuple):
    """Mark sessions at the source, durably. Answer: the ids that were marked; ``None`` to a mover of an old epoch."""

    epoch: int
    records: Mapping[bytes, bytes]


class PublishForGood(NamedTuple):
    """Publish sessions at the destination, on all replicas, so that their marks may go; the marks by id."""

    marks: Mapping[bytes, bytes]


class Clear(NamedTuple):
    """Remove the marks of published sessions at the source; the marks by id."""

    marks: Mapping[bytes, bytes]


class Leave(NamedTuple):
    """Leave sessions at the source: their stages are used, though they are records there. No crash leads to this."""

    ids: Sequence[bytes]


class Ended(Enum):
    """The reason why a mover stopped."""

    DONE = 1  # nothing is left at the source, but what cannot move
    SUPERSEDED = 2  # another mover has taken over


MoverStep = Begin | Look | Stage | Mark | PublishForGood | Clear | Leave
MayMove = Callable[[bytes, bytes], bool]
MoverSteps = Generator[MoverStep, Any, Ended]


def of_a_mover(may_move: MayMove) -> MoverSteps:
    """Take the steps of a mover, from its beginning until a pass over the source finds nothing more to move.

    Args:
        may_move: tells of an id and a record whether the session can move.

    """
    epoch: int = yield Begin()
    while True:
        left_to_do, at = False, None
        while True:
            items, at = yield Look(at)
            records = {id_: value for id_, value in items if is_record(value) and may_move(id_, value)}
            marked = {id_: value for id_, value in items if is_mark(value)}
            left_to_do |= bool(records or marked)
            if records:
                staged: Sequence[Staged] = yield Stage(epoch, records)
                if Staged.LATER in staged:
                    return Ended.SUPERSEDED
                answers = dict(zip(records, staged, strict=True))
                fresh = yield Mark(epoch, {id_: records[id_] for id_ in records if answers[id_] is Staged.DONE})
                if fresh is None:
                    return Ended.SUPERSEDED
                if Staged.USED in staged:
                    yield Leave([id_ for id_ in records if answers[id_] is Staged.USED])
                marked |= {id_: mark_of(records[id_]) for id_ in fresh}
            if marked:
                yield PublishForGood(marked)
                yield Clear(marked)
            if at is None:
                break
        if not left_to_do:
            return Ended.DONE
