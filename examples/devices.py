"""The sessions of a user in words, for the pages of the login examples."""

import os
from collections.abc import Iterable
from datetime import datetime
from typing import Any

_BROWSERS = {"Firefox/": "Firefox", "Edg/": "Edge", "OPR/": "Opera", "Chrome/": "Chrome", "Safari/": "Safari"}
_SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}


def page_of(user: str, devices: Iterable[Any]) -> dict[str, Any]:
    """Return what the page of a user's sessions shows of what `devices_of` returned, which every adapter has."""
    rows = [
        {
            "handle": each.id,
            "device": _device(each.agent or "unknown"),
            "address": each.address or "-",
            "begun": _time(each.begun),
            "last_seen": _time(each.last_seen),
            "here": each.here,
        }
        for each in devices
    ]
    return {"user": user, "devices": rows, "worker": os.getpid()}


def _device(agent: str) -> str:
    """Return "Firefox on Linux", or what the client calls itself."""
    browser = next((name for part, name in _BROWSERS.items() if part in agent), None)
    system = next((name for part, name in _SYSTEMS.items() if part in agent), None)
    return f"{browser} on {system}" if browser and system else agent[:60]


def _time(time: datetime | None) -> str:
    return "-" if time is None else f"{time:%d %B %Y, %H:%M} UTC"
