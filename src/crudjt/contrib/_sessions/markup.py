"""Keep `Markup`, text that is HTML already, in sessions of Flask: as a dict of one key, as Flask's own serializer does.

A dict that looks like that gets an underscore behind its key, so that it comes back as it was.
"""

from typing import Any

from markupsafe import Markup

from crudjt._core.extensions import SCALARS
from crudjt._core.type_guards import is_dict, is_list, is_tuple

_KEY = " m"


def tagged(value: Any) -> Any:
    """Return a value in which dicts take the place of `Markup`."""
    if isinstance(value, Markup):
        return {_KEY: str(value)}
    if is_dict(value):
        key = _lookalike(value)
        if key is not None:
            return {f"{key}_": tagged(value[key])}
        return {key: each if type(each) in SCALARS else tagged(each) for key, each in value.items()}
    if is_list(value) and _is_exactly(value, list):
        return [each if type(each) in SCALARS else tagged(each) for each in value]
    if is_tuple(value) and _is_exactly(value, tuple):
        return tuple(tagged(each) for each in value)
    return value


def untagged(value: Any) -> Any:
    """Return the value that `tagged` was given."""
    if is_dict(value):
        key = _lookalike(value)
        if key == _KEY:
            return Markup(value[key])  # noqa: S704 - it was Markup when it was stored
        if key is not None:
            return {key[:-1]: untagged(value[key])}
        return {key: each if type(each) in SCALARS else untagged(each) for key, each in value.items()}
    if is_list(value):
        return [each if type(each) in SCALARS else untagged(each) for each in value]
    if is_tuple(value):
        return tuple(untagged(each) for each in value)
    return value


def _lookalike(value: dict[Any, Any]) -> str | None:
    """Return the key of a dict that looks like a tag, with any number of underscores behind it."""
    if len(value) != 1:
        return None
    key = next(iter(value))
    return key if isinstance(key, str) and key.rstrip("_") == _KEY else None


def _is_exactly(value: object, kind: type) -> bool:
    return type(value) is kind
