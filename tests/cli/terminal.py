"""A terminal that a test reads from the other end."""

import codecs
import contextlib
import os
import pty
import re
import select
import time
from collections.abc import Iterator

_PATIENCE_SECONDS = 30.0


class Terminal:
    """A terminal that is read from the other end."""

    def __init__(self) -> None:
        self.reading, self.writing = pty.openpty()
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a read may end within a character

    def wait_for(self, pattern: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not re.search(pattern, self.text):
            readable, _, _ = select.select([self.reading], [], [], max(deadline - time.monotonic(), 0))
            assert readable, f"{pattern} is not in {self.text!r}"
            self.text += self._decoder.decode(os.read(self.reading, 4096))

    @contextlib.contextmanager
    def as_standard_error(self) -> Iterator[None]:
        """Make it the standard error output of this process."""
        with os.fdopen(os.dup(self.writing), "w") as stream, contextlib.redirect_stderr(stream):
            yield

    def close(self) -> None:
        os.close(self.reading)
        os.close(self.writing)
