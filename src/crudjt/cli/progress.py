"""Show on a terminal how far long work has come, from its first second on. Elsewhere nothing is printed."""

import itertools
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import click

from crudjt.cli.notices import uses_json

_AFTER_SECONDS = 1.0
_EVERY_SECONDS = 0.2


class Work:
    """How far some work has come. Assigning to it prints nothing, so that it may be done often.

    Attributes:
        done: how much is done, in any unit.
        total: how much there is to do; ``None`` if that is not known.

    """

    done: int = 0
    total: int | None = None

    def reach(self, done: int, total: int) -> None:
        """Note how much is done, and how much there is to do."""
        self.done, self.total = done, total

    def advance(self, done: int) -> None:
        """Note that more is done."""
        self.done += done


@contextmanager
def progress(label: str, after: float = _AFTER_SECONDS, *, prints: bool = False) -> Generator[Work]:
    """Show how far the work of a block has come, if it takes longer than `after` seconds.

    A block that `prints` its results as it goes shows that by itself where they go to a terminal.
    """
    work = Work()
    if not _may_draw() or (prints and sys.stdout.isatty()):
        yield work
        return
    ended = threading.Event()
    thread = threading.Thread(target=_draw, args=(label, work, ended, after), daemon=True)
    thread.start()
    try:
        yield work
    finally:
        ended.set()
        thread.join()


def _may_draw() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and not uses_json(click.get_current_context(silent=True))


def _draw(label: str, work: Work, ended: threading.Event, after: float) -> None:
    began = time.monotonic()
    if ended.wait(after):
        return
    with click.progressbar(
        itertools.count(),  # it ends with the block, and no length is known yet
        label=label,
        item_show_func=lambda _: None if work.total else f"{time.monotonic() - began:.0f} s",
        file=sys.stderr,
    ) as bar:
        while not ended.wait(_EVERY_SECONDS):
            bar.length = work.total
            bar.update(work.done - bar.pos if work.total else 1)
