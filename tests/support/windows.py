"""A plugin of pytest for Windows: ``-p tests.support.windows``.

Test modules import what POSIX has and Windows has not. Here they find something in its place: a test that uses it is
skipped.
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

import pytest

LOOKED = (asyncio, concurrent.futures, multiprocessing.connection, random)
"""Modules that look for what POSIX has when they are imported, and are to find Windows."""

_MODULES = ("fcntl", "grp", "pwd", "resource", "termios", "pty", "tty")
_FUNCTIONS = (
    "WIFSIGNALED", "chown", "fchmod", "fchown", "fork", "getegid", "geteuid", "getgid", "getgroups", "getpgid",
    "getuid", "killpg", "mkfifo", "pread", "pwrite", "sched_getaffinity", "setsid", "setuid", "statvfs",
)  # fmt: skip
_FLAGS = ("O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC")
_SIGNALS = {"SIGKILL": 9, "SIGSTOP": 19, "SIGCONT": 18, "SIGUSR1": 10, "SIGHUP": 1, "SIGALRM": 14, "SIGCHLD": 17}


class _Missing(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _missing(f"{self.__name__}.{name}")


def _missing(name: str) -> Any:
    def skip(*_: object, **__: object) -> NoReturn:
        pytest.skip(f"Windows has no {name}")

    return skip


def pytest_load_initial_conftests() -> None:
    """Put something in the place of what is missing. The patches stay for the whole run."""
    patch = pytest.MonkeyPatch()
    for name in _MODULES:
        patch.setitem(sys.modules, name, _Missing(name))
    for name in _FUNCTIONS:
        patch.setattr(os, name, _missing(f"os.{name}"), raising=False)
    for name in _FLAGS:
        patch.setattr(os, name, 0, raising=False)
    for name, number in _SIGNALS.items():  # a process that gets any of them is ended
        patch.setattr(signal, name, number, raising=False)
