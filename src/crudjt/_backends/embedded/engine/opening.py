"""Open a store directory, and rebuild its view first if necessary.

Opening tries to take the lock in exclusive mode. If it succeeds, no other process has the store open: the view is
checked, and rebuilt if it is of another boot or the disk failed. If not, another process has the store open, which
proves that the view is valid, unless that process runs under another boot id.
"""

import errno
import os
import random
import time
from pathlib import Path

import msgspec

from crudjt import _filesystem
from crudjt._backends.embedded.engine import manifest
from crudjt._backends.embedded.engine.control_block import (
    OTHER_PID_NAMESPACE,
    WORD_FAILED,
    WORD_PID_NAMESPACE,
    WRITER_DIED,
    ControlBlock,
)
from crudjt._backends.embedded.engine.directory import prepare_directory
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.layout import BASE_DIRECTORY, CONTROL_FILE, STORE_LOCK_FILE, VIEW_DIRECTORY
from crudjt._backends.embedded.engine.lmdb_errors import translated
from crudjt._backends.embedded.engine.lmdb_format import DATA_FILE
from crudjt._backends.embedded.engine.log import LOG_DIRECTORY
from crudjt._backends.embedded.engine.manifest import Manifest
from crudjt._backends.embedded.engine.os_errors import store_error
from crudjt._backends.embedded.engine.recovery import rebuild
from crudjt._backends.embedded.engine.segment import segment_numbers, segment_path
from crudjt._backends.embedded.engine.view import ViewError
from crudjt._core.options import Options
from crudjt._filesystem import flock, host
from crudjt._filesystem.host import DEFAULT_MAX_SIZE
from crudjt.errors import StoreBusy, StoreCorrupt, StoreFailed, StoreInaccessible

_WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.02
_SALT_BYTES = 32
_UNUSABLE_ERRNOS = frozenset({errno.ELOOP, errno.ENAMETOOLONG, errno.EROFS})


def open_engine(directory: Path, options: Options) -> Engine:
    """Open a store; create or recover it first if needed.

    Raises:
        StoreInaccessible: the directory cannot be used, or holds no store and none is to be made.
        StoreBusy: other processes keep it open in a state that has to be recovered.
        StoreCorrupt: the log or the base is damaged.
        StoreFull: no room to make the view.

    """
    if options.clock() < 0:
        raise StoreInaccessible(directory, "the clock of this system shows a time before 1970; set it")
    try:
        prepare_directory(directory, create=options.create, allow_shared=options.allow_shared_directory)
        lock = _filesystem.open_file(directory / STORE_LOCK_FILE, os.O_RDWR | os.O_CREAT)
        try:
            ready = _make_ready(directory, lock, options.max_size)
            return Engine(directory, lock, ready)
        except BaseException:
            os.close(lock)
            raise
    except ViewError as error:
        raise translated(error, directory) from error
    except OSError as error:
        if isinstance(error, FileNotFoundError) and error.filename in host.KERNEL_FILES:
            raise StoreInaccessible(
                directory, f"cannot be used without {error.filename}; mount /proc without subset=pid (ProcSubset=all)"
            ) from error
        failure = store_error(error, directory, "opening")
        no_place = error.errno in _UNUSABLE_ERRNOS or error.filename == str(directory)
        if no_place and isinstance(failure, StoreFailed):  # every other error has words of its own
            failure = StoreInaccessible(directory, f"cannot be used: {os.strerror(error.errno or 0)}")
        raise failure from error


def _make_ready(directory: Path, lock: int, max_size: int | None) -> Manifest:
    """Return the manifest of a store whose view is good, with the lock held in shared mode."""
    started = time.monotonic()
    while True:
        if flock.lock(lock, exclusive=True):
            _check_alone(directory, max_size)
        flock.lock(lock, exclusive=False, wait=True)
        # Looked at again, since converting the lock gives it up for a moment, in which others may have had it.
        found = _load(directory)
        if found is not None and found.boot is not None and found.boot.id == host.current_boot().id:
            control = _control(directory)
            if control is not None and control.in_other_pid_namespace:
                reason = OTHER_PID_NAMESPACE
            elif _usable(directory):
                return found
            elif control is not None and control.failed:
                reason = (
                    "the disk failed, files were replaced, or a writer was killed; close the store in every process to "
                    "recover it"
                )
            else:
                reason = (
                    "its view is gone, or of another version of crudjt; close the store in every process to recover it"
                )
        else:
            reason = "it is open in processes of another boot id (a container of its own?), or is being recovered"
        flock.unlock(lock)
        waited = time.monotonic() - started
        if waited > _WAIT_SECONDS:
            raise StoreBusy(directory, reason, waited)
        time.sleep(_POLL_SECONDS * (1 + random.random()))  # noqa: S311 - only to keep openers apart


def _load(directory: Path) -> Manifest | None:
    try:
        return manifest.load(directory)
    except FileNotFoundError:
        return None


def _usable(directory: Path) -> bool:
    """Tell whether the view that was made in this boot is there, and no disk has failed since."""
    control = _control(directory)
    return (directory / VIEW_DIRECTORY / DATA_FILE).exists() and control is not None and not control.failed


def _disk_failed(directory: Path) -> bool:
    control = _control(directory)
    return control is not None and control.failed and control.words[WORD_FAILED] != WRITER_DIED


def _control(directory: Path) -> ControlBlock | None:
    try:
        control = ControlBlock(directory / CONTROL_FILE)
    except (FileNotFoundError, ValueError):  # gone, or cut short
        return None
    return control if control.valid else None


def _check_alone(directory: Path, max_size: int | None) -> None:
    """Prepare a store that no other process has open."""
    found = _load(directory)
    if found is None:
        if segment_numbers(directory / LOG_DIRECTORY) or any((directory / BASE_DIRECTORY).glob("*.mdb")):
            raise StoreCorrupt(directory / manifest.NAME, 0, "the manifest is missing")
        salt = os.urandom(_SALT_BYTES).hex()
        found = Manifest(
            map_size=max_size or DEFAULT_MAX_SIZE, salt=salt, keys=[], boot=None, base=None, segment=0, doubtful=False
        )
        found.save(directory)
    elif max_size is not None and max_size > found.map_size:
        found = msgspec.structs.replace(found, map_size=max_size)
        found.save(directory)
    boot = host.current_boot()
    same_boot = found.boot is not None and found.boot.id == boot.id and found.boot.started_with(boot)
    if same_boot and not found.doubtful and _usable(directory) and not _copied(directory):
        _note_namespace(directory)
        return
    rebuild(directory, found, fresh_base=found.doubtful or (same_boot and _disk_failed(directory)))
    _note_namespace(directory)


def _copied(directory: Path) -> bool:
    """Tell whether the files were copied or put back since the control block was written, by the inode of the log."""
    log, control = directory / LOG_DIRECTORY, _control(directory)
    numbers = segment_numbers(log)
    if control is None or not numbers:
        return True
    noted = control.segment_inode(numbers[-1])
    return noted != 0 and noted != segment_path(log, numbers[-1]).stat().st_ino


def _note_namespace(directory: Path) -> None:
    """Note whose process ids the locks in the view will hold: those of this process's namespace."""
    control = _control(directory)
    if control is not None:
        control.words[WORD_PID_NAMESPACE] = host.pid_namespace()
