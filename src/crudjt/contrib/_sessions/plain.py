"""The two writes that nearly all requests leave, without the state machine of `core`: changed data, and a login.

An adapter makes such a write itself, and notes it where it succeeds. Where another request has ended or changed the
session, it gives the answer of the store to `core.save`, whose first call that is.
"""

from abc import abstractmethod
from typing import Any

import msgspec

from crudjt.contrib._sessions.calls import Data
from crudjt.contrib._sessions.labels import Labelled
from crudjt.contrib._sessions.lifetime import Lasting
from crudjt.contrib._sessions.merge import Storable, storable
from crudjt.contrib._sessions.reserved import is_bare
from crudjt.contrib._sessions.states import Held


class Plain(msgspec.Struct, frozen=True):
    """A write of the data of a session that a request found.

    Attributes:
        held: the session.
        data: what the store takes.
        after: the same, packed.
        changes: whether that is something else than what the request found.

    """

    held: Held
    data: Data
    after: bytes
    changes: bool

    @property
    def inside(self) -> list[Any] | None:
        """The values that may change inside; ``None`` where it is not known."""
        return self.data.inside if isinstance(self.data, Storable) else None

    def updated(self) -> Held:
        """Return the session with this data."""
        held = self.held
        return Held(held.token, held.id, held.subject, held.version + 1, self.after, held.read, held.device)

    def rotated(self, token: str, subject: str | None) -> Held:
        """Return the session after a login."""
        return Held(token, None, subject, self.held.version + self.changes, self.after)


def plain_write(held: Held, data: Data) -> Plain:
    """Return the write of data in which keys were set."""
    stored, after = storable(data)
    return Plain(held, stored, after, after != held.before)


class PlainlyWritten(Lasting, Labelled):
    """A session that tells such writes from all others."""

    _held: Held | None
    _subject: str | None

    _dirty = False  # whether keys were set or removed since it was last stored
    _login = False
    _rotates = False
    _renews = False
    _ends = False
    _begun = False

    _inside: list[Any] | None = None  # values that may change inside, while no key is set; `None` before the first look
    _differs = False  # whether it may differ from what is stored although no key was set

    def plain_change(self) -> Plain | None:
        """Return the write if the request leaves changed data and nothing else, else ``None``."""
        held = self._held
        if held is None or not self._dirty or self._login or self._rotates or self._renews or self._ends:
            return None
        data = self._joined()
        if self._chosen or is_bare(data):
            return None
        change = plain_write(held, data)
        return change if change.changes else None

    def note_change(self, change: Plain) -> None:
        """Take over that a change was written."""
        self._held = change.updated()
        self._note(change)

    def plain_login(self) -> Plain | None:
        """Return the write if the session goes on with a login, and nothing was chosen for it, else ``None``."""
        held = self._held
        if held is None or not self._login or self._ends:
            return None
        if self._chosen or self._hidden or self._new_labels is not None:
            return None
        return plain_write(held, self._joined())

    def note_login(self, login: Plain, token: str) -> None:
        """Take over that a login was stored."""
        self._login = self._rotates = self._renews = False
        self._held = login.rotated(token, self._subject)
        self._note(login)

    def _note(self, written: Plain) -> None:
        self._begun = True
        self._dirty = False
        self._inside = written.inside
        self._differs = written.inside is None

    @abstractmethod
    def _joined(self) -> Data:
        """Return the data to store."""
