"""Forks as C code makes them."""

import ctypes
import os
import signal
import threading
import time
from pathlib import Path

from tests.support.waiting import eventually

_QUIET = 0.002  # seconds
_ASLEEP = "S"

Seen = dict[str, tuple[str, str, str]]


def fork_below_python() -> int:
    """Call fork(2), which tells no hook of Python, at a moment when no other thread asks for the GIL.

    Without its hooks, Python does not forget in the child that a thread of the parent was asking. The child hands the
    GIL over to that thread, which it does not have, and waits for it for ever, whatever the store does. So a parent
    should have few threads, which wake up seldom, and they have to sleep when it forks. Whether they did is known
    afterwards: a child that met one is replaced before it has done anything.
    """
    pids: list[int] = []

    def has_forked() -> bool:
        pids.extend(_fork_while_others_sleep())
        return bool(pids)

    assert eventually(has_forked), "other threads do not rest"
    return pids[0]


def _fork_while_others_sleep() -> list[int]:
    """Return the process id of a child, or 0 in the child; nothing if another thread woke up meanwhile."""
    fork = ctypes.PyDLL(None).fork
    reading, writing = os.pipe()
    before = _other_threads()
    time.sleep(_QUIET)  # one that waits for the GIL sleeps too, but runs now
    pid: int = fork()
    if not pid:
        os.close(writing)
        if not os.read(reading, 1):
            os._exit(1)
        os.close(reading)
        return [0]
    os.close(reading)
    slept = before == _other_threads() and all(state == _ASLEEP for state, *_ in before.values())
    if slept:
        os.write(writing, b"x")
    else:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.close(writing)
    return [pid] if slept else []


def _other_threads() -> Seen:
    """Return the state of each of Python, and how often it has left the processor, by itself and not.

    Those of libraries, such as gRPC's, ask for no GIL, and some never rest. Those of the parent of a child that was
    forked here are not in it, though Python believes so.
    """
    names = {str(each.native_id) for each in threading.enumerate()} - {str(threading.get_native_id())}
    return {each.name: _seen(each) for each in Path("/proc/self/task").iterdir() if each.name in names}


def _seen(thread: Path) -> tuple[str, str, str]:
    try:
        text = (thread / "status").read_text()
    except OSError:
        return "ended", "", ""
    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    return fields["State"][0], fields["voluntary_ctxt_switches"], fields["nonvoluntary_ctxt_switches"]
