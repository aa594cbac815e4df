"""Answers to browsers, as plain values that each framework sends in its own way."""

from typing import NamedTuple

import msgspec

from crudjt.contrib._device_bound.binding import Binding
from crudjt.contrib._device_bound.decisions import Verdict
from crudjt.contrib._device_bound.settings import DeviceBound
from crudjt.contrib._device_bound.tickets import new_challenge

_CHALLENGE = "Secure-Session-Challenge"

_RELOADING = b"""<!doctype html>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0">
<title>One moment</title>
"""


class Answer(NamedTuple):
    """A response that the application has no part in."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    media_type: str = "text/plain; charset=utf-8"

    def all_headers(self) -> list[tuple[str, str]]:
        """Return its headers, with those that each such response has."""
        return [
            ("Content-Type", self.media_type),
            ("Content-Length", str(len(self.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *self.headers,
        ]


UNAVAILABLE = Answer(503, (), b"the session cannot be checked now")
"""The store has failed: the browser keeps the binding, and asks again."""


def challenge(binding: Binding, now: int) -> tuple[str, str]:
    """Return the header that makes the browser sign a new challenge, now or the next time."""
    return _CHALLENGE, f'"{new_challenge(binding.secret, now)}";id="{binding.name}"'


def offer(settings: DeviceBound, root: str, binding: Binding, now: int) -> tuple[str, str]:
    """Return the header that offers the browser to bind a session to its device."""
    path, signed = root + settings.registration, new_challenge(binding.secret, now)
    return "Secure-Session-Registration", f'(ES256);path="{path}";challenge="{signed}"'


def instructions(settings: DeviceBound, root: str, binding: Binding) -> bytes:
    """Return what the browser has to know of a bound session, as JSON."""
    return msgspec.json.encode(
        {
            "session_identifier": binding.name,
            "refresh_url": root + settings.refresh,
            "scope": {"include_site": False},
            "credentials": [{"type": "cookie", "name": settings.cookie_name, "attributes": settings.attributes}],
        }
    )


def ended(identifier: str) -> Answer:
    """Return the answer that makes the browser forget a session which this is not."""
    body = msgspec.json.encode({"session_identifier": identifier, "continue": False})
    return Answer(200, (), body, "application/json")


def refusal(verdict: Verdict, binding: Binding, now: int) -> Answer | None:
    """Return the answer to a request that is not served, ``None`` for one that is, with its session or without."""
    if verdict is Verdict.RELOAD:
        return Answer(200, (("Vary", "Cookie, Sec-Fetch-Site"),), _RELOADING, "text/html; charset=utf-8")
    if verdict is Verdict.REFUSE:
        return Answer(401, (), b"the session is bound to a device")
    if verdict is Verdict.WAIT:
        return Answer(503, (challenge(binding, now),), b"the session cannot be checked now: try again")
    return None
