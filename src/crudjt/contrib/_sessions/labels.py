"""The labels of a browser's session, by which an identity provider or the application itself ends it."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from crudjt._core.details import checked_labels
from crudjt.contrib._sessions.states import Held


class Labelled:
    """A session with labels, which are stored with a new token."""

    _held: Held | None
    _new_labels: tuple[str, ...] | None = None  # by this request

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that `Store.revoke` finds the session by, as in `Store.create`.

        Set them after the login: they are stored with the new token. They stay until the session ends.

        Raises:
            InvalidParameter: they cannot be kept.
            RuntimeError: the response has begun, so no cookie with a new token can be sent.

        """
        if self._new_labels is not None:
            return self._new_labels
        self.keys()  # loads it, in Django
        read = self._held.read if self._held is not None else None
        return () if read is None else read.labels

    @labels.setter
    def labels(self, labels: Iterable[str]) -> None:
        self._require_headers()
        self._new_labels = checked_labels(labels)
        self.rotate()

    @abstractmethod
    def keys(self) -> Any:
        """Return the keys of the data."""

    @abstractmethod
    def rotate(self) -> None:
        """Give the session a new token."""

    @abstractmethod
    def _require_headers(self) -> None:
        """Raise `RuntimeError` if no cookie with a new token can be sent."""
