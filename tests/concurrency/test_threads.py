"""Threads of one process: they share a store, end when they like, and are interrupted anywhere."""

import gc
import os
import random
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt._core.changes import SESSION
from tests.support.embedded import engine_of, reader_pids, stored
from tests.support.processes import (
    PATIENCE,
    UNINTERRUPTIBLE,
    StoreProcess,
    Worker,
    eventually,
    replayed_content,
)

pytestmark = UNINTERRUPTIBLE

THREADS = 8
HOURS = 3600.0


def _run_all(functions: Sequence[Callable[[], object]]) -> None:
    """Run functions at once, each in a thread; raise the first error."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(functions))

    def run(function: Callable[[], object]) -> None:
        try:
            start.wait(PATIENCE)
            function()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,), daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def _live(store: crudjt.Store, name: str, rounds: int) -> None:
    """Do everything to sessions of one's own, and check every answer."""
    chance = random.Random(name)
    live: dict[str, int] = {}
    for n in range(rounds):
        live[store.create({"n": n}, subject=name, ttl=HOURS)] = n
        tokens = store.create_many([{"n": n}, {"n": n}], subject=name)
        live.update(dict.fromkeys(tokens, n))
        token = chance.choice(sorted(live))
        session = store.read(token)
        assert session is not None
        assert session.data == {"n": live[token]}
        assert store.update(token, {"n": -n}, if_version=session.version)
        assert store.touch(token, ttl=None)
        rotated = store.rotate(token)
        assert rotated is not None
        assert store.read(token) is None
        del live[token]
        live[rotated] = -n
        assert store.delete(tokens[1]) is (tokens[1] in live)
        live.pop(tokens[1], None)
        limited = store.create({}, max_reads=1)
        assert store.read(limited) is not None
        assert store.read(limited) is None
        chosen = chance.sample(sorted(live), 2)
        assert [s and s.data["n"] for s in store.read_many(chosen)] == [live[token] for token in chosen]
        if n % 20 == 19:
            assert sorted(s.data["n"] for s in store.sessions(name)) == sorted(live.values())
            assert store.revoke(name, keep=chosen[0]) == len(live) - 1
            live = {chosen[0]: live[chosen[0]]}
            assert [store.peek(token) is None for token in chosen] == [False, True]
            store.stats()
            store.sweep()


def test_eight_threads_that_do_everything_do_not_see_each_other(path: Path, secret_key: str, tmp_path: Path) -> None:
    with crudjt.open(path, secret_key=secret_key, sync_interval=0.001) as store:
        _run_all([partial(_live, store, f"thread-{n}", 120) for n in range(THREADS)])
        content = stored(store)
        assert replayed_content(path, secret_key, tmp_path / "copy") == content
        assert store.stats().sessions == sum(key.startswith(SESSION) for key in content)


def test_threads_of_durability_full_share_syncs_and_lose_nothing(path: Path, secret_key: str) -> None:
    tokens: list[str] = []

    def create() -> None:
        for n in range(20):
            tokens.append(store.create({"n": n}))
            assert store.update(tokens[-1], {"n": n})

    with crudjt.open(path, secret_key=secret_key, durability="full", sync_interval=HOURS) as store:
        _run_all([create] * THREADS)
        assert store.stats().unsynced_bytes == 0
        assert all(store.read(token) is not None for token in tokens)


def _end_threads(pipe: Connection, path: Path, secret_key: str) -> None:
    """Run hundreds of threads of one operation each; answer with what they have left."""
    store = crudjt.open(path, secret_key=secret_key)
    token = store.create({"n": 0})
    limited = store.create({"n": 0}, max_reads=1000)

    def conflict() -> None:
        with pytest.raises(crudjt.VersionConflict):
            store.update(token, {}, if_version=99)

    operations: list[Callable[[], Any]] = [
        lambda: store.read(token), lambda: store.peek(token), lambda: store.create({}), lambda: store.read(limited),
        lambda: store.update(token, {"n": 1}), lambda: store.delete("A" * 22), lambda: list(store.sessions("s")),
        conflict,
    ]  # fmt: skip
    for _ in range(30):
        _run_all(operations)
    gc.collect()
    slots = [pid for pid in reader_pids(store) if pid == str(os.getpid())]
    session = store.read(limited)
    pipe.send((len(slots), session and session.reads_left, store.stats().sessions))
    store.close()


@pytest.mark.slow
def test_a_thread_that_ends_right_after_an_operation_leaves_nothing_behind(path: Path, secret_key: str) -> None:
    """No lock, no transaction and no reader slot stays with it, but for the slots that are kept for the next read."""
    with Worker(_end_threads, path, secret_key) as worker:
        slots, reads_left, sessions = worker.receive(2 * PATIENCE)
        worker.finish()
    assert slots <= THREADS + 1
    assert reads_left == 1000 - 31
    assert sessions == 32


def test_the_same_directory_opened_twice_by_any_spelling_is_one_store(
    path: Path, secret_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with crudjt.open(path, secret_key=secret_key) as first:
        link = tmp_path / "link"
        link.symlink_to(path)
        spellings: list[str | Path] = [
            path,
            Path(path.name),
            link,
            tmp_path / "link" / ".." / path.name,
            f"{path}/",
            str(link),
        ]
        token = first.create({"n": 0})
        for n, spelling in enumerate(spellings, 1):
            second = crudjt.open(spelling, secret_key=secret_key)
            assert engine_of(second) is engine_of(first)
            session = second.read(token)
            assert session is not None
            assert second.update(token, {"n": n}, if_version=session.version)
            seen = first.read(token)
            assert seen is not None
            assert seen.data == {"n": n}
            second.close()
            second.close()
            with pytest.raises(crudjt.StoreClosed):
                second.read(token)
            assert first.update(token, {"n": n})
            assert first.peek(token) is not None


def test_closing_the_first_of_two_leaves_the_second(path: Path, secret_key: str) -> None:
    first = crudjt.open(path, secret_key=secret_key)
    with crudjt.open(path, secret_key=secret_key, sync_interval=0.01) as second:
        token = first.create({"n": 0})
        first.close()
        assert second.update(token, {"n": 1})
        assert eventually(lambda: second.stats().unsynced_bytes == 0)


def test_the_shortest_sync_interval_of_those_who_share_a_store_holds(path: Path, secret_key: str) -> None:
    """Also when it comes second."""
    with (
        crudjt.open(path, secret_key=secret_key, sync_interval=HOURS),
        crudjt.open(path, secret_key=secret_key, sync_interval=0.01) as second,
    ):
        second.create({})
        assert eventually(lambda: second.stats().unsynced_bytes == 0)


def test_threads_that_open_and_close_the_same_directory_do_not_get_into_each_others_way(
    path: Path, secret_key: str
) -> None:
    tokens: list[str] = []

    def open_and_close() -> None:
        for n in range(15):
            with crudjt.open(path, secret_key=secret_key) as store:
                tokens.append(store.create({"n": n}))
                assert store.read(tokens[0]) is not None

    _run_all([open_and_close] * THREADS)
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.stats().sessions == THREADS * 15
        assert all(store.read(token) is not None for token in tokens)


@pytest.mark.slow
def test_closing_while_other_threads_work_ends_them_with_store_closed_and_disturbs_no_process(
    path: Path, secret_key: str
) -> None:
    """What they were told is done stays done; another process writes at once, every time."""
    acknowledged: list[str] = []

    def work(store: crudjt.Store) -> None:
        with suppress(crudjt.StoreClosed):
            while True:
                token = store.create({"n": 0})
                acknowledged.append(token)
                assert store.read(token) is not None
                assert store.peek(token) is not None
                assert store.update(token, {"n": 1})

    def close(store: crudjt.Store, count: int) -> None:
        eventually(lambda: len(acknowledged) > count + 20)
        store.close()

    with StoreProcess(path, secret_key) as other:
        for _ in range(30):
            store = crudjt.open(path, secret_key=secret_key)
            _run_all([partial(work, store)] * 4 + [partial(close, store, len(acknowledged))])
            assert other.ask(("create", ({},), {}))
        assert all(session is not None for session in other.call("read_many", acknowledged))
        other.leave()


# Interrupts

INTERRUPTS = 600


class Interrupted:
    """Raises KeyboardInterrupt at some moment of a block, from the handler of a timer."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.count = 0
        signal.signal(signal.SIGALRM, self._raise)

    def _raise(self, *_: object) -> None:
        self.count += 1
        raise KeyboardInterrupt

    def run(self, function: Callable[[], Any]) -> Any:
        """Return what the function returns, or ``None`` if it was interrupted."""
        try:
            signal.setitimer(signal.ITIMER_REAL, self._chance.uniform(1e-6, 150e-6))
            result = function()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            return None
        return result


def _be_interrupted(pipe: Connection, path: Path, secret_key: str) -> None:
    """Change sessions under interrupts; answer with what was acknowledged and what may have happened beside."""
    chance = random.Random(INTERRUPTS)
    with crudjt.open(path, secret_key=secret_key) as store:
        tokens = [store.create({"n": 0}, subject=str(k)) for k in range(10)]
        numbers = [{0} for _ in tokens]
        interrupted = Interrupted(chance)
        extra = 0
        while interrupted.count < INTERRUPTS:
            k = chance.randrange(10)
            token, new = tokens[k], max(numbers[k]) + 1
            if chance.random() < 0.7:
                done = interrupted.run(partial(store.update, token, {"n": new}))
                assert done is not False
                numbers[k] = {new} if done else numbers[k] | {new}
            elif chance.random() < 0.5:
                created = interrupted.run(partial(store.create, {"n": -1}, subject=f"new-{k}"))
                extra += created is None
                if created:
                    assert store.delete(created)
            else:
                moved = interrupted.run(partial(store.rotate, token))
                if moved:
                    tokens[k] = moved
                elif store.peek(token) is None:  # moved, and the new token is lost
                    assert len(list(store.sessions(str(k)))) == 1
                    store.revoke(str(k))
                    tokens[k], numbers[k] = store.create({"n": 0}, subject=str(k)), {0}
            session = store.read(tokens[k])
            assert session is not None
            assert session.data["n"] in numbers[k]
            numbers[k] = {session.data["n"]}
        pipe.send((tokens, [min(known) for known in numbers], extra))
        pipe.recv()


@pytest.mark.slow
def test_a_keyboard_interrupt_anywhere_in_an_operation_neither_wedges_the_store_nor_loses_a_change(
    path: Path, secret_key: str, tmp_path: Path
) -> None:
    with (
        StoreProcess(path, secret_key) as other,
        Worker(_be_interrupted, path, secret_key) as worker,
        crudjt.open(path, secret_key=secret_key) as store,
    ):
        while not worker.has_answered:
            assert other.ask(("delete", (other.ask(("create", ({},), {})),), {}))
        tokens, numbers, extra = worker.receive()
        assert [session and session.data["n"] for session in map(store.read, tokens)] == numbers
        left_over = store.stats().sessions - len(tokens)
        assert 0 <= left_over <= extra
        content = stored(store)
        assert replayed_content(path, secret_key, tmp_path / "copy") == content
        worker.send("go")
        worker.finish()
        other.leave()
