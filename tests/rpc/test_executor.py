"""The threads that carry out calls: few, but never all of them stuck."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future

import pytest

from crudjt.server import executor as module
from crudjt.server.executor import AT_WORK, AdaptiveThreadPool
from tests.support.servers import PATIENCE

A_WHILE = 0.2  # for which what must not happen is waited for; it is never too short for what is right


class Stuck:
    """A task that ends when it is told to."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self.go_on.wait(PATIENCE)


@pytest.fixture
def pool() -> Iterator[AdaptiveThreadPool]:
    pool = AdaptiveThreadPool(8, "test")
    yield pool
    pool.shutdown()


@pytest.fixture
def stuck() -> Iterator[Callable[[], Stuck]]:
    made: list[Stuck] = []

    def make() -> Stuck:
        made.append(Stuck())
        return made[-1]

    yield make
    for each in made:
        each.go_on.set()


def submit_stuck(
    pool: AdaptiveThreadPool, stuck: Callable[[], Stuck], count: int
) -> list[tuple[Stuck, "Future[None]"]]:
    return [(task, pool.submit(task)) for task in (stuck() for _ in range(count))]


def test_the_result_and_the_error_of_a_task_are_in_its_future(pool: AdaptiveThreadPool) -> None:
    assert pool.submit(divmod, 7, 2).result(PATIENCE) == (3, 1)
    assert isinstance(pool.submit(divmod, 7, 0).exception(PATIENCE), ZeroDivisionError)
    assert pool.submit(dict, a=1).result(PATIENCE) == {"a": 1}


def test_no_more_work_at_a_time_than_is_cheap(
    pool: AdaptiveThreadPool, stuck: Callable[[], Stuck], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TICK_SECONDS", 2 * PATIENCE)
    tasks = submit_stuck(pool, stuck, AT_WORK + 1)
    for task, _ in tasks[:-1]:
        assert task.begun.wait(PATIENCE)
    last, _ = tasks[-1]
    assert not last.begun.wait(A_WHILE)
    tasks[0][0].go_on.set()
    assert last.begun.wait(PATIENCE)


def test_tasks_that_take_long_keep_no_other_waiting_up_to_the_limit(
    pool: AdaptiveThreadPool, stuck: Callable[[], Stuck]
) -> None:
    running = submit_stuck(pool, stuck, 7)
    for task, _ in running:
        assert task.begun.wait(PATIENCE)
    for _ in range(20):
        assert pool.submit(int).result(PATIENCE) == 0
    running += submit_stuck(pool, stuck, 1)
    assert running[-1][0].begun.wait(PATIENCE)
    [(waiting, _)] = submit_stuck(pool, stuck, 1)
    assert not waiting.begun.wait(A_WHILE)
    running[0][0].go_on.set()
    assert waiting.begun.wait(PATIENCE)


def test_when_long_tasks_have_ended_few_work_again(
    pool: AdaptiveThreadPool, stuck: Callable[[], Stuck], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = submit_stuck(pool, stuck, 7)
    for task, _ in running:
        assert task.begun.wait(PATIENCE)
    monkeypatch.setattr(module, "_TICK_SECONDS", 2 * PATIENCE)
    tasks = submit_stuck(pool, stuck, AT_WORK + 1)
    for task, _ in running:
        task.go_on.set()
    for task, _ in tasks[:-1]:
        assert task.begun.wait(PATIENCE)
    assert not tasks[-1][0].begun.wait(A_WHILE)


def test_a_shutdown_waits_for_what_runs_and_drops_what_waits(
    stuck: Callable[[], Stuck], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TICK_SECONDS", 2 * PATIENCE)
    pool = AdaptiveThreadPool(8, "test")
    tasks = submit_stuck(pool, stuck, AT_WORK + 1)
    stopping = threading.Thread(target=pool.shutdown, kwargs={"cancel_futures": True})
    stopping.start()
    with pytest.raises(CancelledError):
        tasks[-1][1].result(PATIENCE)
    assert stopping.is_alive()
    for task, _ in tasks:
        task.go_on.set()
    stopping.join(PATIENCE)
    assert [result.exception(0) for _, result in tasks[:-1]] == [None] * AT_WORK
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(int)


def test_a_shutdown_carries_out_what_waits_if_it_is_not_told_to_drop_it(stuck: Callable[[], Stuck]) -> None:
    pool = AdaptiveThreadPool(2, "test")
    tasks = submit_stuck(pool, stuck, 3)
    for task, _ in tasks:
        task.go_on.set()
    pool.shutdown()
    assert [result.exception(0) for _, result in tasks] == [None] * 3


NESTED = """
import threading
from crudjt._core.codec import unpack_sent
from crudjt.server.executor import AdaptiveThreadPool

threading.stack_size(128 * 1024)
error = AdaptiveThreadPool(2, "test").submit(unpack_sent, b"\\x81\\xa1a" + 100_000 * b"\\x91").exception(60)
print(type(error).__name__, threading.stack_size())
"""


@pytest.mark.slow
def test_data_that_is_nested_too_deeply_is_refused_also_where_threads_are_small() -> None:
    """With musl they are, and an overrun would kill the server. Other threads of the process keep their size."""
    ended = subprocess.run([sys.executable, "-c", NESTED], check=False, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "InvalidParameter 131072\n")
