"""Errors: one root, a tree that is as its docstring draws it, typed fields, and nothing secret."""

import copy
import inspect
import pickle
import re
from pathlib import Path

import pytest

import crudjt
from crudjt import errors
from crudjt.errors import CrudjtError

PATH = Path("place")
EXAMPLES: list[tuple[CrudjtError, dict[str, object]]] = [
    (
        crudjt.InvalidParameter("ttl", "ttl must be above 0"),
        {"parameter": "ttl", "message": "ttl must be above 0"},
    ),
    (
        crudjt.InvalidType("token", "token must be a str"),
        {"parameter": "token", "message": "token must be a str"},
    ),
    (crudjt.DataTooLarge(5000, 4096), {"size": 5000, "limit": 4096, "parameter": "data"}),
    (crudjt.VersionConflict(1, 2), {"expected": 1, "actual": 2}),
    (crudjt.MissingDependency("gRPC", "grpc"), {"dependency": "gRPC", "extra": "grpc"}),
    (crudjt.StoreClosed(), {}),
    (crudjt.StoreUnavailable("grpc://host", "no answer"), {"location": "grpc://host", "reason": "no answer"}),
    (crudjt.StoreBusy(PATH, "is being recovered", 1.5), {"path": PATH, "reason": "is being recovered", "waited": 1.5}),
    (crudjt.StoreFull(PATH, "the disk is full"), {"path": PATH, "reason": "the disk is full"}),
    (crudjt.StoreFailed(PATH, "a sync failed"), {"path": PATH, "reason": "a sync failed"}),
    (crudjt.StoreInaccessible(PATH, "is a file"), {"path": PATH, "reason": "is a file"}),
    (crudjt.StoreFormatError(PATH, 2, 1), {"path": PATH, "found": 2, "supported": 1}),
    (crudjt.StoreCorrupt(PATH, 4096, "the CRC differs"), {"path": PATH, "offset": 4096, "reason": "the CRC differs"}),
]
each_example = pytest.mark.parametrize(
    ("error", "fields"), EXAMPLES, ids=[type(error).__name__ for error, _ in EXAMPLES]
)


def error_classes() -> dict[str, type[CrudjtError]]:
    found = {name: each for name, each in vars(errors).items() if inspect.isclass(each)}
    return {name: each for name, each in found.items() if issubclass(each, CrudjtError)}


def test_every_error_has_one_root() -> None:
    defined = {each for each in vars(errors).values() if inspect.isclass(each) and each.__module__ == errors.__name__}
    assert defined == set(error_classes().values())
    assert CrudjtError.__bases__ == (Exception,)


def test_every_error_can_be_reached_from_crudjt() -> None:
    for name, each in error_classes().items():
        assert getattr(crudjt, name) is each


def test_the_tree_is_as_the_docstring_draws_it() -> None:
    drawn: dict[str, str] = {}
    ancestors: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ([│ ]*(?:[├└]── )?)(\w+)", line)
        if found is None or found[2] not in error_classes():
            continue
        depth = len(found[1]) // 4
        del ancestors[depth:]
        drawn[found[2]] = ancestors[-1] if ancestors else "Exception"
        ancestors.append(found[2])
    assert drawn == {name: each.__bases__[0].__name__ for name, each in error_classes().items()}


def test_every_error_is_tried_below() -> None:
    abstract = {CrudjtError, errors.StoreError}
    assert {type(error) for error, _ in EXAMPLES} == set(error_classes().values()) - abstract


def test_a_bad_parameter_is_also_a_value_error() -> None:
    assert issubclass(crudjt.InvalidParameter, ValueError)
    assert not issubclass(crudjt.StoreError, ValueError)


def test_a_parameter_of_the_wrong_type_is_also_a_type_error() -> None:
    assert issubclass(crudjt.InvalidType, TypeError)
    assert issubclass(crudjt.InvalidType, ValueError)
    assert not issubclass(crudjt.InvalidParameter, TypeError)


def test_a_missing_dependency_is_also_an_import_error() -> None:
    assert issubclass(crudjt.MissingDependency, ImportError)


def test_errors_of_the_store_and_of_the_call_are_apart() -> None:
    for each in (crudjt.InvalidParameter, crudjt.DataTooLarge, crudjt.VersionConflict, crudjt.MissingDependency):
        assert not issubclass(each, crudjt.StoreError)


@each_example
def test_an_error_carries_typed_fields(error: CrudjtError, fields: dict[str, object]) -> None:
    for name, value in fields.items():
        assert getattr(error, name) == value


@each_example
def test_the_message_says_what_the_fields_hold(error: CrudjtError, fields: dict[str, object]) -> None:
    assert str(error)
    for value in fields.values():
        assert str(value) in str(error)


@each_example
def test_an_error_survives_the_way_between_processes(error: CrudjtError, fields: dict[str, object]) -> None:
    """A pool of processes pickles what its workers raise, and breaks on what does not come back."""
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        for name, value in fields.items():
            assert getattr(again, name) == value
