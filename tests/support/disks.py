"""What the tests of durability share: new boots, what a store holds, damage, small disks, processes that die."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple, TypeVar

import pytest

import crudjt
from crudjt import _filesystem
from crudjt._backends.embedded.engine.layout import BASE_DIRECTORY, CONTROL_FILE, VIEW_DIRECTORY
from crudjt._backends.embedded.engine.lmdb_format import DATA_FILE
from crudjt._backends.embedded.engine.log import LOG_DIRECTORY
from crudjt._backends.embedded.engine.mmap_writer import MappedSegmentWriter
from crudjt._backends.embedded.engine.segment import HEADER_BLOCK_BYTES, Entry, segment_numbers, segment_path
from crudjt._backends.embedded.engine.segment_reader import SegmentReader
from crudjt._backends.embedded.engine.segment_writer import SegmentWriter
from crudjt._filesystem import host
from tests.support.embedded import stored
from tests.support.waiting import PATIENCE, eventually

MIB = 1024**2
QUIET = 3600.0  # a sync interval at which the background thread never comes

Result = TypeVar("Result")

# A forked process has what its test has patched. Fork only while this process has no store open, so no threads.
fork = multiprocessing.get_context("fork")


class Machine:
    """The operating system as the store sees it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        """Boot."""
        self.boot = host.Boot("boot 0", 1_700_000_000)
        self._boots = 0
        patch.setattr(host, "current_boot", lambda: self.boot)

    def reboot(self) -> None:
        """Begin another boot; stores that are open now go on as if they had not noticed."""
        self._boots += 1
        self.boot = host.Boot(f"boot {self._boots}", self.boot.time + 3600)


# What a store holds


class Picture(NamedTuple):
    """A store as its owner sees it, and its records byte for byte."""

    sessions: dict[str, Any]
    subjects: dict[str, list[str]]
    counted: int
    stored: dict[bytes, bytes]


def picture(store: crudjt.Store, tokens: Iterable[str] = (), subjects: Iterable[str] = ()) -> Picture:
    """Look at everything without changing anything."""
    return Picture(
        {token: facts(store.peek(token)) for token in tokens},
        {subject: sorted(session.id for session in store.sessions(subject)) for subject in subjects},
        store.stats().sessions,
        stored(store),
    )


def facts(session: crudjt.Session | None) -> tuple[Any, ...] | None:
    """Return every field of a session, comparable."""
    if session is None:
        return None
    return (
        session.data,
        session.id,
        session.subject,
        session.version,
        session.created_at,
        session.expires_at,
        session.reads_left,
    )


# Files of a store


def data_file(path: Path) -> Path:
    """Return the file of the view."""
    return path / VIEW_DIRECTORY / DATA_FILE


def segments(path: Path) -> list[Path]:
    """Return the segments of a store, oldest first."""
    log = path / LOG_DIRECTORY
    return [segment_path(log, number) for number in segment_numbers(log)]


def bases(path: Path) -> list[Path]:
    """Return the snapshots of a store."""
    return sorted((path / BASE_DIRECTORY).glob("*.mdb"))


def entries(segment: Path) -> list[Entry]:
    """Return the whole entries of a segment."""
    return list(SegmentReader(segment).entries())


def log_end(segment: Path) -> int:
    """Return where the last entry of a segment ends; behind it may be room that was allocated ahead."""
    return max([HEADER_BLOCK_BYTES, *(entry.end for entry in entries(segment))])


def all_files(path: Path) -> dict[str, bytes]:
    """Return the content of every file that recovery reads."""
    found = [path / "manifest", *path.glob(f"{LOG_DIRECTORY}/*"), *path.glob(f"{BASE_DIRECTORY}/*")]
    return {str(file.relative_to(path)): file.read_bytes() for file in found if file.is_file()}


def cut_power(path: Path, target: Path) -> Path:
    """Copy what a store, open or not, has on disk; its view is lost, and what is left of it is garbage."""
    shutil.copytree(path, target, ignore=shutil.ignore_patterns(VIEW_DIRECTORY, CONTROL_FILE))
    spoil_view(target)
    return target


def spoil_view(path: Path) -> None:
    """Leave of the view and the control block what a crash may leave: any bytes at all."""
    (path / VIEW_DIRECTORY).mkdir(exist_ok=True)
    for file in (data_file(path), path / VIEW_DIRECTORY / "lock.mdb", path / CONTROL_FILE):
        file.write_bytes(os.urandom(20_000))


def flip(file: Path, offset: int, mask: int = 0xFF) -> None:
    """Change one byte of a file."""
    with file.open("r+b") as opened:
        opened.seek(offset)
        old = opened.read(1)[0]
        opened.seek(offset)
        opened.write(bytes([old ^ mask]))


# Two ways to write the log

WAYS_TO_WRITE = pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "written"])


def write_log(patch: pytest.MonkeyPatch, *, mapped: bool) -> None:
    """See that stores write their log through a map, or with calls, as on a file system that cannot allocate ahead."""
    if not mapped:
        patch.setattr(host, "PREALLOCATING_FILE_SYSTEMS", frozenset[str]())


def die_after_appending() -> None:
    """Let this process die when it has written its next entry to the log, before the commit."""
    for owner in (SegmentWriter, MappedSegmentWriter):
        append = owner.append

        def append_and_die(
            self: SegmentWriter, entry: bytes, offset: int, append: Callable[..., None] = append
        ) -> None:
            append(self, entry, offset)
            os.kill(os.getpid(), signal.SIGKILL)

        owner.append = append_and_die  # type: ignore[method-assign] # this process ends with it


# Small disks


@contextmanager
def small_disk(kind: str, size: int) -> Generator[Path]:
    """Keep a file system of `size` bytes mounted; skip the test where nothing can be mounted."""
    directory = Path(tempfile.mkdtemp(prefix="disk-"))  # not in that of the test, which pytest removes when it passes
    point, image = directory / "mounted", directory / "image"
    point.mkdir()
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(point)]
    else:
        image.touch()
        os.truncate(image, size)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
        command = ["mount", "-o", "loop", str(image), str(point)]
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount {kind}: {mounted.stderr.strip()}")
    try:
        yield point
    finally:
        # Lazily, so that a test which failed with a file open says so, rather than that the disk was busy.
        subprocess.run(["umount", "--lazy", str(point)], check=True)
        shutil.rmtree(directory)


def fill(disk: Path, leave: int = 0) -> Path:
    """Take all the space of a disk but `leave` bytes; return the file that holds it."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as opened:
        try:
            while (size := min(_filesystem.free_bytes(disk) - leave, MIB)) >= _filesystem.BLOCK_BYTES or not leave:
                opened.write(bytes(max(size, 1)))
        except OSError as error:
            assert error.errno in _filesystem.DISK_FULL_ERRNOS
    return ballast


# Processes


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when a background thread or another process has done its part."""
    assert eventually(condition), f"nothing happened for {PATIENCE:.0f} s"


def in_child(function: Callable[..., Result], *arguments: Any) -> Result:
    """Return what a function returns in a process of its own. A process that dies fails the test, with its signal."""
    result, exit_code = _run_child(function, arguments)
    assert exit_code == 0, f"the process ended with {exit_code} instead of a result"
    succeeded, value = result
    assert succeeded, value
    return value  # type: ignore[no-any-return] # it went through a pipe


def exit_code_of_child(function: Callable[..., object], *arguments: Any) -> int | None:
    """Run a function in a process that may die; return how it ended, as `multiprocessing` says it."""
    result, exit_code = _run_child(function, arguments)
    assert result is None or result[0], result
    return exit_code


def _run_child(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, int | None]:
    receiving, sending = fork.Pipe(duplex=False)
    process = fork.Process(target=_report, args=(sending, function, arguments))
    process.start()
    sending.close()
    result = None
    try:
        result = receiving.recv()
    except EOFError:
        pass  # it died; its exit code says how
    finally:
        receiving.close()
        process.join(60)
    return result, process.exitcode


def _report(sending: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        sending.send((True, function(*arguments)))
    except Exception:  # noqa: BLE001 - the test shows it, whatever it is
        sending.send((False, traceback.format_exc()))


def die_at_line(modules: Iterable[ModuleType], number: int, function: Callable[..., object], *arguments: Any) -> int:
    """Run a function, and kill this process when it begins its `number`-th line of some modules.

    Returns how many such lines it ran, if it is alive.
    """
    lines = 0
    traced = {module.__file__ for module in modules}

    def on_line(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal lines
        if event == "line":
            lines += 1
            if lines == number:
                os.kill(os.getpid(), signal.SIGKILL)
        return on_line

    def on_call(frame: FrameType, _event: str, _argument: Any) -> Any:
        return on_line if frame.f_code.co_filename in traced else None

    sys.settrace(on_call)
    try:
        function(*arguments)
    finally:
        sys.settrace(None)
    return lines
