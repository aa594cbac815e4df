"""Carry out calls at the store that decides about their sessions, by the steps of `crudjt._backends.moving.steps`."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from crudjt._backends.moving import steps
from crudjt._backends.moving.mover import check
from crudjt._backends.moving.ports import Destination, Source
from crudjt._backends.moving.steps import At, CallSteps, Outcome, Publish, StageNew, Swap
from crudjt._core.moves import NO_EPOCH, Marked, Rotation, RotationRefused
from crudjt._core.tokens import PLACE
from crudjt.base import Store
from crudjt.errors import StoreMoved

Result = TypeVar("Result")


class CallDriver:
    """Carries out calls at the two stores of a move."""

    def __init__(self, source: Source, destination: Destination) -> None:
        """Take both stores."""
        self._source = source
        self._destination = destination
        self._is_checked = False

    def of_one_session(self, call: Callable[[Store], Result]) -> Result:
        """Return the result of a call about one session, which is false where a store has no such session."""

        def at_source() -> Outcome:
            value = call(self._source.store)
            # Looked at after the call: until then nothing was at the destination.
            return Outcome(value, has_begun=not value and self._source.has_begun)

        result: Result = self._drive(steps.of_one_session(), at_source, call)
        return result

    def of_a_new_session(self, call: Callable[[Store], Result]) -> Result:
        """Return the result of a call that makes sessions."""

        def at_source() -> Outcome:
            try:
                return Outcome(call(self._source.store))
            except StoreMoved:
                return Outcome(None, has_begun=True)

        result: Result = self._drive(steps.of_a_new_session(), at_source, call)
        return result

    def of_a_subject(
        self,
        at_source: Callable[[], tuple[Result, Mapping[bytes, bytes]]],
        at_destination: Callable[[Store], Result],
        add: Callable[[Any, Any], Any] = operator.add,
    ) -> Result:
        """Return the result of a call about many sessions, which is made of those of both stores.

        Args:
            at_source: returns the result of the source, and the marks that it met, by id.
            at_destination: returns the result of the destination.
            add: joins the two.

        """

        def outcome_at_source() -> Outcome:
            return Outcome(*at_source(), has_begun=self._source.has_begun)  # as above

        result: Result = self._drive(steps.of_a_subject(add), outcome_at_source, at_destination)
        return result

    def _drive(
        self, call_steps: CallSteps, at_source: Callable[[], Outcome], at_destination: Callable[[Store], Any]
    ) -> Any:
        answer: Any = None
        while True:
            try:
                step = call_steps.send(answer)
            except StopIteration as end:
                return end.value
            match step:
                case At.SOURCE:
                    answer = _met(at_source)
                case At.DESTINATION:
                    answer = at_destination(self._joined().store)
                case Publish(marks):
                    # Else a failure could bring the records back after the sessions changed.
                    self._source.sync_marks(marks)
                    answer = self._joined().publish(marks)
                case StageNew(rotation):
                    answer = self._joined().stage(NO_EPOCH, {rotation.id: rotation.record})
                case Swap(rotation):
                    answer = self._swap(rotation)

    def _swap(self, rotation: Rotation) -> bool:
        """Swap; where another subject has its place elsewhere, the new session may have been met before: end it."""
        swapped = False
        try:
            swapped = rotation.swap()
        finally:
            if not swapped and rotation.id[PLACE] != rotation.old[1][PLACE]:
                self._destination.publish(rotation.marks)
                self._destination.store.revoke_id(rotation.id.hex())
        return swapped

    def _joined(self) -> Destination:
        """Return the destination, once the move that has begun is known to be the one to it.

        Raises:
            StoreInaccessible: it is not. Another host may have a directory of the same name.

        """
        if not self._is_checked:
            check(self._source, self._destination)
            self._is_checked = True
        return self._destination


def _met(call: Callable[[], Outcome]) -> Outcome:
    """Return the outcome of a call at the source, also if it met a mark."""
    try:
        return call()
    except Marked as met:
        return Outcome(None, {met.id: met.mark}, has_begun=True)
    except RotationRefused as met:
        return Outcome(None, has_begun=True, refused=met.rotation)
