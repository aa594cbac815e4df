"""Forks as C code makes them."""

import ctypes
import sys
import threading
from pathlib import Path

from tests.support.waiting import eventually

_LOOKS = 3
_LONG = 1000.0  # seconds


def fork_below_python() -> int:
    """Call fork(2), which tells no hook of Python, at a moment when no other thread asks for the GIL.

    Without its hooks, Python does not forget in the child that a thread of the parent was asking. The child hands the
    GIL over to that thread, which it does not have, and waits for it for ever, whatever the store does. So a parent
    should have few threads, which wake up seldom, and they have to sleep when it forks.

    One that wakes up between the last look and the fork waits for the GIL, but asks for it only after the switch
    interval. So that is long for that time, in which a busy machine may have this thread wait for a processor.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_LONG)
    try:
        assert eventually(_other_threads_rest), "other threads do not rest"
        pid: int = ctypes.PyDLL(None).fork()
    finally:
        sys.setswitchinterval(usual)
    return pid


def _other_threads_rest() -> bool:
    """Tell whether all other threads sleep. Each look releases the GIL, which would wake one that asks for it."""
    own = str(threading.get_native_id())
    others = [thread for thread in Path("/proc/self/task").iterdir() if thread.name != own]
    try:
        return all(_state(thread) == "S" for _ in range(_LOOKS) for thread in others)
    except OSError:  # it has ended
        return False


def _state(thread: Path) -> str:
    return (thread / "stat").read_text().rpartition(") ")[2][0]
