"""The session core by itself: what it yields for what a request found and left, and for every answer of the store."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

import crudjt
from crudjt import KEEP
from crudjt._core.session import Envelope
from crudjt.contrib._sessions.calls import Call, Create, Delete, Lifetime, Peek, Rotate, Touch, Update
from crudjt.contrib._sessions.core import save
from crudjt.contrib._sessions.merge import adopt, merge, own, packed, storable
from crudjt.contrib._sessions.reserved import LIFETIME, join, split
from crudjt.contrib._sessions.states import Done, Held, Left, Phase, found
from tests.support.types import EXAMPLES, typed

NEW = Lifetime(100, 10)
KEPT = Lifetime()
OLD, TOKEN = "old", "new"
BEFORE = {"cart": 1, "gone": 1}
AGAIN = crudjt.VersionConflict(3, 4)
FAILS = crudjt.StoreClosed()
REFUSED = crudjt.InvalidParameter("data", "data is refused")


@dataclass
class Stored:
    """A session as another request has left it."""

    data: dict[str, Any]
    version: int = 4
    id: str = "1" * 32
    subject: str | None = None
    reads_left: int | None = None
    bound_to: str | None = None
    _envelope: Envelope = field(default_factory=lambda: Envelope(b"", b"", None, None))


THEIRS = Stored({"cart": 2, "gone": 1, "theirs": 1})


def lifetime(_data: Mapping[Any, Any], held: Held | None) -> Lifetime:
    return NEW if held is None else KEPT


def held(subject: str | None = None, data: Mapping[str, Any] = BEFORE) -> Held:
    return Held(OLD, "0" * 32, subject, 3, packed(data))


def left(data: Mapping[str, Any], subject: str | None = None, **more: Any) -> Left:
    return Left(dict(data), subject, lifetime, **more)


@dataclass
class Run:
    """What the core did with the answers it was given."""

    calls: list[Call] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    done: Done | None = None
    error: Exception | None = None


def run(found: Held | None, leaves: Left, *answers: Any) -> Run:
    """Give the core answers; an exception other than a conflict is thrown in."""
    steps, seen = save(found, leaves), Run()
    try:
        call = next(steps)
        for answer in answers:
            seen.calls.append(call)
            seen.answers.append(answer)
            thrown = isinstance(answer, Exception) and not isinstance(answer, crudjt.VersionConflict)
            call = steps.throw(answer) if thrown else steps.send(answer)
        seen.calls.append(call)
    except StopIteration as end:
        seen.done = end.value
    except crudjt.CrudjtError as error:
        seen.error = error
    return seen


def done(seen: Run) -> Done:
    assert seen.done is not None, seen
    return seen.done


# Rows of the table of behaviours


def test_nothing_found_and_nothing_left_calls_nothing() -> None:
    assert run(None, left({})) == Run(done=Done("keep", None))


def test_the_first_keys_create_a_session() -> None:
    seen = run(None, left({"a": 1}), TOKEN)
    assert seen.calls == [Create({"a": 1}, None, NEW)]
    assert done(seen) == Done("set", Held(TOKEN, None, None, 1, packed({"a": 1})))


def test_a_login_is_one_transaction_with_new_limits() -> None:
    seen = run(held(), left({"cart": 1, "gone": 1, "user": "ada"}, "ada", login=True), TOKEN)
    assert seen.calls == [Rotate(OLD, {"cart": 1, "gone": 1, "user": "ada"}, "ada", NEW, 3)]
    now = done(seen).held
    assert now is not None
    assert (done(seen).cookie, now.token, now.id, now.subject, now.version) == ("set", TOKEN, None, "ada", 4)
    assert done(seen).merged is None


def test_a_login_that_changes_no_key_sends_no_data() -> None:
    seen = run(held("ada"), left(BEFORE, "ada", login=True), TOKEN)
    assert seen.calls == [Rotate(OLD, None, "ada", NEW, None)]


def test_a_login_keeps_the_keys_of_other_requests() -> None:
    seen = run(held(), left({"cart": 1, "user": "ada"}, "ada", login=True), AGAIN, THEIRS, TOKEN)
    merged = {"cart": 2, "theirs": 1, "user": "ada"}
    assert seen.calls[1:] == [Peek(OLD), Rotate(OLD, merged, "ada", NEW, 4)]
    assert done(seen).merged == merged
    now = done(seen).held
    assert now == Held(TOKEN, None, "ada", 5, packed(merged))  # what a late change is compared with


@pytest.mark.parametrize("answers", [(None,), (AGAIN, None), (AGAIN, THEIRS, None)])
def test_a_login_whose_session_has_ended_begins_one_with_its_own_keys(answers: tuple[Any, ...]) -> None:
    seen = run(held(), left({"cart": 1, "gone": 1, "user": "ada"}, "ada", login=True), *answers, TOKEN)
    assert seen.calls[-1] == Create({"user": "ada"}, "ada", NEW)
    assert done(seen).merged == {"user": "ada"}
    assert done(seen).cookie == "set"


def test_another_user_gets_a_session_with_what_was_set_after_the_login() -> None:
    seen = run(held("ada"), left({"user": "bob"}, "bob", login=True, ends=True), TOKEN)
    assert seen.calls == [Rotate(OLD, {"user": "bob"}, "bob", NEW, None, client=None, labels=())]
    assert done(seen).cookie == "set"


def test_a_logout_ends_the_session_and_removes_the_cookie() -> None:
    seen = run(held("ada"), left({}, ends=True), True)
    assert seen.calls == [Delete(OLD)]
    assert done(seen) == Done("forget", None)


def test_what_is_set_after_a_logout_begins_another_session() -> None:
    seen = run(held("ada"), left({"a": 1}, ends=True), TOKEN)
    assert seen.calls == [Rotate(OLD, {"a": 1}, None, NEW, None, client=None, labels=())]
    assert done(seen) == Done("set", Held(TOKEN, None, None, 4, packed({"a": 1})))


@pytest.mark.parametrize("error", [REFUSED, FAILS])
def test_a_logout_holds_where_the_next_session_is_refused(error: Exception) -> None:
    seen = run(held("ada"), left({"a": 1}, ends=True), error, True)
    assert seen.calls[-1] == Delete(OLD)
    assert seen.error is error


def test_a_request_that_failed_ends_what_it_logged_out_and_writes_nothing_else() -> None:
    failed = left({"a": 1}, "bob", login=True, ends=True, phase=Phase.FAILED)
    assert run(held("ada"), failed, True).calls == [Delete(OLD)]
    assert run(held("ada"), replace(failed, ends=False)) == Run(done=Done("keep", held("ada")))
    assert run(None, failed) == Run(done=Done("keep", None))


def test_unchanged_data_is_not_written() -> None:
    assert run(held(), left(BEFORE)) == Run(done=Done("keep", held()))


def test_changed_keys_are_merged_and_the_last_writer_wins() -> None:
    seen = run(held(), left({"cart": 5}), AGAIN, THEIRS, True)
    assert seen.calls == [
        Update(OLD, {"cart": 5}, KEPT, 3),
        Peek(OLD),
        Update(OLD, {"cart": 5, "theirs": 1}, KEPT, 4),
    ]
    now = done(seen).held
    assert now is not None
    assert (now.token, now.version, now.before) == (OLD, 5, packed({"cart": 5, "theirs": 1}))


def test_limits_come_from_the_merged_data() -> None:
    leaves = Left({"cart": 5}, None, lambda data, _held: Lifetime(60 if "theirs" in data else 1000))
    seen = run(held(), leaves, AGAIN, THEIRS, True)
    assert [call.lifetime.ttl for call in seen.calls if isinstance(call, Update)] == [1000, 60]
    seen = run(held(), replace(leaves, login=True, subject="ada"), AGAIN, THEIRS, TOKEN)
    assert [call.lifetime.ttl for call in seen.calls if isinstance(call, Rotate)] == [1000, 60]


@pytest.mark.parametrize("answers", [(False,), (AGAIN, None), (AGAIN, THEIRS, False)])
def test_a_session_that_has_ended_is_not_written_and_the_cookie_stays(answers: tuple[Any, ...]) -> None:
    seen = run(held(), left({"cart": 5}), *answers)
    assert done(seen) == Done("keep", held(), lost=True)


def test_a_rotation_without_changes_keeps_data_limits_and_subject() -> None:
    seen = run(held("ada"), left(BEFORE, "ada", rotates=True), TOKEN)
    assert seen.calls == [Rotate(OLD, None, KEEP, KEPT, None)]
    assert done(run(held("ada"), left(BEFORE, "ada", rotates=True), None)).lost


def test_renewed_limits_need_no_data() -> None:
    assert run(held(), left(BEFORE, touches=True), True).calls == [Touch(OLD, KEPT)]
    assert done(run(held(), left(BEFORE, touches=True), False)).lost


def test_a_session_without_its_last_key_ends_unless_another_request_has_set_one() -> None:
    seen = run(held(), left({}), True, True)
    assert seen.calls == [Update(OLD, {}, KEPT, 3), Delete(OLD)]
    assert done(seen) == Done("forget", None)
    seen = run(held(), left({}), AGAIN, THEIRS, True)
    assert done(seen).cookie == "keep"
    assert done(seen).merged == {"theirs": 1}


def test_keys_that_are_set_too_late_for_a_cookie_are_not_stored(caplog: pytest.LogCaptureFixture) -> None:
    assert run(None, left({"a": 1}, phase=Phase.AFTER_HEADERS)) == Run(done=Done("keep", None))
    assert len(caplog.records) == 1


def test_a_late_logout_ends_the_session_and_what_follows_is_not_stored(caplog: pytest.LogCaptureFixture) -> None:
    assert run(held("ada"), left({"a": 1}, ends=True, phase=Phase.AFTER_HEADERS), True).calls == [Delete(OLD)]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("ttl", [0, -1])
def test_a_session_whose_lifetime_is_over_is_not_created(ttl: int) -> None:
    leaves = Left({"a": 1}, None, lambda _data, _held: Lifetime(ttl))
    assert run(None, leaves) == Run(done=Done("forget", None))
    assert run(held(), replace(leaves, ends=True), True).calls == [Delete(OLD)]


def test_without_end_a_conflict_is_raised() -> None:
    seen = run(held(), left({"cart": 5}), *itertools.islice(itertools.cycle([AGAIN, THEIRS]), 200))
    assert isinstance(seen.error, crudjt.VersionConflict)


def test_a_token_of_limited_reads_is_no_session() -> None:
    assert found(OLD, None) is None
    assert found(OLD, Stored({}, reads_left=0)) is None  # type: ignore[arg-type] # what the core reads of a session
    assert found(OLD, Stored({"a": 1})).before == packed({"a": 1})  # type: ignore[arg-type, union-attr] # as above


# Every answer at every step

_ANSWERS: dict[type, tuple[Any, ...]] = {
    Create: (TOKEN, FAILS, REFUSED),
    Update: (True, False, AGAIN, FAILS, REFUSED),
    Touch: (True, False, FAILS),
    Peek: (THEIRS, None, FAILS),
    Rotate: (TOKEN, None, AGAIN, FAILS, REFUSED),
    Delete: (True, False, FAILS),
}

_FOUND = [None, held(), held("ada", BEFORE | {"user": "ada"})]
_DATA: list[dict[str, Any]] = [{}, BEFORE, {"cart": 5}, {"user": "ada"}, BEFORE | {"user": "bob"}]
_FLAGS = ["login", "rotates", "ends", "touches"]
_LEFT = [
    left(data, data.get("user"), phase=phase, **dict(zip(_FLAGS, flags, strict=True)))
    for data in _DATA
    for phase in Phase
    for flags in itertools.product([False, True], repeat=len(_FLAGS))
]


def paths(found: Held | None, leaves: Left, answers: tuple[Any, ...] = ()) -> Iterator[Run]:
    """Yield what the core does for every sequence of answers."""
    seen = run(found, leaves, *answers)
    if seen.done is not None or seen.error is not None:
        yield seen
    elif len(answers) < 6:
        call = seen.calls[-1]
        for answer in _ANSWERS[type(call)]:
            if answer is not AGAIN or not isinstance(call, Rotate) or call.if_version is not None:
                yield from paths(found, leaves, (*answers, answer))


@pytest.mark.parametrize("found", _FOUND, ids=["no session", "of no user", "of ada"])
@pytest.mark.parametrize("phase", Phase)
def test_whatever_the_store_answers_the_rules_hold(found: Held | None, phase: Phase) -> None:
    for leaves in _LEFT:
        if leaves.phase is phase:
            for seen in paths(found, leaves):
                _check(found, leaves, seen)


def _check(found: Held | None, leaves: Left, seen: Run) -> None:
    made = [answer for answer in seen.answers if answer == TOKEN]
    thrown = [each for each in seen.answers if each is FAILS or each is REFUSED]
    kinds = [type(call) for call in seen.calls]
    # A failure is never an answer, and no session is left that no browser knows.
    assert seen.error in (thrown[0] if thrown else None, AGAIN, thrown[-1] if thrown else None)
    assert (seen.error is None) == (seen.done is not None)
    assert not (made and seen.error)
    if seen.done is not None and made:
        assert seen.done.cookie == "set"
        assert seen.done.held is not None
        assert seen.done.held.token == TOKEN
    elif seen.done is not None:
        assert seen.done.cookie != "set"
    # No cookie can be sent late or for a failure.
    if leaves.phase is not Phase.BEFORE_HEADERS:
        assert not {Create, Rotate} & set(kinds)
    if leaves.phase is Phase.FAILED:
        assert set(kinds) <= {Delete}
    # A logout holds.
    if leaves.ends and found is not None and not thrown:
        assert kinds[0] in (Delete, Rotate)
    if leaves.ends and Rotate in kinds and thrown and kinds[-1] is not Create:
        assert kinds[-1] is Delete
    # What has ended does not return, and only a login begins a session in its place.
    gone = [index for index, answer in enumerate(seen.answers) if answer is None or answer is False]
    if found is not None and gone and not leaves.ends:
        for call in seen.calls[gone[0] + 1 :]:
            assert isinstance(call, Create)
            assert leaves.login
            assert not call.data.keys() & {key for key in BEFORE if leaves.data.get(key) == BEFORE[key]}


# Data


def test_data_is_merged_key_by_key() -> None:
    before = packed({"a": 1, "b": [1], "c": 1})
    assert merge(before, {"a": 1, "b": [1, 2]}, {"a": 5, "b": [1], "c": 1, "d": 1}) == {"a": 5, "b": [1, 2], "d": 1}
    assert own(before, {"a": 1, "b": [2], "e": 1}) == {"b": [2], "e": 1}
    assert own(before, {"a": True}) == {"a": True}


def test_values_that_no_other_request_changed_stay_the_same_objects() -> None:
    cart = [1]
    data = {"cart": cart, "a": 1, "gone": 1}
    adopt(data, {"a": 2, "cart": [1]})
    assert list(data.items()) == [("a", 2), ("cart", cart)]
    assert data["cart"] is cart


class Text(str):
    __slots__ = ()


def test_subclasses_become_what_the_store_takes_and_everything_else_stays() -> None:
    other = object()
    data, _ = storable({Text("a"): (Text("b"), {"c": Text("d")}, {Text("f")}), "e": other})
    assert typed(data) == typed({"a": ("b", {"c": "d"}, {"f"}), "e": other})
    assert packed({"a": other}) == b""
    assert packed({"a": Text("b")}) == packed({"a": "b"})


def test_values_that_are_no_types_of_messagepack_are_compared_by_value_and_type() -> None:
    numbers = set(range(100))
    again = set(range(99, -1, -1))
    for value in [*EXAMPLES.values(), numbers]:
        before = packed({"a": value, "b": 1})
        assert merge(before, {"a": value, "b": 2}, {"a": "theirs", "b": 1}) == {"a": "theirs", "b": 2}
    assert own(packed({"a": numbers}), {"a": again}) == {}
    assert own(packed({"a": (1,)}), {"a": [1]}) == {"a": [1]}


# Reserved keys


def test_reserved_keys_are_split_off_and_stored_last() -> None:
    stored = join({"a": 1}, {LIFETIME: 60})
    assert list(stored) == ["a", LIFETIME]
    assert split(stored) == ({"a": 1}, {LIFETIME: 60})
    assert split({"a": 1}) == ({"a": 1}, {})


def test_a_merge_stores_reserved_keys_last_so_that_equal_data_has_equal_bytes() -> None:
    merged = merge(packed({"a": 1}), {"a": 1, "b": 2}, {"a": 1, LIFETIME: 60})
    assert list(merged) == ["a", "b", LIFETIME]


def test_a_session_with_nothing_but_reserved_keys_does_not_begin_and_ends() -> None:
    assert run(None, left({LIFETIME: 60})) == Run(done=Done("keep", None))
    seen = run(held(), left({LIFETIME: 60}), True, True)
    assert seen.calls[1:] == [Delete(OLD)]
