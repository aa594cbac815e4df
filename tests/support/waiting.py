"""How long the tests wait for something, and the waiting. Benchmarks use it too: it needs no test runner."""

import time
from collections.abc import Callable

# Seconds after which an answer counts as missing. It ends tests that would hang, and tells nothing of speed: a machine
# that is busy with other work may hold a process up for seconds, and take half a minute to start a server of several.
PATIENCE = 60.0


def eventually(true: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Tell whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
