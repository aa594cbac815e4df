"""Windows: its own calls, by way of kernel32."""

import ctypes
import errno
import msvcrt
import os
import shutil
import sys
import time
import winreg
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from crudjt._filesystem.platform.interface import System
from crudjt._filesystem.platform.zeros import write_zeros

assert sys.platform == "win32"

_DIRECTORY = 0x0400_0000  # no flag of Windows: see `Windows.open`
_LOCK_FILE = ".lock"
_LOCK_OFFSET_HIGH = 0x4000_0000  # beyond every file, since a lock here is for reading and writing too
_LOCK_EXCLUSIVE, _LOCK_AT_ONCE = 2, 1
_END_OF_FILE, _NOT_LOCKED, _LOCKED, _PENDING = 38, 158, 33, 997  # errors
_IN_USE = {5, 32, 1224}  # errors: access denied, a sharing violation, a user-mapped section
_REMOTE = 4  # type of a drive
_BOOT = r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters"
_PATIENCE_SECONDS, _POLL_SECONDS = 1.0, 0.005


class _Overlapped(ctypes.Structure):
    _fields_ = (
        ("internal", ctypes.c_void_p),
        ("internal_high", ctypes.c_void_p),
        ("offset", ctypes.c_uint32),
        ("offset_high", ctypes.c_uint32),
        ("event", ctypes.c_void_p),
    )


_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_handle, _dword, _pointer = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p
_kernel32.ReadFile.argtypes = (_handle, _pointer, _dword, _pointer, _pointer)
_kernel32.WriteFile.argtypes = (_handle, _pointer, _dword, _pointer, _pointer)
_kernel32.LockFileEx.argtypes = (_handle, _dword, _dword, _dword, _dword, _pointer)
_kernel32.UnlockFileEx.argtypes = (_handle, _dword, _dword, _dword, _pointer)
_kernel32.GetDriveTypeW.argtypes = (ctypes.c_wchar_p,)
_kernel32.GetTickCount64.restype = ctypes.c_uint64


class Windows(System):
    """Windows 10 and later."""

    has_owners = False
    syncs_names = False  # a rename may be lost by a power failure; recovery takes the old file or the new one
    removes_mapped_files = False
    open_flags = os.O_BINARY | os.O_NOINHERIT
    no_links = 0  # `open` looks itself
    directory = _DIRECTORY
    default_max_size = 1024**3  # the file is given three times that, which FAT and small disks cannot hold
    preallocating_file_systems = frozenset[str]()
    kernel_files = frozenset[str]()

    ftruncate = staticmethod(os.ftruncate)
    fdatasync = staticmethod(os.fsync)
    fsync = staticmethod(os.fsync)

    @staticmethod
    def open(path: Path, flags: int, mode: int = 0o777, /) -> int:
        """Open a file, or in the place of a directory, which cannot be opened, a file in it."""
        if flags & _DIRECTORY:
            return os.open(path / _LOCK_FILE, flags & ~_DIRECTORY | os.O_RDWR | os.O_CREAT, mode)
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        return os.open(path, flags, mode)

    @staticmethod
    def pread(descriptor: int, size: int, offset: int, /) -> bytes:
        buffer, count, where = ctypes.create_string_buffer(size), _dword(), _at(offset)
        handle = msvcrt.get_osfhandle(descriptor)
        if not _kernel32.ReadFile(handle, buffer, size, ctypes.byref(count), ctypes.byref(where)):
            if ctypes.get_last_error() == _END_OF_FILE:
                return b""
            raise ctypes.WinError(ctypes.get_last_error())
        return buffer.raw[: count.value]

    @staticmethod
    def pwrite(descriptor: int, data: bytes, offset: int, /) -> int:
        count, where = _dword(), _at(offset)
        handle = msvcrt.get_osfhandle(descriptor)
        if not _kernel32.WriteFile(handle, data, len(data), ctypes.byref(count), ctypes.byref(where)):
            raise ctypes.WinError(ctypes.get_last_error())
        return count.value

    @staticmethod
    def posix_fallocate(descriptor: int, offset: int, size: int, /) -> None:
        write_zeros(Windows.pwrite, descriptor, offset, size)

    @staticmethod
    def replace(source: Path, target: Path) -> None:
        """Rename, again and again for a second: a file that is open, be it to look at it, cannot be replaced."""
        if target.is_dir():
            target.rmdir()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with suppress(PermissionError):
                source.replace(target)
                return
            time.sleep(_POLL_SECONDS)
        source.replace(target)

    @staticmethod
    def remove(path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except PermissionError as error:
            if error.winerror not in _IN_USE:
                raise

    @staticmethod
    def free_bytes(path: Path) -> int:
        return shutil.disk_usage(path).free

    @staticmethod
    def allocated_bytes(path: Path) -> int:
        return path.stat().st_size

    @staticmethod
    def is_read_only(_path: Path) -> bool:
        return False

    @staticmethod
    def file_system(path: Path) -> str:
        return "network drive" if _kernel32.GetDriveTypeW(path.resolve().anchor) == _REMOTE else ""

    @staticmethod
    def lock(descriptor: int, *, exclusive: bool, wait: bool = False) -> bool:
        Windows.unlock(descriptor)  # a lock cannot be converted
        flags = (_LOCK_EXCLUSIVE if exclusive else 0) | (0 if wait else _LOCK_AT_ONCE)
        where = _Overlapped(offset_high=_LOCK_OFFSET_HIGH)
        if _kernel32.LockFileEx(msvcrt.get_osfhandle(descriptor), flags, 0, 1, 0, ctypes.byref(where)):
            return True
        if ctypes.get_last_error() in {_LOCKED, _PENDING}:
            return False
        raise ctypes.WinError(ctypes.get_last_error())

    @staticmethod
    def unlock(descriptor: int) -> None:
        where = _Overlapped(offset_high=_LOCK_OFFSET_HIGH)
        if not _kernel32.UnlockFileEx(msvcrt.get_osfhandle(descriptor), 0, 1, 0, ctypes.byref(where)):
            code = ctypes.get_last_error()
            if code not in {_NOT_LOCKED, _LOCKED}:  # there was no lock; Wine says the latter
                raise ctypes.WinError(code)

    @staticmethod
    def lock_for_process(descriptor: int) -> None:
        Windows.lock(descriptor, exclusive=True, wait=True)

    @staticmethod
    def unlock_for_process(descriptor: int) -> None:
        Windows.unlock(descriptor)

    @staticmethod
    def has_robust_locks() -> bool:
        """Return True: the owner of a mutex that ends abandons it, and LMDB goes on."""
        return True

    @staticmethod
    def boot_id() -> str:
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _BOOT) as key:
                return str(winreg.QueryValueEx(key, "BootId")[0])
        except OSError:
            return "unknown"  # then the time of the boot has to do

    @staticmethod
    def boot_time() -> int:
        return round(time.time() - int(_kernel32.GetTickCount64()) / 1000)

    @staticmethod
    def boot_clock_ns() -> int:
        return int(_kernel32.GetTickCount64()) * 10**6

    @staticmethod
    def pid_namespace() -> int:
        return 0

    @staticmethod
    def at_fork(*, before: Callable[[], object], after_in_parent: Callable[[], object]) -> None:
        """Do nothing: there are no forks."""

    @staticmethod
    def effective_user() -> int:
        return 0

    @staticmethod
    def user_name(number: int) -> str:
        return f"user {number}"

    @staticmethod
    def group_name(number: int) -> str:
        return f"group {number}"


def _at(offset: int) -> _Overlapped:
    return _Overlapped(offset=offset & 0xFFFF_FFFF, offset_high=offset >> 32)
