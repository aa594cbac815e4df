"""The blocking and the asyncio driver: what each sends, to which node, and never twice; and what it reads back."""

import asyncio
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pytest

from crudjt._backends.valkey import pool as pool_module
from crudjt._backends.valkey.aio_connections import AsyncConnections
from crudjt._backends.valkey.connections import Connections
from crudjt._backends.valkey.location import servers as parse
from crudjt._backends.valkey.replies import MEANINGS
from crudjt._backends.valkey.requests import LOST, PRIMARIES, Ask, Gets, Node, Reply, Script, Steps
from crudjt._backends.valkey.topology import Topology, slot_of
from crudjt.errors import StoreClosed, StoreFailed, StoreInaccessible, StoreUnavailable
from tests.support.loops import Loop
from tests.support.lossy_proxy import LossyProxy
from tests.support.processes import PATIENCE, Fork, eventually
from tests.support.valkey_servers import Cluster, Servers, SingleServer
from tests.support.valkey_stores import ServerPool

pytestmark = pytest.mark.slow

ADD = Script("redis.call('SET', KEYS[1], ARGV[1]); return redis.call('INCR', KEYS[1] .. 'n')")
TIMEOUT = PATIENCE / 2  # seconds, which no request takes that is answered


class Driver(Protocol):
    """Sends requests, and returns their replies."""

    topology: Topology

    def ask(self, *asks: Ask) -> list[Reply]: ...

    def run(self, steps: Steps[Any]) -> Any: ...

    def end(self) -> None: ...

    def close(self) -> None: ...


def one_step(asks: Sequence[Ask]) -> Steps[list[Reply]]:
    return (yield asks)


class Blocking:
    def __init__(self, location: str, **options: Any) -> None:
        place = parse(location, **{"timeout": TIMEOUT, **options})
        self.topology = Topology(place.nodes, clustered=place.clustered)
        self.connections = Connections(place, self.topology)

    def run(self, steps: Steps[Any]) -> Any:
        return self.connections.run(steps)

    def ask(self, *asks: Ask) -> list[Reply]:
        return self.connections.run(one_step(asks))

    def end(self) -> None:
        self.connections.close()

    close = end


class InLoop:
    def __init__(self, location: str, **options: Any) -> None:
        place = parse(location, **{"timeout": TIMEOUT, **options})
        self.topology = Topology(place.nodes, clustered=place.clustered)
        self.connections = AsyncConnections(place, self.topology)
        self.loop = Loop()

    def run(self, steps: Steps[Any]) -> Any:
        return self.loop.run(self.connections.run(steps))

    def ask(self, *asks: Ask) -> list[Reply]:
        replies: list[Reply] = self.run(one_step(asks))
        return replies

    def end(self) -> None:
        self.loop.run(self.connections.close())

    def close(self) -> None:
        self.end()
        self.loop.close()


Connect = Callable[..., Driver]


@pytest.fixture(params=["blocking", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    made: list[Driver] = []

    def make(place: Servers | str, **options: Any) -> Driver:
        kind = Blocking if request.param == "blocking" else InLoop
        made.append(kind(place if isinstance(place, str) else place.url(), **options))
        return made[-1]

    yield make
    for driver in made:
        driver.close()


@pytest.fixture(params=["valkey", "redis"])
def cluster(request: pytest.FixtureRequest, servers: ServerPool) -> Cluster:
    return servers.cluster(request.param)


@pytest.fixture
def server(servers: ServerPool) -> SingleServer:
    return servers.single("valkey")


@pytest.fixture
def prefix() -> str:
    """Begin the keys of a test."""
    return os.urandom(6).hex()


def add(key: str, value: bytes = b"", **options: Any) -> Ask:
    return Ask(key.encode(), (1, key, value), ADD, **options)


def get(key: str, **options: Any) -> Ask:
    return Ask(key.encode(), (b"GET", key), **options)


def keys(prefix: str, count: int = 12) -> list[str]:
    """Return keys on every primary."""
    return [f"{{{prefix}{number}}}" for number in range(count)]


def values(driver: Driver, names: Sequence[str]) -> Any:
    """Return the values of keys that were asked for together."""
    [reply] = driver.run(one_step(Gets([name.encode() for name in names], slice(1, len(names[0]) - 1))))
    return reply.value


def counts(driver: Driver, names: Sequence[str]) -> list[Any]:
    """Return how often each key was added to."""
    return [int(bytes(reply.value)) if reply.value else 0 for reply in driver.ask(*(get(f"{n}n") for n in names))]  # type: ignore[arg-type]


def connections_to(server: SingleServer) -> int:
    return int(server.node.info("clients")["connected_clients"])


class TestRouting:
    """Requests reach the primary of their slot, together with their WAIT."""

    def test_scripts_reads_and_wait_over_all_primaries(self, cluster: Cluster, connect: Connect, prefix: str) -> None:
        driver = connect(cluster)
        names = keys(prefix)
        for node in cluster.nodes:
            node.ask("SCRIPT", "FLUSH")
        replies = driver.ask(*(add(name, name.encode(), replicas=1) for name in names))
        assert [(reply.value, reply.acknowledged) for reply in replies] == [(1, 1)] * len(names)
        assert [reply.value for reply in driver.ask(*map(get, names))] == [name.encode() for name in names]
        assert {driver.topology.owner(name.encode()) for name in names} == set(driver.topology.primaries)

    def test_moved_slot_is_followed_with_its_wait_and_learned(
        self, cluster: Cluster, connect: Connect, prefix: str
    ) -> None:
        driver = connect(cluster)
        name = keys(prefix)[0]
        driver.ask(add(name))
        slot = slot_of(name.encode())
        wrong = next(node for node in driver.topology.primaries if node != driver.topology.owner(name.encode()))
        driver.topology.moved(slot, wrong)
        [reply] = driver.ask(add(name, replicas=1, repeat=False))
        assert (reply.value, reply.acknowledged) == (2, 1)
        assert driver.topology.owner(name.encode()) != wrong

    def test_values_of_many_keys_come_in_their_order(self, cluster: Cluster, connect: Connect, prefix: str) -> None:
        driver = connect(cluster)
        names = keys(prefix, 10)
        driver.ask(*(add(name, name.encode()) for name in names[1:]))
        assert values(driver, names) == [None, *(name.encode() for name in names[1:])]
        right = driver.topology.owner(names[5].encode())
        wrong = next(node for node in driver.topology.primaries if node != right)
        driver.topology.moved(slot_of(names[5].encode()), wrong)
        assert values(driver, names) == [None, *(name.encode() for name in names[1:])]
        assert driver.topology.owner(names[5].encode()) == right

    def test_slot_on_its_way_is_found_at_both_nodes(self, cluster: Cluster, connect: Connect, prefix: str) -> None:
        driver = connect(cluster)
        there, missing = f"{{{prefix}}}a", f"{{{prefix}}}b"
        driver.ask(add(there, b"1"))
        slot = slot_of(there.encode())
        source = cluster.owner(slot)
        target = next(node for node in cluster.primaries() if node is not source)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        try:
            assert [reply.value for reply in driver.ask(get(there), get(missing))] == [b"1", None]
            assert driver.topology.owner(there.encode()) is not None
        finally:
            for node in (source, target):
                node.ask("CLUSTER", "SETSLOT", slot, "STABLE")

    def test_primaries_and_requests_to_a_certain_node(self, cluster: Cluster, connect: Connect) -> None:
        driver = connect(cluster)
        [primaries, _] = driver.ask(PRIMARIES, Ask(None, (b"PING",)))
        assert isinstance(primaries.value, list)
        assert len(primaries.value) == 3
        ports = []
        for node in primaries.value:
            [reply] = driver.ask(Ask(None, (b"INFO", b"server"), node=node))  # type: ignore[arg-type]
            ports.append(f"tcp_port:{node.port}".encode() in reply.value)  # type: ignore[operator, union-attr]
        assert ports == [True] * 3

    def test_one_server(self, server: SingleServer, connect: Connect, prefix: str) -> None:
        driver = connect(server)
        assert driver.ask(add(prefix, b"x"))[0].value == 1
        assert driver.ask(get(prefix))[0].value == b"x"

    def test_node_of_a_cluster_is_no_server_of_its_own(self, cluster: Cluster, connect: Connect, prefix: str) -> None:
        driver = connect(f"valkey://127.0.0.1:{cluster.nodes[0].port}")
        with pytest.raises(StoreInaccessible, match=r"valkey\+cluster://"):
            driver.ask(*map(get, keys(prefix)))

    def test_server_of_its_own_is_no_cluster(self, server: SingleServer, connect: Connect) -> None:
        driver = connect(f"valkey+cluster://127.0.0.1:{server.node.port}")
        with pytest.raises(StoreInaccessible, match="valkey://"):
            driver.ask(get("a"))


class TestNothingTwice:
    """A request whose reply is lost is sent again only if its step allows it."""

    @pytest.fixture
    def proxy(self, server: SingleServer) -> Iterator[LossyProxy]:
        with LossyProxy(server.node.port) as proxy:
            yield proxy

    @pytest.fixture
    def driver(self, proxy: LossyProxy, connect: Connect, prefix: str) -> Driver:
        driver = connect(f"valkey://127.0.0.1:{proxy.port}", timeout=1.0)
        driver.ask(add("warm" + prefix))
        return driver

    @pytest.mark.parametrize("is_silent", [False, True])
    def test_lost_reply_of_a_change(self, driver: Driver, proxy: LossyProxy, prefix: str, is_silent: bool) -> None:
        proxy.lose(b"EVALSHA", is_silent=is_silent)
        [reply] = driver.ask(add(prefix, repeat=False))
        assert reply.value is LOST
        assert counts(driver, [prefix]) == [1]

    def test_lost_reply_of_its_wait(self, driver: Driver, proxy: LossyProxy, prefix: str) -> None:
        proxy.lose(b"EVALSHA", passed=4)  # ":1\r\n"
        [reply] = driver.ask(add(prefix, repeat=False, replicas=1))
        assert reply.value is LOST
        assert counts(driver, [prefix]) == [1]

    def test_lost_reply_of_a_read_is_asked_for_again(self, driver: Driver, proxy: LossyProxy, prefix: str) -> None:
        driver.ask(add(prefix, b"x"))
        proxy.lose(b"GET", times=3)
        [reply] = driver.ask(get(prefix))
        assert reply == Reply(b"x", repeated=True)
        assert proxy.lost == 3

    @pytest.mark.parametrize("passed", [0, 10])
    def test_lost_values_of_many_keys_are_asked_for_again(
        self, driver: Driver, proxy: LossyProxy, prefix: str, passed: int
    ) -> None:
        names = keys(prefix, 10)
        driver.ask(*(add(name, b"x") for name in names))
        proxy.lose(b"GET", passed=passed)
        assert values(driver, names) == [b"x"] * 10
        assert proxy.lost == 1

    def test_replies_that_came_before_the_loss_are_kept(self, driver: Driver, proxy: LossyProxy, prefix: str) -> None:
        names = [f"{prefix}{number}" for number in range(3)]
        proxy.lose(b"EVALSHA", passed=8)
        replies = driver.ask(*(add(name, repeat=False) for name in names))
        assert [reply.value for reply in replies] == [1, 1, LOST]
        assert counts(driver, names) == [1, 1, 1]

    def test_step_after_a_loss_has_a_time_limit_of_its_own(
        self, driver: Driver, proxy: LossyProxy, prefix: str
    ) -> None:
        def steps() -> Steps[Any]:
            [first] = yield [add(prefix, repeat=False)]
            assert first.value is LOST
            [again] = yield [get(f"{prefix}n")]
            return again.value

        proxy.lose(b"EVALSHA", is_silent=True)
        assert driver.run(steps()) == b"1"

    def test_no_answer_is_an_error_after_the_timeout(self, driver: Driver, proxy: LossyProxy, prefix: str) -> None:
        proxy.lose(b"GET", times=100, is_silent=True)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="no answer within"):
            driver.ask(get(prefix))
        assert 0.9 < time.monotonic() - began < PATIENCE  # the replies to a hundred tries are lost


class TestConnections:
    """A connection that is closed, refused or interrupted."""

    def test_connection_that_the_server_closed_while_it_was_idle_is_replaced(
        self, server: SingleServer, connect: Connect, prefix: str
    ) -> None:
        driver = connect(server)
        driver.ask(add(prefix))
        time.sleep(1.1)
        server.node.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert eventually(lambda: connections_to(server) == 1)
        [reply] = driver.ask(add(prefix, repeat=False))
        assert reply.value == 2

    def test_refused_connection_is_tried_until_the_timeout(self, connect: Connect) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            driver = connect(f"valkey://127.0.0.1:{taken.getsockname()[1]}", timeout=0.5)
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match="Connection refused"):
                driver.ask(get("a", repeat=False))
            assert 0.3 < time.monotonic() - began < PATIENCE

    def test_server_that_starts_in_time_is_reached(self, tmp_path: Path, connect: Connect) -> None:
        with SingleServer(tmp_path / "server") as server, ThreadPoolExecutor(1) as pool:
            server.node.kill()
            waiting = pool.submit(connect(server, timeout=20.0).ask, get("a", repeat=False))
            time.sleep(0.2)
            assert not waiting.done()
            server.node.restart()
            assert waiting.result()[0].value is None

    def test_closed_driver_makes_no_connection(self, server: SingleServer, connect: Connect) -> None:
        driver = connect(server)
        driver.ask(get("a"))
        driver.end()
        with pytest.raises(StoreClosed):
            driver.ask(get("a"))

    def test_error_is_raised_in_the_operation_which_may_clean_up(
        self, server: SingleServer, connect: Connect, prefix: str
    ) -> None:
        def steps() -> Steps[Any]:
            try:
                yield [add(prefix), Ask(prefix.encode(), (b"LPOP", prefix))]
            except StoreFailed as error:
                assert "another type" in str(error)
            [reply] = yield [get(f"{prefix}n")]
            return reply.value

        assert connect(server).run(steps()) == b"1"


@pytest.mark.any_engine
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of sockets that were to connect
def test_interrupted_call_leaves_no_reply_for_the_next(cluster: Cluster, prefix: str) -> None:
    """A signal that raises at any moment: KeyboardInterrupt, or a time limit of the application."""

    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    driver = Blocking(cluster.url())
    names = keys(prefix)
    driver.ask(*(add(name, name.encode()) for name in names))
    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for attempt in range(400):
            name = names[attempt % len(names)]
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00003 * (1 + attempt % 20))
                change = add(name, name.encode(), replicas=1)
                driver.ask(*([change] if attempt % 2 else [*map(get, names), change]))
                signal.setitimer(signal.ITIMER_REAL, 0)
            except (Interrupted, UnboundLocalError):  # the client library raises this for it in one place
                interrupted += 1
            assert driver.ask(get(name))[0].value == name.encode()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        driver.close()
    assert interrupted > 50


def test_call_that_is_cancelled_at_any_await_leaves_no_reply_for_the_next(cluster: Cluster, prefix: str) -> None:
    async def play() -> int:
        place = parse(cluster.url(), timeout=TIMEOUT)
        driver = AsyncConnections(place, Topology(place.nodes, clustered=True))
        names = keys(prefix)
        await driver.run(one_step([add(name, name.encode()) for name in names]))
        cancelled = 0
        for awaits in range(150):
            name = names[awaits % len(names)]
            if awaits % 30 == 0:
                await driver.close()  # so that connecting is cancelled too
                driver = AsyncConnections(place, Topology(place.nodes, clustered=True))
            asks = [*map(get, names), add(name, name.encode(), replicas=1)]
            task = asyncio.ensure_future(driver.run(one_step(asks)))
            for _ in range(awaits % 30):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                cancelled += 1
            [reply] = await driver.run(one_step([get(name)]))
            assert reply.value == name.encode()
        await driver.close()
        return cancelled

    assert asyncio.run(play()) > 50


def test_tasks_share_a_limited_number_of_connections(server: SingleServer, prefix: str) -> None:
    async def play() -> int:
        place = parse(server.url(), timeout=20.0)
        driver = AsyncConnections(place, Topology(place.nodes, clustered=False))
        before = connections_to(server)
        await asyncio.gather(*(driver.run(one_step([add(f"{prefix}{n}")])) for n in range(300)))
        more = connections_to(server) - before
        await driver.close()
        return more

    assert 0 < asyncio.run(play()) <= 64


def test_each_event_loop_has_connections_of_its_own(server: SingleServer, prefix: str) -> None:
    place = parse(server.url(), timeout=TIMEOUT)
    driver = AsyncConnections(place, Topology(place.nodes, clustered=False))

    async def use() -> object:
        [reply] = await driver.run(one_step([add(prefix)]))
        driver._state().close()  # no loop is left to close them later
        return reply.value

    for number in range(3):
        assert asyncio.run(use()) == number + 1


@pytest.mark.any_engine
def test_forked_child_makes_connections_of_its_own(cluster: Cluster, prefix: str) -> None:
    driver = Blocking(cluster.url())
    names = keys(prefix)
    driver.ask(*(add(name, name.encode()) for name in names))

    def look() -> int:
        return sum(driver.ask(get(name))[0].value != name.encode() for name in names * 50)

    children = [Fork(look) for _ in range(2)]
    assert look() == 0
    assert [child.wait().result for child in children] == [0, 0]
    assert look() == 0
    driver.close()


@pytest.mark.any_engine
def test_refresh_that_is_stuck_holds_up_no_other_thread(cluster: Cluster, prefix: str) -> None:
    driver = Blocking(cluster.url())
    driver.ask(get(prefix))
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as pool:
        driver.topology.sources = lambda: [Node(*silent.getsockname())]  # type: ignore[method-assign]
        driver.topology.doubt()
        time.sleep(1.3)  # until a refresh is due
        silent.settimeout(PATIENCE)
        stuck = pool.submit(driver.ask, get(prefix))
        with silent.accept()[0]:
            driver.topology.doubt()
            driver.ask(get(prefix))
            assert not stuck.done()
        assert stuck.result()[0].value is None
    driver.close()


def test_connections_are_closed_when_a_burst_is_over(
    server: SingleServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "CLOSED_AFTER", 0.2)
    driver = Blocking(server.url())
    before = connections_to(server)

    def wait(_: int) -> None:
        driver.ask(Ask(prefix.encode(), (b"BLPOP", prefix, 0)))

    with ThreadPoolExecutor(30) as threads:
        waiting = threads.map(wait, range(30))
        assert eventually(lambda: server.node.info("clients")["blocked_clients"] == "30")
        server.node.ask("RPUSH", prefix, *range(30))
        list(waiting)
    assert connections_to(server) - before == 30
    time.sleep(0.3)
    for _ in range(40):
        driver.ask(get("a"))
    assert eventually(lambda: connections_to(server) - before <= pool_module.KEPT)
    driver.close()


def test_connections_to_nodes_that_left_are_closed(cluster: Cluster, prefix: str) -> None:
    driver = Blocking(cluster.url())
    driver.ask(*map(get, keys(prefix)))
    free = driver.connections._pool._free
    gone, kept = driver.topology.primaries[:2]
    driver.connections._pool.keep([kept])
    assert gone not in free
    assert len(free[kept]) == 1
    driver.close()


def test_threads_get_their_own_replies(cluster: Cluster, prefix: str) -> None:
    driver = Blocking(cluster.url())
    names = keys(prefix, 32)
    driver.ask(*(add(name, name.encode()) for name in names))

    def look(name: str) -> bool:
        return all(driver.ask(get(name))[0].value == name.encode() for _ in range(100))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(look, names))
    driver.close()


@pytest.mark.parametrize("engine", ["valkey", "redis"])
def test_every_word_of_the_servers_errors_has_a_meaning(engine: str) -> None:

    program = shutil.which(f"{engine}-server")
    assert program is not None
    words = set(re.findall(rb"\0-([A-Z]{3,})(?= [\w%*])", Path(program).read_bytes()))
    assert len(words) > 20
    assert {word.decode() for word in words} <= set(MEANINGS)
