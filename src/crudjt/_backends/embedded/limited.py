"""Creations and rotations that keep a limit of the sessions of a subject, which they count in their own transaction."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from crudjt._core.changes import SUBJECT, Change

Result = TypeVar("Result")


class _Indexed:
    """A write transaction as an `IndexReader`."""

    def __init__(self, transaction: Any) -> None:
        self._transaction = transaction
        self.get = transaction.get

    def filed(self, tag: bytes) -> list[bytes]:
        """Return the ids that are filed under a subject tag."""
        prefix = SUBJECT + tag
        ids: list[bytes] = []
        with self._transaction.cursor() as cursor:
            if cursor.set_range(prefix):
                for key in cursor.iternext(keys=True, values=False):
                    if not key.startswith(prefix):
                        break
                    ids.append(key[len(prefix) :])
        return ids


def within_limit(
    transaction: Any, decide: Callable[..., tuple[Result, Sequence[Change]]], *arguments: Any
) -> tuple[Result, Sequence[Change]]:
    """Decide as `decide`, which asks for the sessions of a subject."""
    return decide(_Indexed(transaction), *arguments)
