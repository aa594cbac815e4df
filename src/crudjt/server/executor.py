"""`Crew`: threads that carry out calls; few of them, but always some more than are stuck.

Threads of one Python process take turns. Each that is woken while others run costs them, so that eight threads need
twice the processor time of two for the same calls. Two alone would let two calls that wait - for the disk, for another
process, for a client that does not send - keep everybody waiting. So two work; those that take long do not count.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any

AT_WORK = 2

_TICK_SECONDS = 0.01  # a task that outlasts a whole one takes long


class Crew(Executor):
    """Carries out tasks in threads, in the order in which they come.

    It has threads of its own, since to hand each task on to a `ThreadPoolExecutor` costs a tenth of a call. They are
    not waited for when the interpreter ends, but by `shutdown`.

    Args:
        most: how many may run at a time, whatever they wait for; the others wait.
        name: what the names of the threads begin with.

    """

    def __init__(self, most: int, name: str) -> None:
        """Prepare; threads are started when they are needed."""
        self._most = most
        self._name = name
        self._begun: SimpleQueue[_Task | None] = SimpleQueue()  # what threads that rest are to take
        self._behind = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()  # of all that follows
        self._waiting: deque[_Task] = deque()
        self._running: set[_Task] = set()
        self._long: set[_Task] = set()  # some of those that run
        self._threads: list[threading.Thread] = []
        self._resting = 0  # of the threads
        self._foreman: threading.Thread | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return what a call will come to.

        Raises:
            RuntimeError: after `shutdown`.

        """
        task = _Task(fn, args, kwargs)
        with self._lock:
            if self._closing.is_set():
                raise RuntimeError("the threads have been shut down")
            if self._places() > 0:
                self._begin(task)
            else:
                self._waiting.append(task)
                self._fall_behind()
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; wait for those that are left, or with `cancel_futures` for those that run."""
        with self._lock:
            self._closing.set()
            while cancel_futures and self._waiting:
                self._waiting.popleft().future.cancel()
            threads = self._threads.copy()
            for _ in threads:
                self._begun.put(None)
        self._behind.set()
        for thread in threads if wait else ():
            thread.join()

    def _places(self) -> int:
        """Return how many tasks more may run, or fewer should."""
        return min(AT_WORK + len(self._long), self._most) - len(self._running)

    def _begin(self, task: "_Task") -> None:
        self._running.add(task)
        if self._resting:
            self._resting -= 1
            self._begun.put(task)
            return
        name = f"{self._name}_{len(self._threads)}"
        self._threads.append(threading.Thread(target=self._work, args=[task], name=name, daemon=True))
        self._threads[-1].start()

    def _fall_behind(self) -> None:
        if not self._behind.is_set():
            self._behind.set()
            if self._foreman is None:
                self._foreman = threading.Thread(target=self._look_after, name=f"{self._name}-foreman", daemon=True)
                self._foreman.start()

    def _work(self, first: "_Task") -> None:
        task: _Task | None = first
        while task is not None:
            task.carry_out()
            task = self._next(task) or self._begun.get()

    def _next(self, done: "_Task") -> "_Task | None":
        """Return the task of a thread that has done another; ``None`` if it is to rest."""
        with self._lock:
            self._running.discard(done)
            self._long.discard(done)
            if not self._waiting or self._places() <= 0:
                self._resting += 1
                return None
            task = self._waiting.popleft()
            self._running.add(task)
            return task

    def _look_after(self) -> None:
        """While tasks wait, see which of those that run take long, and let as many more run."""
        while not self._closing.is_set():
            self._behind.wait()
            seen: set[_Task] = set()
            while not self._closing.wait(_TICK_SECONDS):
                with self._lock:
                    if not self._waiting or self._closing.is_set():
                        self._behind.clear()
                        break
                    self._long |= seen & self._running
                    seen = self._running.copy()
                    while self._waiting and self._places() > 0:
                        self._begin(self._waiting.popleft())


class _Task:
    """A call that is to be made, and what it will come to."""

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.future: Future[Any] = Future()
        self._call = fn, args, kwargs

    def carry_out(self) -> None:
        if self.future.set_running_or_notify_cancel():
            fn, args, kwargs = self._call
            try:
                self.future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - it is for whoever asks the future
                self.future.set_exception(error)
