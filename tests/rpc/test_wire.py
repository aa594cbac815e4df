"""Errors that travel between processes."""

from pathlib import Path
from typing import Any

import grpc
import pytest

import crudjt
from crudjt import errors
from crudjt._rpc import errors as rpc_errors
from crudjt._rpc.proto.v1 import store_pb2
from crudjt.errors import CrudjtError
from tests.support.errors import EXAMPLES, error_classes

# Two are abstract, one is about this process, and one about its model.
STAYS_HERE = {CrudjtError, errors.StoreError, errors.MissingDependency, errors.DataMismatch}

TRAVELLERS = [(error, fields) for error, fields in EXAMPLES if type(error) not in STAYS_HERE]
each_example = pytest.mark.parametrize(
    ("error", "fields"), TRAVELLERS, ids=[type(error).__name__ for error, _ in TRAVELLERS]
)


def encoded(error: BaseException) -> bytes:
    ((key, value),) = rpc_errors.status_of(error)[2]
    assert key == rpc_errors.ERROR_KEY
    return value


def test_every_error_has_a_form() -> None:
    assert set(rpc_errors.FORMS) == set(error_classes().values()) - STAYS_HERE


def test_every_message_of_the_protocol_has_its_error() -> None:
    fields = [field.name for field in store_pb2.Error.DESCRIPTOR.fields]
    assert sorted(fields) == sorted(form.field for form in rpc_errors.FORMS.values())


@each_example
def test_an_error_arrives_as_it_was_raised(error: CrudjtError, fields: dict[str, Any]) -> None:
    arrived = rpc_errors.error_of(encoded(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    for name, value in fields.items():
        assert getattr(arrived, name) == value
        assert type(getattr(arrived, name)) is type(value)


@each_example
def test_the_status_says_what_kind_of_error_it_is(error: CrudjtError, fields: dict[str, Any]) -> None:
    code, details, _ = rpc_errors.status_of(error)
    assert code is not grpc.StatusCode.OK
    assert (code is grpc.StatusCode.INVALID_ARGUMENT) is isinstance(error, crudjt.InvalidParameter)
    assert details == str(error)


def test_the_status_codes_are_as_the_protocol_documents_them() -> None:
    proto = Path(store_pb2.DESCRIPTOR.name)
    text = (Path(crudjt.__file__).parents[1] / proto).read_text()
    documented = {}
    for line in text.splitlines():
        words = line.removeprefix("//").replace(",", " ").split()
        if words and words[0] in grpc.StatusCode.__members__:
            documented.update(dict.fromkeys(set(words[1:]) & error_classes().keys(), words[0]))
    assert documented == {kind.__name__: form.code.name for kind, form in rpc_errors.FORMS.items()}


def test_a_fault_of_the_server_tells_the_client_nothing() -> None:
    code, details, metadata = rpc_errors.status_of(RuntimeError("hunter2"))
    assert (code, metadata) == (grpc.StatusCode.INTERNAL, ())
    assert "hunter2" not in details


def test_a_path_that_is_no_text_does_not_hide_the_error() -> None:
    error = crudjt.StoreFull(Path("/place/\udcff"), "the disk is full")
    assert isinstance(rpc_errors.error_of(encoded(error)), crudjt.StoreFull)


@pytest.mark.parametrize("unknown", [b"", b"\xff\xff", b"\xfa\x07\x00"], ids=["empty", "malformed", "newer"])
def test_an_error_of_an_unknown_kind_is_none(unknown: bytes) -> None:
    """Then the status code is all there is to go by."""
    assert rpc_errors.error_of(unknown) is None
