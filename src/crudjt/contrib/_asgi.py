"""The session of a browser as a request of an asynchronous framework holds it: a dict, and how it is written back.

No more is written than was changed, and nothing to a session that has ended. Requests of one session that run at the
same time keep each other's keys; of two that change the same key, the last to be written wins.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import crudjt
from crudjt.aio import AsyncStore
from crudjt.contrib._merge import Before, plain

logger = logging.getLogger("crudjt.contrib")

Outcome = Literal["kept", "begun", "ended"]

_MAX_CONFLICTS = 100  # each of them is another request that has written: a hundred in a row is a fault


@dataclass(frozen=True)
class Held:
    """A stored session as a request found it, or left it at its last write."""

    token: str = field(repr=False)
    handle: str
    subject: str | None = field(repr=False)
    version: int
    before: Before = field(repr=False)


class BrowserSession(dict[str, Any]):
    """The session of a browser: a dict that is written back where it was changed, also deep inside its values."""

    def __init__(self, data: Mapping[str, Any] | None = None, held: Held | None = None) -> None:
        """Take what is stored, or nothing for a session that is new."""
        super().__init__(data or {})
        self.accessed = False
        self._held = held
        self._subject = held.subject if held else None
        self._cleared = False
        self._rotates = False
        self._begun = False

    @property
    def subject(self) -> str | None:
        """Whom the session belongs to: a user id, under which `Store.sessions` and `Store.revoke` find it.

        To set it is to log in: the session gets a new token, and the old one dies. What was put into the session before
        anybody logged in stays in it; the data of another subject does not.
        """
        return self._subject

    @subject.setter
    def subject(self, subject: str | None) -> None:
        self.rotate()
        if self._subject is not None and self._subject != subject:
            self.clear()
        self._subject = subject

    @property
    def id(self) -> str | None:
        """The public handle, as `Session.id`; ``None`` before the session is stored."""
        return self._held.handle if self._held else None

    @property
    def token(self) -> str | None:
        """The token, for ``revoke(subject, keep=…)``; ``None`` before the session is stored."""
        return self._held.token if self._held else None

    def rotate(self) -> None:
        """Move the session to a new token when the response begins, and let the old one die: at a change of rights."""
        self._require_headers()
        self._rotates = True

    def clear(self) -> None:
        """End the session: log out. What is put into it afterwards begins another."""
        super().clear()
        self._subject = None
        self._cleared = True

    def replace(self, data: Mapping[str, Any]) -> None:
        """Put other data in the place of all there is. It stays the same session."""
        super().clear()
        self.update(data)

    def mark_accessed(self) -> None:
        """Note that the response depends on the session; the framework calls it."""
        self.accessed = True

    def _require_headers(self) -> None:
        if self._begun:
            raise RuntimeError("the response has begun: no new token can be sent any more")

    def __repr__(self) -> str:
        """Say how much it holds, and nothing of it."""
        return f"<{type(self).__name__} of {len(self)} keys>"

    # Storing

    @classmethod
    async def load(cls, store: AsyncStore, token: str | None) -> "BrowserSession":
        """Return the session of a cookie, an empty one if the cookie names none that is alive.

        A token with a limited number of reads is a link or the like, and no session of a browser.
        """
        if token is None:
            return cls()
        session = await store.read(token)
        if session is None or session.reads_left is not None:
            logger.info("a cookie was presented that names no live session")
            return cls()
        held = Held(token, session.id, session.subject, session.version, Before(session.data))
        return cls(session.data, held)

    async def save(self, store: AsyncStore, ttl: float | None, idle: float | None, *, late: bool = False) -> Outcome:
        """Write what was changed; call it once before the headers are sent, and once more, `late`, at the end.

        Returns ``"begun"`` if there is a new token, which the browser must be told, ``"ended"`` if it should forget
        the one it has, else ``"kept"``.

        Raises:
            InvalidParameter: the data cannot be stored. Nothing has changed then.

        """
        self._begun = True
        held = self._held
        if held is not None and self._cleared:
            await store.delete(held.token)
            self._held = None
        ended, self._cleared = self._held is None and held is not None, False
        if self._held is not None:
            return await self._save_held(store, self._held, ttl, idle, late=late)
        if self._is_empty():
            return "ended" if ended else "kept"
        if late:
            logger.warning("a session was begun too late to tell the browser, and is lost")
            return "kept"
        return await self._hold(store, await store.create(plain(self), ttl, idle=idle, subject=self._subject))

    async def _save_held(
        self, store: AsyncStore, held: Held, ttl: float | None, idle: float | None, *, late: bool
    ) -> Outcome:
        rotates, self._rotates = self._rotates and not late, False
        if not late and self._subject != held.subject:
            return await self._hold(store, await self._hand_over(store, held, ttl, idle))
        if held.before.changed(self):
            if not await self._update(store, held):
                return "kept"
            if self._is_empty():
                await store.delete(held.token)
                self._held = None
                return "ended"
        return await self._hold(store, await store.rotate(held.token)) if rotates else "kept"

    def _is_empty(self) -> bool:
        return not self and self._subject is None

    async def _hold(self, store: AsyncStore, token: str | None) -> Outcome:
        """Hold the session of a token that was minted just now; ``None`` if there was nothing left to mint it for."""
        session = None if token is None else await store.peek(token)
        if token is None or session is None:
            self._held = None
            return "kept"
        self._adopt(session.data)
        self._held = Held(token, session.id, session.subject, session.version, Before(session.data))
        return "begun"

    async def _update(self, store: AsyncStore, held: Held) -> bool:
        """Write changed keys over what is stored; return whether the session is still alive."""
        mine = wanted = plain(self)
        version = held.version
        for _ in range(_MAX_CONFLICTS):
            try:
                alive = await store.update(held.token, wanted, if_version=version)
            except crudjt.VersionConflict as conflict:
                last = conflict
            else:
                self._adopt(wanted)
                self._held = replace(held, version=version + 1, before=Before(wanted)) if alive else None
                return alive
            theirs = await store.peek(held.token)
            if theirs is None:
                self._held = None
                return False
            version, wanted = theirs.version, held.before.merged(mine, theirs.data)
        raise last

    async def _hand_over(self, store: AsyncStore, held: Held, ttl: float | None, idle: float | None) -> str:
        """Begin the session of another subject in the place of one; return its token.

        Where the old one has ended meanwhile, nothing of it comes back but what this request has set.
        """
        mine = plain(self)
        theirs = await store.peek(held.token)
        own = held.before.merged(mine, {})
        wanted = own if theirs is None else held.before.merged(mine, theirs.data)
        token = await store.create(wanted, ttl, idle=idle, subject=self._subject)
        if not await store.delete(held.token) and theirs is not None:
            await store.update(token, own)
        return token

    def _adopt(self, stored: Mapping[str, Any]) -> None:
        """Take over what other requests have changed. Values that nobody else changed stay the same objects."""
        known = Before(self)
        for key in self.keys() - stored.keys():
            del self[key]
        for key, value in stored.items():
            if known.differs(key, value):
                self[key] = value
