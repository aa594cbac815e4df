"""The commit port: a decision reads through a `Reader` and returns its result and the changes to commit.

A decision reads its `Reader` and its arguments (the time is one of them), nothing else, and changes nothing. A backend
commits all of its changes, or none if what was read has changed.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from crudjt._core.details import Details

INSERT, REPLACE, DELETE = 1, 2, 3  # as in the log, docs/format.md

SESSION = b"t"  # before an id: the key of a record
SUBJECT = b"s"  # before a subject tag and an id: the key of an index entry
LABEL = b"l"  # before a label tag and an id: likewise

Change = tuple[int, bytes, bytes]
"""One step of a transaction: kind, id, and the new record, or for a delete the one that goes."""

Result = TypeVar("Result")


class Reader(Protocol):
    """Read access of a decision: the records as of the last commit."""

    @abstractmethod
    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""


class _Nothing(Reader):
    """A store without records."""

    def get(self, key: bytes) -> bytes | None:  # noqa: ARG002 - a `Reader` takes it
        return None


NOTHING = _Nothing()
"""The `Reader` of a decision that is to use what is `Known`, or else to find nothing."""


class Known(Protocol):
    """A session that a backend has decrypted before.

    A decision may use it in place of its record if ``words[word] == noted``, which it looks at within the transaction:
    else the session may have changed since. That it is no method saves 1 % of a write.
    """

    id: bytes
    head: bytes  # the header's bytes
    subject: str | None
    details: Details | None
    key: int  # of the keyring, counted from the newest
    packed: bytes  # the data
    until_ns: int  # 0 if it has no limits
    words: "memoryview[int]"
    word: int
    noted: int


Decision = Callable[..., tuple[Result, Sequence[Change]]]
"""A pure function of a `Reader` and its arguments, which returns a result and the changes that make it true."""
