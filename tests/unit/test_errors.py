"""Errors: one root, a tree that is as its docstring draws it, typed fields, and nothing secret."""

import copy
import inspect
import pickle
import re

import pytest

import crudjt
from crudjt import errors
from crudjt.errors import CrudjtError
from tests.support.errors import EXAMPLES, error_classes

each_example = pytest.mark.parametrize(
    ("error", "fields"), EXAMPLES, ids=[type(error).__name__ for error, _ in EXAMPLES]
)


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
