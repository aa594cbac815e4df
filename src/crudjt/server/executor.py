"""Thread pool that keeps two threads working and adds one for each that blocks.

Threads of one Python process compete for the GIL: eight need twice the processor time of two for the same calls. But
with only two, two calls that block (on the disk, another process, a client that sends nothing) would stop all others.
So two threads work, and those that take long do not count.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any

AT_WORK = 2

_TICK_SECONDS = 0.01  # a task that runs for a whole tick takes long
# What glibc gives a thread. With musl it has 1 MiB or less, which CPython 3.13 overruns while it unpacks data that is
# nested 10,000 deep, to refuse it.
_STACK_BYTES = 8 * 1024**2


class AdaptiveThreadPool(Executor):
    """Runs tasks in threads, in the order of submission.

    It starts its own threads, since passing each task to a `ThreadPoolExecutor` costs a tenth of a call. `shutdown`
    joins them; the end of the interpreter does not.

    Args:
        most: the largest number of tasks that run at once; the others wait.
        name: prefix of the names of the threads.

    """

    def __init__(self, most: int, name: str) -> None:
        """Prepare; threads are started when they are needed."""
        self._most = most
        self._name = name
        self._started: SimpleQueue[_Task | None] = SimpleQueue()  # tasks for idle threads
        self._backlog = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()  # of all that follows
        self._waiting: deque[_Task] = deque()
        self._running: set[_Task] = set()
        self._long: set[_Task] = set()  # some of those that run
        self._threads: list[threading.Thread] = []
        self._idle = 0  # of the threads
        self._monitor: threading.Thread | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return the future of a call.

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
                self._note_backlog()
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; wait for those that are left, or with `cancel_futures` for those that run."""
        with self._lock:
            self._closing.set()
            while cancel_futures and self._waiting:
                self._waiting.popleft().future.cancel()
            threads = self._threads.copy()
            for _ in threads:
                self._started.put(None)
        self._backlog.set()
        for thread in threads if wait else ():
            thread.join()

    def _places(self) -> int:
        """Return how many more tasks may run; negative if too many do."""
        return min(AT_WORK + len(self._long), self._most) - len(self._running)

    def _begin(self, task: "_Task") -> None:
        self._running.add(task)
        if self._idle:
            self._idle -= 1
            self._started.put(task)
            return
        name = f"{self._name}_{len(self._threads)}"
        self._threads.append(threading.Thread(target=self._work, args=[task], name=name, daemon=True))
        before = threading.stack_size(_STACK_BYTES)  # of the threads that this process starts from now on
        try:
            self._threads[-1].start()
        finally:
            threading.stack_size(before)

    def _note_backlog(self) -> None:
        if not self._backlog.is_set():
            self._backlog.set()
            if self._monitor is None:
                self._monitor = threading.Thread(target=self._watch, name=f"{self._name}-monitor", daemon=True)
                self._monitor.start()

    def _work(self, first: "_Task") -> None:
        task: _Task | None = first
        while task is not None:
            task.run()
            task = self._next(task) or self._started.get()

    def _next(self, done: "_Task") -> "_Task | None":
        """Return the next task for a thread that has finished one; ``None`` if it should become idle."""
        with self._lock:
            self._running.discard(done)
            self._long.discard(done)
            if not self._waiting or self._places() <= 0:
                self._idle += 1
                return None
            task = self._waiting.popleft()
            self._running.add(task)
            return task

    def _watch(self) -> None:
        """While tasks wait, find running tasks that take long, and start one more for each of them."""
        while not self._closing.is_set():
            self._backlog.wait()
            seen: set[_Task] = set()
            while not self._closing.wait(_TICK_SECONDS):
                with self._lock:
                    if not self._waiting or self._closing.is_set():
                        self._backlog.clear()
                        break
                    self._long |= seen & self._running
                    seen = self._running.copy()
                    while self._waiting and self._places() > 0:
                        self._begin(self._waiting.popleft())


class _Task:
    """A call and its future."""

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.future: Future[Any] = Future()
        self._call = fn, args, kwargs

    def run(self) -> None:
        if self.future.set_running_or_notify_cancel():
            fn, args, kwargs = self._call
            try:
                self.future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - the future raises it
                self.future.set_exception(error)
