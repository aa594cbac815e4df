"""Deliberate defects of a move: each leaves out what keeps a session whole on its way."""

from collections.abc import Mapping, Sequence

from crudjt._backends.moving import steps
from crudjt._backends.valkey.move_scripts import MARK
from crudjt._backends.valkey.requests import Script
from crudjt._backends.valkey.steps import leaving
from crudjt._core import moves
from crudjt._core.changes import REPLACE, SESSION, Change, Reader
from tests.faults.defects import replace


def mark_does_not_compare() -> None:
    """A session is marked that has changed since it was staged."""

    def mark(reader: Reader, epoch: int, records: Mapping[bytes, bytes]) -> tuple[list[bytes] | None, Sequence[Change]]:
        note = reader.get(moves.NOTE_KEY)
        if note is None or moves.unpack_note(note).epoch != epoch:
            return None, ()
        found = {id_: reader.get(SESSION + id_) for id_ in records}
        marked = {id_: value for id_, value in found.items() if value is not None and moves.is_record(value)}
        return list(marked), [(REPLACE, id_, moves.mark_of(value)) for id_, value in marked.items()]

    replace(moves, "mark", mark)


def mark_on_servers_does_not_compare() -> None:
    """As above, where the source is on servers."""
    text = MARK.text.decode()
    comparison = "if nonce ~= ARGV[2] and"
    assert comparison in text
    replace(leaving, "MARK", Script(text.replace(comparison, "if nonce == '' and")))


def mark_taken_for_an_end() -> None:
    """A call that meets a mark asks the servers without publishing the session first."""

    def of_one_session() -> steps.CallSteps:
        found: steps.Outcome = yield steps.At.SOURCE
        if found.value or not found.has_begun:
            return found.value
        return (yield steps.At.DESTINATION)

    replace(steps, "of_one_session", of_one_session)


def sessions_copied_and_marked_at_once() -> None:
    """A session is marked before its copy is at the servers, so a mover that dies in between loses it."""

    def of_a_mover(may_move: steps.MayMove) -> steps.MoverSteps:
        epoch: int = yield steps.Begin()
        at = None
        while True:
            items, at = yield steps.Look(at)
            records = {id_: value for id_, value in items if moves.is_record(value) and may_move(id_, value)}
            fresh = yield steps.Mark(epoch, records)
            if fresh is None:
                return steps.Ended.SUPERSEDED
            yield steps.Stage(epoch, records)
            marks = {id_: moves.mark_of(records[id_]) for id_ in fresh}
            yield steps.PublishForGood(marks)
            yield steps.Clear(marks)
            if at is None:
                return steps.Ended.DONE

    replace(steps, "of_a_mover", of_a_mover)
