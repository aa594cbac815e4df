"""Models: how the data of a session is made from an instance of an application's class, and the reverse."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec.inspect import DataclassType, StructType, TypedDictType, type_info

from crudjt._core.session import Session, with_data
from crudjt.errors import DataMismatch, InvalidType

Data = TypeVar("Data")

Migrate = Callable[[dict[Any, Any]], Any]
"""Changes data that does not fit a model into data that does, or into an instance."""

# What a store returns as it was given. All else, such as an Enum, is spelled with these, and the model reads it.
_KEPT = (bytes, bytearray, datetime, date, time, timedelta, Decimal, UUID)

# The errors of msgspec that begin so name fields and types of the model only; others may quote the data.
_WITHOUT_DATA = ("Expected `", "Object missing required field")


class _Misfit(Exception):
    """Data does not fit a model, for this reason. It holds nothing of the data."""


class Model(Generic[Data]):
    """A class whose instances are the data of sessions: a msgspec Struct, dataclass, TypedDict or pydantic model."""

    def __init__(self, kind: type[Data], migrate: Migrate | None = None) -> None:
        """Take the class, and what changes data that does not fit it.

        Raises:
            InvalidType: it is no such class, or has a field of a type that cannot be stored.

        """
        self._name = getattr(kind, "__name__", repr(kind))
        self._migrate = migrate
        self._write: Callable[[Any], object] = _to_builtins
        self._read: Callable[[Any], Data]
        if hasattr(kind, "model_validate") and hasattr(kind, "model_dump"):
            self._read, self._write = partial(_validated, kind), _dumped
        else:
            _check_class(kind, self._name)
            self._read = partial(_converted, kind)

    def packed(self, value: Data) -> dict[Any, Any]:
        """Return the data of an instance.

        Raises:
            InvalidType: it is none of the model, or has a value of another type than its field says.

        """
        try:
            data = self._write(value)
        except (TypeError, AttributeError) as error:
            raise InvalidType("data", f"data must be of the model {self._name}: {_reason(error)}") from None
        if not isinstance(data, dict):
            raise InvalidType("data", f"data must be of the model {self._name}, not {type(value).__name__}")
        try:
            self._read(data)  # or it would be found when it is read
        except _Misfit as misfit:
            raise InvalidType("data", f"data does not fit the model {self._name}: {misfit}") from None
        return data  # pyright: ignore[reportUnknownVariableType] # a dict of any

    def session(self, session: Session) -> Session[Data]:
        """Return a session with an instance as its data.

        Raises:
            DataMismatch: the data does not fit the model, nor what `migrate` made of it.

        """
        try:
            return with_data(session, self._read(session.data))
        except _Misfit as misfit:
            if self._migrate is None:
                raise DataMismatch(session.id, self._name, str(misfit)) from None
        migrated = self._migrate(session.data)
        try:
            return with_data(session, self._read(self._write(migrated)))
        except (_Misfit, TypeError, AttributeError) as error:
            raise DataMismatch(session.id, self._name, f"after migrate, {_reason(error)}") from None

    def found(self, session: Session | None) -> Session[Data] | None:
        """Return the same as `session`, and ``None`` for ``None``."""
        return None if session is None else self.session(session)


def _check_class(kind: Any, name: str) -> None:
    info = None
    try:
        info = type_info(kind)
    except Exception as error:  # noqa: BLE001 - whatever reading an annotation raises
        if isinstance(kind, type):
            raise InvalidType("model", f"model {name} has a field that cannot be stored: {_reason(error)}") from None
    if not isinstance(info, StructType | DataclassType | TypedDictType) or getattr(info, "array_like", False):
        raise InvalidType(
            "model",
            "model must be a msgspec Struct that is not array_like, a dataclass, a TypedDict or a pydantic model; "
            f"{name} is none of them",
        )


def _to_builtins(value: object) -> object:
    return msgspec.to_builtins(value, builtin_types=_KEPT)


def _converted(kind: Any, data: object) -> Any:
    try:
        return msgspec.convert(data, kind, builtin_types=_KEPT)
    except msgspec.ValidationError as error:
        raise _Misfit(_reason(error)) from None


def _dumped(value: Any) -> object:
    if hasattr(value, "model_dump"):  # its warnings would show the data
        value = value.model_dump(by_alias=True, round_trip=True, warnings=False)
    return _to_builtins(value)


def _validated(kind: Any, data: object) -> Any:
    try:
        return kind.model_validate(data)
    except ValueError as error:  # pydantic's ValidationError
        raise _Misfit(_pydantic_reason(kind, error)) from None


def _pydantic_reason(kind: Any, error: Any) -> str:
    """Return the field and the kind of the first error; its message may quote the data."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = first["loc"][0] if first["loc"] else None
    return f"{first['type']} at `{where}`" if where in kind.model_fields else str(first["type"])


def _reason(error: Exception) -> str:
    """Return what an error says, without what it may quote of the data."""
    if isinstance(error, _Misfit):
        return str(error)
    text = str(error)
    if isinstance(error, msgspec.ValidationError) and not text.startswith(_WITHOUT_DATA):
        return "a value is not allowed" + text[text.rindex(" - at ") :] if " - at " in text else "it is not allowed"
    return text
