"""All errors of this package, as one tree.

    CrudjtError
    ├── InvalidParameter (also a ValueError)    a value the caller passed
    │   ├── InvalidType (also a TypeError)      a value of the wrong type
    │   └── DataTooLarge                        data over ``max_data_bytes``
    ├── VersionConflict                         ``update(if_version=…)`` met another version
    ├── TooManySessions                         the subject has ``max_sessions`` already, and none is to end
    ├── DataMismatch                            the data of a session does not fit the model of a typed store
    ├── MissingDependency (also an ImportError) a package of an extra is not installed
    └── StoreError                              the store, not the call, is at fault
        ├── StoreClosed                         used after ``close()``
        ├── StoreUnavailable                    a remote store did not answer
        ├── StoreBusy                           other processes hold what this one needs
        ├── StoreFull                           no space on the disk or in memory, or ``max_size`` reached
        ├── StoreFailed                         the disk refused a write, or files were replaced; reopen to recover
        ├── StoreMoved                          its sessions are moved to another store
        ├── StoreInaccessible                   no permission, not a directory, network file system, wrong access token
        ├── StoreFormatError                    written by a newer version
        └── StoreCorrupt                        stored bytes are damaged, with file and offset

A missing, expired, used-up or foreign token is never an error: it is ``None`` or ``False``. The reverse holds too: a
store that fails raises, and never answers "no such token". No error holds a token, a secret key or a value of the data;
data that cannot be stored is described by the path to it, ``['cart'][2]``, and its type.
"""

from pathlib import Path
from typing import Any


class CrudjtError(Exception):
    """The root of every error this package raises on purpose. Each can be pickled and copied."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to rebuild it without its constructor, which takes other arguments than the message."""
        return _made_again, (type(self), self.args, vars(self))


def _made_again(kind: type[CrudjtError], arguments: tuple[Any, ...], fields: dict[str, Any]) -> CrudjtError:
    error = kind.__new__(kind, *arguments)
    vars(error).update(fields)
    return error


class InvalidParameter(CrudjtError, ValueError):
    """A parameter has a value that is not allowed."""

    def __init__(self, parameter: str, problem: str) -> None:
        """Take the name of the parameter, and a sentence with what was wrong and how to correct it."""
        super().__init__(problem)
        self.parameter = parameter
        self.problem = problem


class InvalidType(InvalidParameter, TypeError):
    """A parameter is of a type that is not allowed."""


class DataTooLarge(InvalidParameter):
    """The data packs to more bytes than ``max_data_bytes``."""

    def __init__(self, size: int, limit: int, option: str = "max_data_bytes") -> None:
        """Take the size and the limit, in bytes of MessagePack, and the name of what sets the limit."""
        super().__init__("data", f"data takes {size} bytes in MessagePack, and at most {limit} are allowed ({option})")
        self.size = size
        self.limit = limit


class VersionConflict(CrudjtError):
    """The session was updated since the version the caller named."""

    def __init__(self, expected: int, actual: int) -> None:
        """Take the caller's ``if_version`` and the stored version."""
        super().__init__(f"the session is at version {actual}, not {expected}")
        self.expected = expected
        self.actual = actual


class TooManySessions(CrudjtError):
    """A subject has as many live sessions as it may have, and ``when_full="refuse"`` was said."""

    def __init__(self, max_sessions: int) -> None:
        """Take the limit that was given."""
        super().__init__(
            f"the subject has {max_sessions} live sessions or more already, which is its limit (max_sessions)"
        )
        self.max_sessions = max_sessions


class DataMismatch(CrudjtError):
    """The data of a session does not fit the model of a typed store, such as data that an older version stored."""

    def __init__(self, session: str, model: str, problem: str) -> None:
        """Take the `Session.id`, the name of the model, and what does not fit, without any of the data."""
        super().__init__(
            f"the data of session {session} does not fit the model {model}: {problem}; give typed() a function "
            "migrate= that changes such data, or end the session"
        )
        self.session = session
        self.model = model
        self.problem = problem


class MissingDependency(CrudjtError, ImportError):
    """A feature needs packages that are not installed; the message has the command that installs them."""

    def __init__(self, dependency: str, extra: str) -> None:
        """``dependency`` is what is missing, ``extra`` the extra of the distribution `crudjt-store` that brings it."""
        super().__init__(f"{dependency} is not installed; install it with: pip install 'crudjt-store[{extra}]'")
        self.dependency = dependency
        self.extra = extra


class StoreError(CrudjtError):
    """The store failed; this says nothing about the token."""


class StoreClosed(StoreError):
    """The store was used after it was closed."""

    def __init__(self) -> None:
        """Take no arguments: the message is always the same."""
        super().__init__("the store is closed")


class StoreUnavailable(StoreError):
    """A remote store did not answer: connection lost, server down or overloaded, or time limit exceeded.

    The operation may have been carried out or not; it is not repeated. The next call connects again. In Valkey or Redis
    servers it also says that a change was carried out, and that fewer replicas have it than were asked for.
    """

    def __init__(self, location: str, reason: str) -> None:
        """Take the location as given to `crudjt.open`, and the reason in words."""
        super().__init__(f"{location}: {reason}")
        self.location = location
        self.reason = reason


class StoreBusy(StoreError):
    """Other processes hold the store in a way that excludes this one, or no file descriptor is free."""

    def __init__(self, path: Path | str, reason: str, waited: float) -> None:
        """Take the path or the location, the reason, and the seconds that were waited."""
        super().__init__(f"{path}: {reason}" + (f" (waited {waited:.1f} s)" if waited else ""))
        self.path = path
        self.reason = reason
        self.waited = waited


class StoreFull(StoreError):
    """There is no space for the change, on the disk or in a server's memory; it was not made, and nothing was lost.

    Only `delete_many` and `revoke` may have ended some of many sessions.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        """Take the path or the location, and which limit was reached."""
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class StoreFailed(StoreError):
    """The disk failed, or files of the store were replaced or removed while it was open.

    Every process must close the store, and the next to open it recovers it. A Valkey or Redis server raises it with an
    error that has no other meaning here.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        """Take the path or the location, and the operation that failed."""
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class StoreInaccessible(StoreError):
    """The location cannot hold a store, or this process may not use it."""

    def __init__(self, path: Path | str, reason: str) -> None:
        """Take the path, or the location of a remote store, and the reason in words."""
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class StoreMoved(StoreError):
    """The sessions of the store are moved to another, or from another to this one, and it was not opened for that.

    Open the store that they come from, with ``moving_to=`` the location of the other.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        """Take the path or the location, and the reason in words."""
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class StoreFormatError(StoreError):
    """The store was written in a format that this version does not know."""

    def __init__(self, path: Path | str, found: int, supported: int) -> None:
        """Take the path or the location, and both format numbers, as in ``docs/format.md``."""
        super().__init__(f"{path}: format {found} is newer than this version of crudjt knows ({supported}); upgrade it")
        self.path = path
        self.found = found
        self.supported = supported


class StoreCorrupt(StoreError):
    """Stored bytes are damaged. ``crudjt doctor`` explains and repairs."""

    def __init__(self, path: Path | str, offset: int | None, reason: str) -> None:
        """Take the file, the offset in bytes of the first damaged structure, and the reason.

        Of a store without files it is the location, and no offset.
        """
        place = path if offset is None else f"{path}, offset {offset}"
        super().__init__(f"{place}: {reason}; see: crudjt doctor")
        self.path = path
        self.offset = offset
        self.reason = reason
