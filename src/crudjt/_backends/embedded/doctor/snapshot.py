"""A consistent snapshot of a live view, for `doctor`."""

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from crudjt._backends.embedded.doctor.lmdb_pages import Tree
from crudjt._backends.embedded.engine import registry
from crudjt._backends.embedded.engine.control_block import ControlBlock, LogEnd
from crudjt._backends.embedded.engine.layout import VIEW_DIRECTORY
from crudjt._backends.embedded.engine.lmdb_format import DATA_FILE, Meta
from crudjt._backends.embedded.engine.view import Snapshot, opened_to_read

_WAIT_SECONDS = 30.0
_ATTEMPTS_AT_REST = 100


class LiveView(NamedTuple):
    """A commit of the view: the end of the log at that time, and the root of the tree in the file."""

    log_end: LogEnd
    meta: Meta


@contextmanager
def hold_live_view(directory: Path, map_size: int, control: ControlBlock) -> Generator[LiveView | None]:
    """Hold a snapshot of a store's view for a block; yield its entries in the control block and the file.

    Both keep the last two transactions only. If writers were faster, a newer snapshot is tried. If nothing is written
    and the three still do not match, ``None`` is yielded.
    """
    with ExitStack() as stack:
        begin = stack.enter_context(_opened(directory, map_size))
        tree = Tree(directory / VIEW_DIRECTORY / DATA_FILE)
        stack.callback(tree.close)
        yield _found(stack, begin, tree, control)


@contextmanager
def _opened(directory: Path, map_size: int) -> Generator[Callable[[], Snapshot]]:
    with registry.borrowed(directory) as engine:
        if engine is not None:
            yield engine.view.snapshot
        else:
            with opened_to_read(directory / VIEW_DIRECTORY, map_size) as begin:
                yield begin


def _found(stack: ExitStack, begin: Callable[[], Snapshot], tree: Tree, control: ControlBlock) -> LiveView | None:
    deadline = time.monotonic() + _WAIT_SECONDS
    last, at_rest_for = 0, 0
    while at_rest_for < _ATTEMPTS_AT_REST and time.monotonic() < deadline:
        snapshot = begin()
        number = int(snapshot.id())
        log_end = control.log_end(number)
        meta = next((each for each in tree.metas() if each.transaction == number), None)
        if meta is not None and log_end is not None:
            stack.callback(snapshot.abort)
            return LiveView(log_end, meta)
        snapshot.abort()
        at_rest_for = at_rest_for + 1 if number == last else 0
        last = number
    return None
