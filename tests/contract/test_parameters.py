"""Bad parameters are refused by name, before anything is changed."""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import crudjt
from crudjt import KEEP

NUMBERS = [0, -1, -0.5, math.nan, math.inf, -math.inf, 10**12, 2**80, True, "60", b"60", [60], object()]
DURATIONS = [*NUMBERS, timedelta(), timedelta(seconds=-1), timedelta.max]
READS = [0, -1, 1.0, 1.5, math.nan, 2**63, True, "5", [5]]
VERSIONS = [0, -1, 1.0, True, "1", KEEP]
SUBJECTS = [5, b"x", True, ["x"], "", "x" * 1025, "é" * 513, "\ud800"]
HANDLES = [None, 5, b"0" * 32, "", "0" * 31, "0" * 33, "g" * 32, "A" * 32, "0" * 32 + "\n", " " + "0" * 31, "A" * 22]
TOKENS = ["A" * 22, None, 5, object()]

Call = Callable[[crudjt.Store, str, Any], object]

CASES: list[tuple[str, str, list[Any], Call]] = [
    ("create", "ttl", [*DURATIONS, KEEP], lambda store, _token, bad: store.create({}, bad)),
    ("create", "max_reads", [*READS, KEEP], lambda store, _token, bad: store.create({}, None, bad)),
    ("create", "idle", [*DURATIONS, KEEP], lambda store, _token, bad: store.create({}, idle=bad)),
    ("create", "subject", SUBJECTS, lambda store, _token, bad: store.create({}, subject=bad)),
    ("create_many", "data", [None, 5, object()], lambda store, _token, bad: store.create_many(bad)),
    ("create_many", "ttl", DURATIONS, lambda store, _token, bad: store.create_many([{}], bad)),
    ("create_many", "max_reads", READS, lambda store, _token, bad: store.create_many([{}], None, bad)),
    ("create_many", "idle", DURATIONS, lambda store, _token, bad: store.create_many([{}], idle=bad)),
    ("create_many", "subject", SUBJECTS, lambda store, _token, bad: store.create_many([{}], subject=bad)),
    ("update", "ttl", DURATIONS, lambda store, token, bad: store.update(token, {}, bad)),
    ("update", "max_reads", READS, lambda store, token, bad: store.update(token, {}, max_reads=bad)),
    ("update", "idle", DURATIONS, lambda store, token, bad: store.update(token, {}, idle=bad)),
    ("update", "if_version", VERSIONS, lambda store, token, bad: store.update(token, {}, if_version=bad)),
    ("touch", "ttl", DURATIONS, lambda store, token, bad: store.touch(token, bad)),
    ("touch", "idle", DURATIONS, lambda store, token, bad: store.touch(token, idle=bad)),
    ("rotate", "data", [5, "x", b"\x80", [], [("a", 1)]], lambda store, token, bad: store.rotate(token, data=bad)),
    ("rotate", "subject", SUBJECTS, lambda store, token, bad: store.rotate(token, subject=bad)),
    ("rotate", "ttl", DURATIONS, lambda store, token, bad: store.rotate(token, ttl=bad)),
    ("rotate", "idle", DURATIONS, lambda store, token, bad: store.rotate(token, idle=bad)),
    ("sessions", "subject", [None, *SUBJECTS], lambda store, _token, bad: list(store.sessions(bad))),
    ("revoke", "subject", [None, *SUBJECTS], lambda store, _token, bad: store.revoke(bad)),
    ("revoke", "keep", [5, b"A" * 22, object()], lambda store, _token, bad: store.revoke("x", keep=bad)),
    ("revoke_id", "id", HANDLES, lambda store, _token, bad: store.revoke_id(bad)),
    ("revoke_id", "subject", SUBJECTS, lambda store, _token, bad: store.revoke_id("0" * 32, subject=bad)),
    ("read_many", "tokens", TOKENS, lambda store, _token, bad: store.read_many(bad)),
    ("delete_many", "tokens", TOKENS, lambda store, _token, bad: store.delete_many(bad)),
]


def cases(count: int | None) -> pytest.MarkDecorator:
    """Return a test's parameters: so many bad values of each parameter, or all."""
    return pytest.mark.parametrize(
        ("parameter", "bad", "call"),
        [
            pytest.param(parameter, bad, call, id=f"{method}-{parameter}-{type(bad).__name__}-{position}")
            for method, parameter, values, call in CASES
            for position, bad in enumerate(values[:count])
        ],
    )


@pytest.mark.table
@cases(None)
def test_a_bad_parameter_is_named_and_changes_nothing(
    store: crudjt.Store, parameter: str, bad: Any, call: Call
) -> None:
    assert_refused(store, parameter, bad, call)


@cases(1)
def test_every_backend_checks_each_parameter(store: crudjt.Store, parameter: str, bad: Any, call: Call) -> None:
    assert_refused(store, parameter, bad, call)


def assert_refused(store: crudjt.Store, parameter: str, bad: Any, call: Call) -> None:
    token = store.create({"kept": True}, ttl=60, max_reads=5, subject="x")
    before = facts(store)
    with pytest.raises(crudjt.InvalidParameter) as caught:
        call(store, token, bad)
    assert caught.value.parameter == parameter
    assert str(caught.value).startswith(parameter)
    assert isinstance(caught.value, ValueError)
    assert facts(store) == before


def facts(store: crudjt.Store) -> tuple[object, ...]:
    """Return all that a refused call might have changed."""
    stats = store.stats()
    return (
        stats.sessions,
        stats.log_bytes,
        [(each.id, each.data, each.version, each.reads_left, each.expires_at) for each in store.sessions("x")],
    )


@pytest.mark.parametrize("method", ["update", "touch", "rotate"])
def test_a_bad_parameter_is_refused_for_an_unknown_token_too(store: crudjt.Store, method: str) -> None:
    """An answer of False would hide the mistake until the first token that exists."""
    calls: dict[str, Callable[[], object]] = {
        "update": lambda: store.update("A" * 22, {}, ttl=0),
        "touch": lambda: store.touch("A" * 22, ttl=0),
        "rotate": lambda: store.rotate("A" * 22, ttl=0),
    }
    with pytest.raises(crudjt.InvalidParameter):
        calls[method]()
