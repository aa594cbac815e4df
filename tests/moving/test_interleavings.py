"""While sessions move, every order of the steps has a result that a single store could have had."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from crudjt._backends.moving import steps
from crudjt._core import moves, stages
from tests.moving.interleavings import (
    A,
    B,
    Back,
    Call,
    FromServers,
    Search,
    Steps,
    Stores,
    ToDirectory,
    Violation,
    create,
    delete,
    mover,
    read,
    record_of,
    revoke,
    rotate,
    take,
    update,
)

CALLS: list[tuple[Call, ...]] = [
    (delete(), update(2), read()),
    (delete(), read(), read()),
    (delete(), delete(), update(2)),
    (update(2), update(3), read()),
    (take(), take(), read()),
    (rotate(), delete(), read()),
    (rotate(), update(2), read(B)),
    (rotate(), rotate(), read(B)),
    (rotate(), revoke(), read(B)),
    (revoke(), update(2), read()),
    (revoke(), revoke(), delete()),
    (create(), revoke(), read(B)),
    (create(), read(B), delete(B)),
]


def _named(calls: Sequence[Call]) -> str:
    return "-".join(call.name for call in calls)


PAIRS = sorted({pair for calls in CALLS for pair in (calls[:2], calls[1:])}, key=_named)
SINGLE = [(delete(),), (update(2),), (take(),), (rotate(),), (revoke(),), (create(),)]


@pytest.mark.parametrize("calls", PAIRS, ids=_named)
def test_one_mover_that_may_die_anywhere(calls: tuple[Call, ...]) -> None:
    """Calls beside a mover that may stop after each of its steps behave as on one store."""
    assert Search(calls, [mover]).run() > 100


def test_a_session_that_was_published_before_is_left_at_the_source() -> None:
    """No crash leads to this, but a source that was put back: its record is no part of the move any more."""
    here = steps.of_a_mover(lambda _id, _record: True)
    records = {A: record_of(1), B: record_of(1)}
    assert next(here) == steps.Begin()
    assert here.send(1) == steps.Look(None)
    assert here.send(moves.Looked(list(records.items()), None)) == steps.Stage(1, records)
    assert here.send([stages.Staged.USED, stages.Staged.DONE]) == steps.Mark(1, {B: records[B]})
    assert here.send([B]) == steps.Leave([A])
    assert here.send(None) == steps.PublishForGood({B: moves.mark_of(records[B])})
    assert here.send(None) == steps.Clear({B: moves.mark_of(records[B])})


@pytest.mark.parametrize("calls", SINGLE, ids=_named)
@pytest.mark.slow
def test_two_movers(calls: tuple[Call, ...]) -> None:
    """A mover that is slow, or thought dead, does no harm beside another."""
    assert Search(calls, [mover, mover]).run() > 1000


@pytest.mark.slow
@pytest.mark.parametrize("calls", CALLS, ids=_named)
def test_one_mover_and_three_calls(calls: tuple[Call, ...]) -> None:
    assert Search(calls, [mover]).run() > 1000


@pytest.mark.long
@pytest.mark.parametrize("calls", [CALLS[at][:2] for at in (0, 6, 9)], ids=_named)
def test_two_movers_and_two_calls(calls: tuple[Call, ...]) -> None:
    assert Search(calls, [mover, mover]).run() > 10_000


@pytest.mark.parametrize("calls", PAIRS, ids=_named)
def test_back_from_servers_to_a_directory(calls: tuple[Call, ...]) -> None:
    """The source lists its sessions in no order, and takes no new ones; the destination decides in transactions."""
    assert Search(calls, [mover], stores=Back).run() > 100


@pytest.mark.slow
@pytest.mark.parametrize("calls", [(take(),), (rotate(),)], ids=_named)
@pytest.mark.parametrize("stores", [Back, FromServers, ToDirectory])
def test_two_movers_between_other_stores(stores: type[Stores], calls: tuple[Call, ...]) -> None:
    assert Search(calls, [mover, mover], stores=stores).run() > 1000


@pytest.mark.slow
@pytest.mark.parametrize("stores", [Back, FromServers, ToDirectory])
def test_a_rotation_beside_two_calls_between_other_stores(stores: type[Stores]) -> None:
    assert Search(CALLS[8], [mover], stores=stores).run() > 1000


def test_two_sessions_move_beside_a_revocation() -> None:
    """A subject with a session that has moved and one that has not is revoked whole."""
    assert Search([revoke(), read(B)], [mover], sessions={A: 1, B: 1}).run() > 100


# Wrong ways to move, which the search must find


class _Unchecked(Stores):
    """Stages that a mover of any epoch replaces, also after they were used; and marks of any mover."""

    def _stage(self, action: steps.Stage) -> list[stages.Staged]:
        self.stages |= {id_: action.epoch.to_bytes(8, "big") + record for id_, record in action.records.items()}
        return [stages.Staged.DONE] * len(action.records)

    def _publish(self, action: steps.Publish) -> None:
        for id_ in action.marks:
            staged = self.stages.pop(id_, None)
            if staged is not None and id_ not in self.live:
                self.live[id_] = staged[8:]

    _publishforgood = _publish

    def _mark(self, action: steps.Mark) -> list[bytes] | None:
        marked = [id_ for id_, record in action.records.items() if self.source.get(id_) == record]
        self.source |= {id_: moves.mark_of(action.records[id_]) for id_ in marked}
        return marked


class _Epochless(Stores):
    """As it should be, but for epochs."""

    def _begin(self, action: steps.Begin) -> int:
        super()._begin(action)
        return 1

    def _mark(self, action: steps.Mark) -> list[bytes] | None:
        return super()._mark(action._replace(epoch=moves.unpack_note(self.source[moves.NOTE_ID]).epoch))


class _Forgetful(Stores):
    """As it should be, but for the mark that compares bytes."""

    def _mark(self, action: steps.Mark) -> list[bytes] | None:
        marked = [id_ for id_ in action.records if id_ in self.source and moves.is_record(self.source[id_])]
        self.source |= {id_: moves.mark_of(action.records[id_]) for id_ in marked}
        return marked


class _Unlisted(FromServers):
    """A source that makes sessions although a pass does not find them."""

    takes_no_new = False


class _Unranked(Back):
    """A directory that takes the stage of any mover."""

    def _stage(self, action: steps.Stage) -> list[stages.Staged]:
        return super()._stage(action._replace(epoch=1))


class _Unmarked(Back):
    """A rotation that leaves no mark of the new session."""

    def _swap(self, action: steps.Swap) -> bool:
        swapped = super()._swap(action)
        self.source.pop(B, None)
        return swapped


class _Copy(NamedTuple):
    """Make records sessions of the destination at once."""

    records: Mapping[bytes, bytes]


class _Remove(NamedTuple):
    """Remove sessions from the source, whatever they are by now."""

    records: Mapping[bytes, bytes]


class _Plain(Stores):
    def _copy(self, action: _Copy) -> None:
        self.live |= action.records

    def _remove(self, action: _Remove) -> None:
        for id_ in action.records:
            self.source.pop(id_, None)

    def carry_out(self, action: Any, call: Call | None) -> Any:
        if isinstance(action, _Copy):
            return self._copy(action)
        if isinstance(action, _Remove):
            return self._remove(action)
        return super().carry_out(action, call)


def _plainly(first: type[Any], second: type[Any]) -> Callable[[], Steps]:
    def make() -> Steps:
        yield steps.Begin()
        at = None
        while True:
            items, at = yield steps.Look(at)
            yield first(dict(items))
            yield second(dict(items))
            if at is None:
                return

    return make


def _violates(calls: Sequence[Call], movers: Sequence[Callable[[], Steps]], **options: Any) -> None:
    with pytest.raises(Violation):
        Search(calls, movers, **options).run()


def test_copy_then_delete_loses_an_update_and_a_revocation() -> None:
    way = _plainly(_Copy, _Remove)
    _violates([update(2), read()], [way], stores=_Plain, finish=way)
    _violates([delete(), read()], [way], stores=_Plain, finish=way)


def test_delete_then_insert_logs_users_out() -> None:
    way = _plainly(_Remove, _Copy)
    _violates([read()], [way], stores=_Plain, finish=way)


@pytest.mark.slow
def test_two_movers_without_epochs_and_used_stages_bring_sessions_back() -> None:
    _violates([delete(), read()], [mover, mover], stores=_Unchecked)


def test_two_movers_without_epochs_lose_an_update() -> None:
    _violates([update(2)], [mover, mover], stores=_Epochless)


def test_a_mark_that_does_not_compare_loses_an_update() -> None:
    _violates([update(2)], [mover], stores=_Forgetful)


def test_a_pass_in_no_order_misses_what_a_rotation_makes() -> None:
    _violates([rotate()], [mover], stores=_Unlisted)


def test_a_directory_that_takes_late_stages_loses_an_update() -> None:
    _violates([update(2)], [mover, mover], stores=_Unranked)


def test_a_rotation_that_leaves_no_mark_escapes_a_revocation() -> None:
    _violates([rotate(), revoke()], [mover], stores=_Unmarked)


def test_a_call_that_does_not_publish_takes_a_session_for_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless() -> steps.CallSteps:
        found = yield steps.At.SOURCE
        return found.value or (yield steps.At.DESTINATION)

    monkeypatch.setattr(steps, "of_one_session", careless)
    _violates([read()], [mover])
