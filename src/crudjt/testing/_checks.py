"""Checks that the tests of the contract share."""

from collections.abc import Callable
from typing import TypeVar

from crudjt._core.session import Session

Error = TypeVar("Error", bound=Exception)

TOKEN_CHARACTERS = 22


def alive(session: Session | None) -> Session:
    """Return a session, which must be alive."""
    assert session is not None, "the session should be alive"
    return session


def raised(kind: type[Error], call: Callable[[], object]) -> Error:
    """Return the error that a call raises, which must be of a kind."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} should have been raised")
