"""The command `top`."""

import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click

from crudjt.base import Store
from crudjt.cli.context import Settings
from crudjt.cli.keyboard import keyboard
from crudjt.cli.options import duration_option, json_option
from crudjt.cli.top_screen import screen
from crudjt.errors import StoreClosed, StoreError

_NEWEST = 50  # sessions that may be shown
_KINDS = ("begun", "rotated", "changed", "ended", "expired")


class _Rates:
    """Counts the events of a store in a thread. Where it has none, there are no rates."""

    def __init__(self, store: Store) -> None:
        self._seen = Counter[str]()
        self._before, self._since = Counter[str](), time.monotonic()
        self.known = True
        try:
            events = store.events()
        except StoreError:
            self.known = False
            return
        threading.Thread(target=self._count, args=(events,), daemon=True).start()

    def _count(self, events: Iterator[Any]) -> None:
        with contextlib.suppress(StoreClosed):
            try:
                for event in events:
                    self._seen[event.kind] += 1
            except StoreError:
                self.known = False

    def take(self) -> dict[str, float | None]:
        """Return how many events of each kind there were in a second, since the last call."""
        now, seen = time.monotonic(), Counter(self._seen)
        seconds, before = now - self._since, self._before
        self._since, self._before = now, seen
        return {kind: round((seen[kind] - before[kind]) / seconds, 1) if self.known else None for kind in _KINDS}


@click.command()
@duration_option("--interval", 1.0, "How long each look takes; else 1s.")
@click.option("--times", metavar="NUMBER", type=click.IntRange(1), help="End after so many looks; else with q.")
@json_option
@click.pass_obj
def top(settings: Settings, interval: float, times: int | None) -> None:
    """Show what the store does, live in the terminal.

    Live sessions, how many begin and end in a second, the log and its sync, and the newest sessions; until you press q.
    The rates and the newest sessions are there for a store in a directory and a server of one.
    """
    live = not settings.json and sys.stdout.isatty()
    with settings.open() as store, keyboard() as keys:
        rates = _Rates(store)
        looks = 0
        while (times is None or looks < times) and not keys.pressed("q", interval):
            counters = store.stats().counters()
            a_second = rates.take()
            newest = store.list(limit=_NEWEST).sessions if rates.known else ()
            document = {**counters, "a_second": a_second}
            settings.show(document, screen(store.location, counters, a_second, newest, live=live))
            looks += 1
