"""Wait for a key on a terminal."""

import contextlib
import os
import select
import sys
import time
from collections.abc import Generator

try:
    import termios
    import tty
except ImportError:  # another system: Ctrl-C ends what waits
    termios = tty = None  # type: ignore[assignment] # looked at below


class Keyboard:
    """The keys of a terminal, as they are pressed; without a terminal there are none."""

    def __init__(self, descriptor: int | None) -> None:
        """Take the descriptor of a terminal that does not wait for the end of a line."""
        self._descriptor = descriptor

    def pressed(self, key: str, seconds: float) -> bool:
        """Wait for some seconds, or until a key is pressed; tell whether it was."""
        until = time.monotonic() + seconds
        while self._descriptor is not None and (left := until - time.monotonic()) > 0:
            if not select.select([self._descriptor], [], [], left)[0]:
                return False
            keys = os.read(self._descriptor, 1024)
            if key.encode() in keys:
                return True
            if not keys:  # the terminal is gone
                self._descriptor = None
        time.sleep(max(until - time.monotonic(), 0))
        return False


@contextlib.contextmanager
def keyboard() -> Generator[Keyboard]:
    """Take keys from the standard input for a block, if it is a terminal."""
    if termios is None or tty is None or sys.stdin is None or not sys.stdin.isatty():
        yield Keyboard(None)
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield Keyboard(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
