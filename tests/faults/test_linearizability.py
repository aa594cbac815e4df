"""The checker of histories agrees with trying every order, and knows the classic contradictions."""

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.model.linearizability import CONFLICT, NEVER, UNKNOWN, Call, SessionState, contradiction, step

FRESH = SessionState(0, 0, 1, 0)


def read(invoked: int, returned: int, answer: object, token: int = 0) -> Call:
    return Call(invoked, returned, "read", (token, 0, None), answer)


def update(invoked: int, returned: int, value: int, answer: object = True, version: int | None = None) -> Call:
    return Call(invoked, returned, "update", (0, value, version), answer)


def delete(invoked: int, returned: int, answer: object = True) -> Call:
    return Call(invoked, returned, "delete", (0, 0, None), answer)


def by_brute_force(initial: SessionState, calls: list[Call]) -> bool:
    """Try every order of all calls, with and without those that were not answered."""
    certain = [call for call in calls if call.returned != NEVER]
    pending = [call for call in calls if call.returned == NEVER]
    for mask in range(1 << len(pending)):
        chosen = certain + [call for number, call in enumerate(pending) if mask >> number & 1]
        if any(keeps_time(order) and explains(initial, order) for order in permutations(chosen)):
            return True
    return False


def keeps_time(order: tuple[Call, ...]) -> bool:
    return not any(late.returned < early.invoked for at, early in enumerate(order) for late in order[at + 1 :])


def explains(initial: SessionState, order: tuple[Call, ...]) -> bool:
    states = [initial]
    for call in order:
        states = [after for state in states for after in step(state, call)]
    return bool(states)


ANSWERS = {
    "read": st.sampled_from([None, (0, 1, 0), (1, 2, 0), (2, 2, 0), (0, 1, 1), (0, 1, 2)]),
    "update": st.sampled_from([True, False, (CONFLICT, 1), (CONFLICT, 2)]),
    "delete": st.booleans(),
    "revoke": st.sampled_from([0, 1]),
    "rotate": st.sampled_from([None, 1]),
}


@st.composite
def calls(draw: st.DrawFn) -> Call:
    name = draw(st.sampled_from(sorted(ANSWERS)))
    invoked = draw(st.integers(0, 12))
    argument = None if name == "revoke" else (0, draw(st.integers(1, 2)), draw(st.sampled_from([None, 1, 2])))
    if draw(st.integers(0, 5)) == 0:
        return Call(invoked, NEVER, name, argument, UNKNOWN)
    return Call(invoked, invoked + draw(st.integers(1, 6)), name, argument, draw(ANSWERS[name]))


@settings(max_examples=300)
@given(history=st.lists(calls(), max_size=5), reads_left=st.sampled_from([0, 0, 2]))
def test_the_checker_agrees_with_trying_every_order(history: list[Call], reads_left: int) -> None:
    initial = FRESH._replace(reads_left=reads_left)
    assert (contradiction(initial, history) is None) == by_brute_force(initial, history)


def test_operations_that_overlap_may_come_in_either_order() -> None:
    assert contradiction(FRESH, [update(0, 10, 5), read(1, 2, (0, 1, 0)), read(3, 4, (5, 2, 0))]) is None


def test_what_one_has_seen_the_next_must_not_miss() -> None:
    stale = [update(0, 10, 5), read(1, 2, (5, 2, 0)), read(3, 4, (0, 1, 0))]
    assert contradiction(FRESH, stale) is not None


def test_an_ended_session_stays_ended() -> None:
    assert contradiction(FRESH, [delete(0, 1), read(2, 3, None)]) is None
    assert contradiction(FRESH, [delete(0, 1), read(2, 3, (0, 1, 0))]) is not None
    assert contradiction(FRESH, [delete(0, 1), update(2, 3, 5)]) is not None


def test_a_killed_process_has_done_its_operation_or_not() -> None:
    killed = update(0, NEVER, 5, UNKNOWN)
    assert contradiction(FRESH, [killed, read(1, 2, (0, 1, 0))]) is None
    assert contradiction(FRESH, [killed, read(1, 2, (5, 2, 0))]) is None
    assert contradiction(FRESH, [killed, read(1, 2, (5, 2, 0)), read(3, 4, (0, 1, 0))]) is not None


def test_a_limited_session_is_read_as_often_as_it_may_be() -> None:
    limited = FRESH._replace(reads_left=2)
    good = [read(0, 1, (0, 1, 1)), read(2, 3, (0, 1, 0)), read(4, 5, None)]
    assert contradiction(limited, good) is None
    assert contradiction(limited, [*good, read(6, 7, (0, 1, 0))]) is not None
    assert contradiction(limited, [read(0, 1, (0, 1, 1)), read(2, 3, None)]) is not None


def test_of_two_updates_with_one_version_one_conflicts() -> None:
    assert contradiction(FRESH, [update(0, 9, 1, version=1), update(0, 9, 2, (CONFLICT, 2), 1)]) is None
    assert contradiction(FRESH, [update(0, 9, 1, version=1), update(0, 9, 2, version=1)]) is not None


def test_a_rotated_token_is_dead_and_the_new_one_lives() -> None:
    rotated = Call(0, 1, "rotate", (0, 0, None), 1)
    assert contradiction(FRESH, [rotated, read(2, 3, None), read(2, 3, (0, 1, 0), token=1)]) is None
    assert contradiction(FRESH, [rotated, read(2, 3, (0, 1, 0))]) is not None
