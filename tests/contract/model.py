"""A store in a few lines of plain Python: what each operation must do, without keys, files, caches or transactions.

Times are in milliseconds. Expired sessions stay until something removes them, as in a real store, so that the model
can tell what a sweep has to count.
"""

from dataclasses import dataclass, replace
from typing import Any

from crudjt import KEEP
from crudjt._core.validation import KeepType


@dataclass(frozen=True)
class Known:
    """What the model knows of a session; limits of ``None`` are absent."""

    data: dict[str, Any]
    subject: str | None
    created: int
    hard_expiry: int | None
    idle: int | None
    reads_left: int | None
    expires: int | None = None
    version: int = 1
    labels: tuple[str, ...] = ()

    def alive(self, now: int) -> bool:
        return self.expires is None or now < self.expires

    def deadline(self, now: int) -> int | None:
        """Return when the session ends if the idle timeout begins now."""
        ends = [end for end in (self.hard_expiry, self.idle and now + self.idle) if end is not None]
        return min(ends, default=None)

    def slid(self, now: int, least_step: int) -> "Known":
        """Return the session with its deadline put off, if that moves it by `least_step` or more."""
        later = self.deadline(now) if self.idle else None
        if later is None or self.expires is None or later - self.expires < least_step:
            return self
        return replace(self, expires=later)


class Model:
    """The sessions of one store by token."""

    def __init__(self) -> None:
        self.sessions: dict[str, Known] = {}

    def live(self, token: str, now: int) -> Known | None:
        known = self.sessions.get(token)
        return known if known is not None and known.alive(now) else None

    def create(self, token: str, now: int, session: Known) -> None:
        assert token not in self.sessions
        self.sessions[token] = replace(session, expires=session.deadline(now))

    def read(self, token: str, now: int) -> Known | None:
        """Return what a read shows: `reads_left` counts what remains after it."""
        known = self.live(token, now)
        if known is None:
            return None
        if known.reads_left is None:
            shown = known.slid(now, max((known.idle or 0) // 10, 1))
            self.sessions[token] = shown
            return shown
        shown = replace(known.slid(now, 1), reads_left=known.reads_left - 1)
        if shown.reads_left:
            self.sessions[token] = shown
        else:
            del self.sessions[token]
        return shown

    def change(
        self,
        token: str,
        now: int,
        data: dict[str, Any] | None,
        ttl: int | KeepType | None,
        idle: int | KeepType | None,
        max_reads: int | KeepType | None,
    ) -> bool:
        """Do what update does, or with data of ``None`` what touch does."""
        known = self.live(token, now)
        if known is None:
            return False
        changed = replace(
            known,
            hard_expiry=known.hard_expiry if ttl is KEEP else ttl and now + ttl,
            idle=known.idle if idle is KEEP else idle,
            reads_left=known.reads_left if max_reads is KEEP else max_reads,
        )
        if data is not None:
            changed = replace(changed, data=data, version=known.version + 1)
        self.sessions[token] = self._relimited(known, changed, now)
        return True

    def rotate(
        self,
        token: str,
        new: str | None,
        now: int,
        data: dict[str, Any] | None,
        subject: str | KeepType | None,
        ttl: int | KeepType | None,
        idle: int | KeepType | None,
        labels: tuple[str, ...] | KeepType,
    ) -> None:
        """Move a session to its new token and change what is given, as update and touch do."""
        found = self.change(token, now, data, ttl, idle, KEEP)
        assert found == (new is not None)
        if new is not None:
            assert new not in self.sessions
            known = self.sessions.pop(token)
            known = known if labels is KEEP else replace(known, labels=labels)
            self.sessions[new] = known if subject is KEEP else replace(known, subject=subject, created=now)

    @staticmethod
    def _relimited(before: Known, after: Known, now: int) -> Known:
        if (before.hard_expiry, before.idle) == (after.hard_expiry, after.idle):
            return after.slid(now, 1)
        return replace(after, expires=after.deadline(now))

    def remove(self, tokens: list[str], now: int) -> int:
        """End sessions, expired or not; return how many were alive."""
        removed = [self.sessions.pop(token) for token in set(tokens) if token in self.sessions]
        return sum(known.alive(now) for known in removed)

    def of_subject(self, subject: str) -> list[str]:
        return [token for token, known in self.sessions.items() if known.subject == subject]

    def of_label(self, label: str, subject: str | None) -> list[str]:
        named = [token for token, known in self.sessions.items() if label in known.labels]
        return named if subject is None else [token for token in named if self.sessions[token].subject == subject]

    def sweep(self, now: int) -> int:
        expired = [token for token, known in self.sessions.items() if not known.alive(now)]
        for token in expired:
            del self.sessions[token]
        return len(expired)
