"""Type guards for values of any type: `isinstance` alone leaves pyright without the types of the items."""

from collections.abc import Collection, Mapping
from typing import Any, TypeGuard


def is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    """Tell whether a value is a dict."""
    return isinstance(value, dict)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Tell whether a value is a mapping, such as a dict."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Tell whether a value is a list."""
    return isinstance(value, list)


def is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    """Tell whether a value is a tuple."""
    return isinstance(value, tuple)


def is_set(value: object) -> TypeGuard[Collection[Any]]:
    """Tell whether a value is a set or a frozenset."""
    return isinstance(value, set | frozenset)
