"""How long the tests wait for something, and the waiting. Benchmarks use it too: it needs no test runner."""

import time
from collections.abc import Callable

PATIENCE = 30.0  # seconds after which an answer counts as missing
PROMPT = 5.0  # seconds within which an undisturbed store answers, even on a busy machine


def eventually(true: Callable[[], bool], seconds: float = PROMPT) -> bool:
    """Tell whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
