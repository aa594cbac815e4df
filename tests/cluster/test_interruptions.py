"""Calls that are cut off by a signal, a cancellation or a fork: no reply ever meets another question."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from random import Random

import pytest

import crudjt
import crudjt.aio
from tests.support.processes import Fork, eventually
from tests.support.stores import read
from tests.support.valkey_servers import FAILOVER, Cluster, Node
from tests.support.valkey_stores import PATIENT, REPLICATED, OpenOn, ServerPool

pytestmark = pytest.mark.slow

CLIENTS = 200


class Interrupted(BaseException):
    """Raised by the signal handler, as Ctrl-C does."""


@pytest.fixture
def quiet(servers: ServerPool) -> Cluster:
    """A cluster that no test harms."""
    return servers.cluster("valkey")


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# Cut off between making a socket and keeping it, the client library leaves it to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_call_that_a_signal_cuts_off_leaves_no_reply_behind(quiet: Cluster, open_on: OpenOn) -> None:
    """At random points of a read, a commit with WAIT behind it, and a bulk read over all primaries."""
    store = open_on(quiet, durability="replicated")
    tokens = [store.create({"n": number}) for number in range(30)]
    random = Random(1)
    cut = 0
    for attempt in range(600):
        number = random.randrange(len(tokens))
        try:
            with interrupted_after(random.uniform(0.00002, 0.0006)):
                if attempt % 3 == 0:
                    assert read(store, tokens[number]).data == {"n": number}
                elif attempt % 3 == 1:
                    assert store.update(tokens[number], {"n": number})
                else:
                    store.read_many(tokens)
        except Interrupted:
            cut += 1
        other = random.randrange(len(tokens))
        assert read(store, tokens[other]).data == {"n": other}
    assert cut > 50
    assert [session and session.data["n"] for session in store.read_many(tokens)] == list(range(30))


def test_a_call_that_is_cancelled_at_any_await_leaves_no_reply_behind(
    quiet: Cluster, namespace: str, secret_key: str
) -> None:
    async def play() -> int:
        store = crudjt.aio.open(quiet.url(namespace), secret_key=secret_key, **PATIENT, **REPLICATED)
        cancelled = 0
        async with store:
            tokens = [await store.create({"n": number}) for number in range(20)]
            for steps in range(40):
                for name in ("read", "update", "read_many", "rotate"):
                    number = (steps * 7) % len(tokens)
                    victim = await store.create({}) if name == "rotate" else tokens[number]
                    calls: dict[str, Callable[[], Coroutine[None, None, object]]] = {
                        "read": partial(store.read, victim),
                        "update": partial(store.update, victim, {"n": number}),
                        "read_many": partial(store.read_many, tokens),
                        "rotate": partial(store.rotate, victim),
                    }
                    task = asyncio.ensure_future(calls[name]())
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    task.cancel()
                    try:
                        await task
                    except asyncio.CancelledError:
                        cancelled += 1
                    other = (number + 3) % len(tokens)
                    session = await store.read(tokens[other])
                    assert session is not None
                    assert session.data == {"n": other}
            found = await asyncio.gather(*(store.read(token) for token in tokens * 5))
            assert [session and session.data["n"] for session in found] == list(range(20)) * 5
        return cancelled

    assert asyncio.run(play()) > 50


def test_a_forked_process_goes_on_with_connections_of_its_own(quiet: Cluster, open_on: OpenOn) -> None:
    store = open_on(quiet)
    tokens = [store.create({"n": number}) for number in range(50)]
    assert len(store.read_many(tokens)) == 50

    def look() -> int:
        wrong = 0
        for number, token in enumerate(tokens * 8):
            wrong += read(store, token).data != {"n": number % 50}
        return wrong

    children = [Fork(look) for _ in range(2)]
    try:
        assert look() == 0
        assert [child.wait().result for child in children] == [0, 0]
    finally:
        for child in children:
            child.end()
    assert look() == 0


def test_a_fork_in_the_middle_of_other_threads_calls(quiet: Cluster, open_on: OpenOn) -> None:
    store = open_on(quiet)
    tokens = [store.create({"n": number}) for number in range(20)]
    stop = threading.Event()
    failures: list[BaseException] = []

    def use() -> None:
        try:
            while not stop.is_set():
                for number, token in enumerate(tokens):
                    assert read(store, token).data == {"n": number}
        except BaseException as error:  # noqa: BLE001 - the failure of a thread is that of the test
            failures.append(error)

    def child() -> list[int]:
        return [read(store, token).data["n"] for token in tokens]

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            fork = Fork(child)
            try:
                assert fork.wait().result == list(range(20))
            finally:
                fork.end()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


def test_threads_share_a_store_and_get_their_own_answers(quiet: Cluster, open_on: OpenOn) -> None:
    store = open_on(quiet)
    tokens = [store.create({"n": number}) for number in range(64)]

    def look(number: int) -> bool:
        return all(read(store, tokens[number]).data == {"n": number} for _ in range(50))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(look, range(64)))


def test_clients_that_reconnect_at_once_do_not_flood_the_cluster(cluster: Cluster, open_on: OpenOn) -> None:
    """A primary dies under 200 threads: the process asks for the slots about once a second, not once a thread."""
    store = open_on(cluster, timeout=1.0)
    tokens = [store.create({"n": number}) for number in range(CLIENTS)]
    stop = threading.Event()
    failures: list[BaseException] = []
    refused = threading.Event()

    def use(number: int) -> None:
        try:
            while not stop.is_set():
                try:
                    assert read(store, tokens[number]).data == {"n": number}
                except crudjt.StoreUnavailable:
                    refused.set()
                stop.wait(0.05)
        except BaseException as error:  # noqa: BLE001 - the failure of a thread is that of the test
            failures.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(CLIENTS)]
    primary = cluster.primaries()[0]
    others = [node for node in cluster.nodes if node is not primary]
    for thread in threads:
        thread.start()
    try:
        before, begun = sum(map(slots_asked, others)), time.monotonic()
        primary.kill()
        cluster.wait_for_failover(primary)
        assert eventually(lambda: all_answer(store, tokens), FAILOVER)
        asked, seconds = sum(map(slots_asked, others)) - before, time.monotonic() - begun
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert asked <= 10 + 3 * seconds


def slots_asked(node: Node) -> int:
    """Return how often a node was asked for the map of slots."""
    found = node.info("commandstats")
    return sum(
        int(value.partition("calls=")[2].partition(",")[0])
        for name, value in found.items()
        if name in ("cmdstat_cluster|slots", "cmdstat_cluster|shards")
    )


def all_answer(store: crudjt.Store, tokens: list[str]) -> bool:
    try:
        return None not in store.read_many(tokens)
    except crudjt.StoreUnavailable:
        return False
