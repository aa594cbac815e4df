"""The session of a browser as an application sees it: a dict that notes logins, logouts and rotations."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from crudjt._core.details import Client
from crudjt._core.session import Session
from crudjt.contrib._device_bound.binding import binding_of
from crudjt.contrib._sessions.calls import Data
from crudjt.contrib._sessions.guarded_dict import GuardedDict
from crudjt.contrib._sessions.merge import adopt, changeable, is_same, merge, packed, packed_data
from crudjt.contrib._sessions.plain import PlainlyWritten
from crudjt.contrib._sessions.reserved import KEYS, join, refuse, split
from crudjt.contrib._sessions.states import Done, Held, Left, LifetimeOf, Phase, subject_of
from crudjt.contrib._sessions.switching import Claim


class BrowserSession(GuardedDict, PlainlyWritten):
    """The session of a browser: a dict that is stored if it was changed, also deep inside its values.

    Attributes:
        accessed: whether the response depends on it.
        modified: whether keys were set or removed. Set it to renew the lifetime of a session that is unchanged.

    """

    # Defaults of the class, here and in its bases: that is quicker than to set them in each session.
    accessed: bool = False
    modified: bool = False

    claim: Claim | None = None
    """The claim to the cookie of an old session, whose data this is until it is stored."""

    end_old: Callable[[], Awaitable[None]] | None = None
    """Ends that session where it is stored."""

    def __init__(
        self, data: dict[str, Any] | None = None, held: Held | None = None, subject_key: str | None = None
    ) -> None:
        """Take what is stored, or nothing for a session that is new."""
        if data:
            if not data.keys().isdisjoint(KEYS):
                data, self._hidden = split(data)
            super().__init__(data)
        self._held = held
        self._subject_key = subject_key
        self._subject = held.subject if held else None
        if subject_key is not None and data and subject_key in data:  # not in self: that may note a look
            self._subject = subject_of(data[subject_key])

    @property
    def subject(self) -> str | None:
        """The user id that the session is filed under, for `sessions_of` and `revoke_user`.

        To assign it is to log in, also with the value that it has: the session gets a new token, and the old one is
        dead. What was put into the session before there was a user stays; the data of another user does not. ``None``
        logs out. With a `subject_key`, it is the value of that key.

        Raises:
            RuntimeError: the response has begun, so no cookie with a new token can be sent.

        """
        return self._subject

    @subject.setter
    def subject(self, subject: str | None) -> None:
        if self._subject_key is None:
            self._assign(subject)
        elif subject is None:
            self.pop(self._subject_key, None)
        else:
            self[self._subject_key] = subject

    @property
    def id(self) -> str | None:
        """The handle, as `Session.id`: no token. ``None`` until it is stored, and from a login to the next request."""
        held = self._current()
        return None if held is None else held.id

    @property
    def token(self) -> str | None:
        """The token; ``None`` until a session is stored, and from a login until the response begins."""
        held = self._current()
        return None if held is None else held.token

    @property
    def device_bound(self) -> bool:
        """Whether the session is of use only with the key of the browser's device; see `docs/device-bound.md`."""
        binding = binding_of(self._hidden)
        return binding is not None and binding.registered

    def rotate(self) -> None:
        """Give the session a new token when the response begins; the old one is dead. Call it when rights change.

        Raises:
            RuntimeError: the response has begun, so no cookie with a new token can be sent.

        """
        self._require_headers()
        self._rotates = True

    def clear(self) -> None:
        """End the session: log out. What is set afterwards begins another session."""
        super().clear()
        self._hidden = {}
        self._subject = self._new_labels = None
        self._login = self._rotates = False
        self._ends = self.accessed = self.modified = self._dirty = True

    def replace(self, data: Mapping[str, Any]) -> None:
        """Replace all data. The session gets a new token if the user is another, or if no key names the user."""
        key = self._subject_key
        if key is None and not self._begun:
            self._rotates = True
        if key is not None and self._subject is not None and subject_of(data.get(key)) != self._subject:
            self.clear()
        for each in self.keys() - data.keys():
            del self[each]
        for each, value in data.items():
            if each == key and self._begun and subject_of(value) == self._subject:
                super().__setitem__(each, value)  # too late for a login, and none is meant
            else:
                self[each] = value

    def mark_accessed(self) -> None:
        """Note that the response depends on the session; the framework calls it."""
        self.accessed = True

    # A dict, of which each change is noted

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a key; that of the user is a login."""
        if key in KEYS:
            refuse(key)
        if key == self._subject_key:
            self._assign(subject_of(value))
        self.accessed = self.modified = self._dirty = True
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        """Remove a key; that of the user is a logout."""
        super().__delitem__(key)
        self.accessed = self.modified = self._dirty = True
        if key == self._subject_key and self._subject is not None:
            self.clear()

    def __repr__(self) -> str:
        """Return how many keys it holds, and none of them."""
        return f"<{type(self).__name__} of {len(self)} keys>"

    # For the adapters

    @property
    def held(self) -> Held | None:
        """The session as it is stored, also where a login or a logout is about to replace it."""
        return self._held

    @property
    def ends(self) -> bool:
        """Whether the request has ended the session that it found, but not stored that yet."""
        return self._ends

    @property
    def is_stored(self) -> bool:
        """Whether the request leaves nothing to store: no change, also deep inside, no login, rotation or logout.

        It may be ``False`` for keys that were set to the values they had; `core.save` looks at those.
        """
        if self._dirty or self._login or self._rotates or self._ends or (self._renews and self.accessed):
            return False
        held = self._held
        if held is None:
            if self.claim is not None and not self.accessed:  # first: a `WatchedSession` notes the other look
                return True
            return not self and self._subject is None
        if not self._differs:
            inside = self._inside
            if inside is None:
                self._inside = inside = changeable(self)
            if is_same(held.before, self._joined(), inside):
                return True
        return held.equals(packed(self._joined()))

    def renew(self) -> None:
        """Have the session get a new token as the response begins, if the request looks at it."""
        self._renews = True

    def take_over(self, read: Session) -> None:
        """Take over what other requests have stored since the session was read, under what this one has changed."""
        held = self._held
        if held is None or read.version == held.version:
            return
        theirs = read.data
        mine = self._joined()
        changed = not held.equals(packed(mine))
        self._differs = True
        self._adopt(merge(held.before, mine, theirs) if changed else theirs)
        device = binding_of(read.data)
        self._held = Held(held.token, read.id, read.subject, read.version, packed_data(read), read, device)

    def left(
        self,
        lifetime: LifetimeOf,
        phase: Phase,
        *,
        touches: bool = False,
        max_sessions: int | None = None,
        binds: bool = False,
        client: Client | None = None,
        renews: bool = True,
    ) -> Left:
        """Return what the request leaves, for `core.save`; with `renews`, it may get a new token as `renew` says."""
        self._begun = True
        return Left(
            self._joined(),
            self._subject,
            lifetime,
            phase,
            self._login,
            self._rotates or (renews and self._renews and self.accessed),
            self._ends,
            touches,
            sets=self._dirty,
            max_sessions=max_sessions,
            binds=binds and self._subject is not None,
            client=client,
            labels=self._new_labels,
            login_keys=() if self._subject_key is None else (self._subject_key,),
        )

    def seal(self) -> None:
        """Note that no cookie can be sent from now on."""
        self._begun = True

    def seal_if_stored(self) -> bool:
        """Return whether there is nothing to store as the response begins; no cookie can be sent then from now on."""
        if self._dirty or not self.is_stored:
            return False
        self._begun = True
        return True

    def take(self, done: Done) -> None:
        """Take over what was stored."""
        self._held = done.held
        if done.held is not None or done.cookie != "keep":
            self.claim = self.end_old = None
        self._differs = True
        self._dirty = False
        self._login = self._rotates = self._renews = self._ends = False
        self._chosen = frozenset()
        if done.merged is not None:
            self._adopt(done.merged)

    @property
    def chosen(self) -> frozenset[str]:
        """The keys of the limits that the request has chosen, and that are not stored yet."""
        return self._chosen

    def hide(self, key: str, value: Any) -> None:
        """Keep a value under a reserved key until the session ends; ``None`` removes it."""
        super().hide(key, value)
        self.accessed = self.modified = self._dirty = True

    def _joined(self) -> Data:
        return join(self, self._hidden)

    def _adopt(self, merged: Data) -> None:
        visible, self._hidden = split(merged)
        adopt(self, visible)

    def identify(self, done: Done) -> None:
        """Take over the handle of a session that has begun, which had to be looked up."""
        self._held = done.held

    def _current(self) -> Held | None:
        return None if self._login or self._rotates or self._ends else self._held

    def _assign(self, subject: str | None) -> None:
        """Log in, or out."""
        if subject is not None:
            self._require_headers()
        if self._subject is not None and self._subject != subject:
            self.clear()
        self._subject = subject
        self._login = subject is not None

    def _require_headers(self) -> None:
        if self._begun:
            raise RuntimeError("the response has begun: a cookie with a new token can no longer be sent")
