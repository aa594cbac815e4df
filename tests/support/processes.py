"""Processes of the tests: started, talked to with a bound on every wait, and never left behind."""

import multiprocessing
import os
import pickle
import select
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar

import pytest

import crudjt
from crudjt._core.changes import SESSION
from crudjt.testing import temporary_store
from tests.support import waiting
from tests.support.embedded import stored
from tests.support.forks import fork_below_python

PATIENCE, eventually = waiting.PATIENCE, waiting.eventually

# A thread that waits for the write lock of a wedged store does not hear signals. The limit ends the whole worker of
# pytest, so it is longer than a busy machine may take.
UNINTERRUPTIBLE = pytest.mark.timeout(300, method="thread")

_SPAWN = multiprocessing.get_context("spawn")
_ALL = 10**9

AnyWorker = TypeVar("AnyWorker", bound="Worker")


class Failure(NamedTuple):
    """What a process sends in place of an answer when it raised."""

    trace: str
    classes: list[str]  # of the exception, by name, the most special first


class ForkFailure(AssertionError):
    """A forked process raised, was ended by a signal other than SIGKILL, or did not end in time.

    Attributes:
        cause: which of them.
        classes: the names of the classes of what it raised.

    """

    def __init__(self, message: str, cause: Literal["raised", "signal", "time"], classes: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.cause = cause
        self.classes = list(classes)


class Ended(NamedTuple):
    """How a forked process ended: what its function returned, or that it was killed."""

    killed: bool
    result: Any


class Worker:
    """A new process (spawned, so it shares nothing) that runs ``function(pipe, *arguments)``."""

    def __init__(self, function: Callable[..., None], *arguments: object) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_run, args=(theirs, function, *arguments), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def has_answered(self) -> bool:
        return self._pipe.poll()

    def send(self, message: object) -> None:
        self._pipe.send(message)

    def receive(self, seconds: float = PATIENCE) -> Any:
        """Return the next answer; a failure of the process is raised here."""
        assert self._pipe.poll(seconds), f"process {self.pid} gave no answer in {seconds} seconds"
        answer = self._pipe.recv()
        assert not isinstance(answer, Failure), answer.trace
        return answer

    def ask(self, message: object, seconds: float = PATIENCE) -> Any:
        self.send(message)
        return self.receive(seconds)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End the process by SIGKILL, and return when it is gone."""
        self._process.kill()
        self._process.join(PATIENCE)
        assert not self._process.is_alive()

    def finish(self) -> None:
        """Return when the process has ended by itself, without an error."""
        self._process.join(PATIENCE)
        assert self._process.exitcode == 0

    def __enter__(self: AnyWorker) -> AnyWorker:
        return self

    def end(self) -> None:
        """Leave nothing of it behind."""
        self.kill()
        self._process.close()
        self._pipe.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


def _run(pipe: Connection, function: Callable[..., None], *arguments: object) -> None:
    try:
        function(pipe, *arguments)
    except BaseException as error:
        pipe.send(_failure(error))
        raise


def _failure(error: BaseException) -> Failure:
    return Failure(traceback.format_exc(), [each.__name__ for each in type(error).__mro__])


class StoreProcess(Worker):
    """Another process that has the store open and does what it is told."""

    def __init__(self, path: Path | str, secret_key: str, **options: Any) -> None:
        super().__init__(_serve_store, path, secret_key, options)
        self.receive()

    def call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Return what the method of its store returns; an iterator comes as a list."""
        return self.ask((method, arguments, keywords))

    def leave(self) -> None:
        """Let it close its store and end."""
        self.send(None)
        self.finish()


def _serve_store(pipe: Connection, path: Path | str, secret_key: str, options: dict[str, Any]) -> None:
    with crudjt.open(path, secret_key=secret_key, **options) as store:
        pipe.send("open")
        while (request := pipe.recv()) is not None:
            method, arguments, keywords = request
            result = getattr(store, method)(*arguments, **keywords)
            pipe.send(list(result) if hasattr(result, "__next__") else result)


class Fork:
    """A forked copy of this process that runs one function and leaves by ``os._exit``."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._reaped = False
        self._reading, writing = os.pipe()
        self.pid = self._fork()
        if not self.pid:
            _live_as_child(writing, function, arguments)
        os.close(writing)

    def _fork(self) -> int:
        return os.fork()

    def wait(self, seconds: float = PATIENCE) -> Ended:
        """Return how it ended. One that does not end in time is killed, and a failure of it is raised here."""
        deadline = time.monotonic() + seconds
        content = b""
        while select.select([self._reading], [], [], max(deadline - time.monotonic(), 0))[0]:
            chunk = os.read(self._reading, 65_536)
            if not chunk:
                break
            content += chunk
        else:
            self.kill()
            self._reap()
            raise ForkFailure(f"the forked process did not end in {seconds} seconds", "time")
        status = self._reap()
        if os.WIFSIGNALED(status):
            if os.WTERMSIG(status) != signal.SIGKILL:
                raise ForkFailure(f"ended by signal {os.WTERMSIG(status)}", "signal")
            return Ended(killed=True, result=None)
        result = pickle.loads(content)
        if isinstance(result, Failure):
            raise ForkFailure(result.trace, "raised", result.classes)
        return Ended(killed=False, result=result)

    def kill(self) -> None:
        """Send SIGKILL; the process stays to be waited for."""
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Leave nothing of it behind, whether it was waited for or not."""
        if not self._reaped:
            self.kill()
            self._reap()

    def _reap(self) -> int:
        self._reaped = True
        os.close(self._reading)
        return os.waitpid(self.pid, 0)[1]


class ForkBelowPython(Fork):
    """The same by fork(2) itself, as C code forks: no hook of Python is called."""

    def _fork(self) -> int:
        return fork_below_python()


@contextmanager
def held_by_another_thread(*locks: AbstractContextManager[Any]) -> Generator[None]:
    """Have another thread hold locks beside the block, as one may while its process is forked."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(PATIENCE)
        yield
    finally:
        done.set()
        thread.join()


def _live_as_child(writing: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> NoReturn:
    code = 1
    try:
        try:
            result = function(*arguments)
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits
            result = _failure(error)
        with open(writing, "wb") as pipe:
            pickle.dump(result, pipe)
        code = 0
    finally:
        os._exit(code)


class Forker(Worker):
    """A spawned process of one thread that forks others, each of which runs one function; cheap enough for hundreds."""

    def __init__(self) -> None:
        super().__init__(_serve_forks)
        self._running: set[int] = set()

    def start(self, function: Callable[..., Any], *arguments: Any) -> int:
        """Return the process id of a new process, which is not used again before `wait`."""
        pid: int = self.ask((function, arguments))
        self._running.add(pid)
        return pid

    def wait(self, pid: int) -> Ended:
        ended: Ended = self.ask(pid, 2 * PATIENCE)
        self._running.discard(pid)
        return ended

    def run(self, function: Callable[..., Any], *arguments: Any) -> Ended:
        return self.wait(self.start(function, *arguments))

    @property
    def is_at_work(self) -> bool:
        """Tell whether something that was started has not been waited for."""
        return bool(self._running)

    def end(self) -> None:
        for pid in self._running:
            with suppress(ProcessLookupError):  # one that failed was waited for
                os.kill(pid, signal.SIGKILL)
        super().end()


def _serve_forks(pipe: Connection) -> None:
    with temporary_store() as store:  # so that what is done at first use is not done again in each fork
        store.read(store.create({}))
    forks: dict[int, Fork] = {}
    while True:
        request = pipe.recv()
        if isinstance(request, int):
            pipe.send(forks.pop(request).wait())
        else:
            function, arguments = request
            fork = Fork(function, *arguments)
            forks[fork.pid] = fork
            pipe.send(fork.pid)


def replayed_content(path: Path, secret_key: str, copy: Path) -> dict[bytes, bytes]:
    """Return what base and log alone say, by opening a copy of them as another boot would find them.

    Nobody may write meanwhile. The copy has no view and no control block, so both are made again.
    """
    copy.mkdir()
    shutil.copy(path / "manifest", copy)
    for part in ("log", "base"):
        shutil.copytree(path / part, copy / part)
    try:
        with crudjt.open(copy, secret_key=secret_key) as store:
            content = stored(store)
            assert store.stats().sessions == sum(key.startswith(SESSION) for key in content)
            return content
    finally:
        shutil.rmtree(copy)
