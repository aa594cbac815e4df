"""Lets the tests be imported on Windows: ``PYTHONPATH=tests/support/windows;src``.

They import what POSIX has and Windows has not. In every process they find something in its place: a test that uses it
is skipped.
"""

import asyncio
import concurrent.futures
import multiprocessing.connection
import os
import random
import signal
import sys
from types import ModuleType
from typing import Any, NoReturn

LOOKED = (asyncio, concurrent.futures, multiprocessing.connection, random)
"""Modules that look for what POSIX has when they are imported, and are to find Windows."""

_MODULES = ("fcntl", "grp", "pwd", "resource", "termios", "pty", "tty")
_FUNCTIONS = (
    "WIFSIGNALED", "chown", "fchmod", "fchown", "fork", "getegid", "geteuid", "getgid", "getgroups", "getpgid",
    "getuid", "killpg", "mkfifo", "pread", "pwrite", "sched_getaffinity", "setsid", "setuid", "statvfs",
)  # fmt: skip
_FLAGS = ("O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC")
_SIGNALS = {"SIGKILL": 9, "SIGSTOP": 19, "SIGCONT": 18, "SIGUSR1": 10, "SIGHUP": 1}


class _Missing(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _missing(f"{self.__name__}.{name}")


def _missing(name: str) -> Any:
    def skip(*_: object, **__: object) -> NoReturn:
        import pytest  # noqa: PLC0415 - not in processes that are no tests

        pytest.skip(f"Windows has no {name}")

    return skip


_get_context: Any = multiprocessing.get_context

for each in _MODULES:
    sys.modules[each] = _Missing(each)
for each in _FUNCTIONS:
    setattr(os, each, _missing(f"os.{each}"))
for each in _FLAGS:
    setattr(os, each, 0)
for each, number in _SIGNALS.items():  # a process that gets any of them is ended
    setattr(signal, each, number)
_context: Any = multiprocessing
_context.get_context = lambda method=None: _Missing("fork") if method == "fork" else _get_context(method)
