"""What is required of a server, the clock of a store on servers, and when primaries are inspected."""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from crudjt._backends.valkey import checks, cluster_clock, scripts
from crudjt._backends.valkey.checks import Rules, evicted, fields, problems, too_few_replicas, warnings
from crudjt._backends.valkey.cluster_clock import ClusterClock
from crudjt._backends.valkey.inspection import Inspector
from crudjt._backends.valkey.location import Assumption, servers
from crudjt._backends.valkey.requests import Ask, Node, Reply
from crudjt._backends.valkey.topology import SLOTS, Shard, Topology
from crudjt.errors import StoreError, StoreInaccessible, StoreUnavailable

A, B, C = Node("127.0.0.1", 1), Node("127.0.0.1", 2), Node("127.0.0.1", 3)
GOOD = {
    "redis_version": "7.2.4",
    "server_name": "valkey",
    "valkey_version": "8.0.1",
    "maxmemory_policy": "noeviction",
    "aof_enabled": "1",
    "cluster_enabled": "1",
    "role": "master",
    "connected_slaves": "1",
    "min_slaves_good_slaves": "1",
}
RULES = Rules(clustered=True, full=False, assume=())
SECOND = 10**9


def test_good_server_has_no_problem_and_no_warning() -> None:
    assert problems(GOOD, "everysec", RULES) == []
    assert warnings(GOOD, "everysec", RULES, 1) == []
    assert problems(GOOD, "always", RULES._replace(full=True)) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "set maxmemory-policy noeviction"),
        ({"maxmemory_policy": None}, "assume=['noeviction']"),
        ({"aof_enabled": "0"}, "set appendonly yes"),
        ({"aof_enabled": None}, "assume=['aof']"),
        ({"cluster_enabled": "0"}, "valkey://"),
        ({"server_name": None, "valkey_version": None, "redis_version": "6.2.14"}, "Redis 6.2"),
        ({"valkey_version": "6.9.0"}, "Valkey 6.9"),
    ],
)
def test_server_that_would_lose_sessions_is_refused_with_a_remedy(change: Mapping[str, Any], named: str) -> None:
    info = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    [problem] = problems(info, "everysec", RULES)
    assert named in problem


def test_node_and_replica_are_no_servers_of_their_own() -> None:
    alone = RULES._replace(clustered=False)
    assert "valkey+cluster://" in problems(GOOD, "everysec", alone)[0]
    assert "its primary" in problems({**GOOD, "cluster_enabled": "0", "role": "slave"}, "everysec", alone)[0]


@pytest.mark.parametrize(("name", "field"), [("noeviction", "maxmemory_policy"), ("aof", "aof_enabled")])
def test_check_is_waived_by_name(name: Any, field: str) -> None:
    info = {**GOOD, field: "x"}
    assert len(problems(info, "everysec", RULES)) == 1
    assert problems(info, "everysec", RULES._replace(assume=(name,))) == []


@pytest.mark.parametrize("setting", ["everysec", "no", None])
def test_full_durability_needs_appendfsync_always(setting: str | None) -> None:
    assert "always" in problems(GOOD, setting, RULES._replace(full=True))[0]
    assumed: Assumption = "appendfsync"
    assert problems(GOOD, setting, Rules(clustered=True, full=True, assume=(assumed,))) == []


def test_fewer_replicas_than_must_acknowledge_are_refused() -> None:
    assert too_few_replicas(2, 2) is None
    assert "replicas=1" in (too_few_replicas(1, 2) or "")
    assert "failover" in (too_few_replicas(0, 1) or "")


def test_risky_settings_are_warned_of() -> None:
    risky = {name: value for name, value in GOOD.items() if name != "min_slaves_good_slaves"}
    assert "min-replicas-to-write" in warnings(risky, "everysec", RULES, 1)[0]
    assert warnings(risky, "everysec", RULES, 0) == []
    assert "appendfsync" in warnings(GOOD, None, RULES, 1)[0]
    assert "power failure" in warnings(GOOD, "no", RULES, 1)[0]
    assert "fewer replicas" in warnings(GOOD, "everysec", RULES, 2)[0]


def test_fields_of_info_are_read() -> None:
    assert fields(b"# Server\r\na:1\r\nb:x:y\r\n\r\n") == {"a": "1", "b": "x:y"}
    assert evicted({"evicted_keys": "3"}) == 3
    assert evicted({}) == 0


class LocalTime:
    """The local clock of the tests, in nanoseconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000 * SECOND
        monkeypatch.setattr(cluster_clock, "local_ns", self)

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> LocalTime:
    return LocalTime(monkeypatch)


def sample(clock: ClusterClock, node: Node, seconds: int, at: int, trip: int = 0) -> None:
    clock.sample(node, seconds, 0, at - trip // 2, at + trip // 2)


def test_clock_is_that_of_the_servers(local: LocalTime) -> None:
    clock = ClusterClock()
    sample(clock, A, 5000, local.now, trip=SECOND // 10)
    assert clock.settle([A]) == {A: 0}
    assert clock() == 5000 * SECOND
    local.now += SECOND
    assert clock() == 5001 * SECOND


def test_one_primary_of_three_with_a_wrong_clock_has_no_effect(local: LocalTime) -> None:
    clock = ClusterClock()
    for node, seconds in ((A, 5000), (B, 5300), (C, 5000)):
        sample(clock, node, seconds, local.now)
    assert clock.settle([A, B, C]) == {A: 0, B: 300, C: 0}
    assert clock() == 5000 * SECOND


def test_sample_that_took_long_counts_only_if_there_is_no_other(local: LocalTime) -> None:
    clock = ClusterClock()
    sample(clock, A, 5000, local.now, trip=4 * SECOND)
    sample(clock, A, 6000, local.now, trip=4 * SECOND)
    clock.settle([A])
    assert clock() == 5000 * SECOND


def test_clock_forgets_nodes_that_are_no_primaries_any_more(local: LocalTime) -> None:
    clock = ClusterClock()
    for node, seconds in ((A, 5000), (B, 7000), (C, 7000)):
        sample(clock, node, seconds, local.now)
    assert clock.settle([A]) == {A: 0}
    assert clock() == 5000 * SECOND


class Cluster:
    """Answers the questions of an inspector."""

    def __init__(self, *nodes: Node, replicas: int | None = None, full: bool = False, assume: Any = ()) -> None:
        place = servers("valkey+cluster://127.0.0.1:1/ns", assume=assume)
        self.topology = Topology(place.nodes, clustered=True)
        self.become(*nodes)
        self.info = {node: dict(GOOD) for node in (A, B, C)}
        self.seconds = dict.fromkeys((A, B, C), 5000)
        self.errors: dict[tuple[Node, bytes], StoreError] = {}
        self.missing: list[bytes] = []
        self.inspector = Inspector(place, self.topology, ClusterClock(), replicas=replicas, full=full)
        self.now = 0.0
        self.asked = 0

    def become(self, *primaries: Node) -> None:
        share = SLOTS // len(primaries)
        self.topology.learn([Shard(share * n, SLOTS - 1, node, ()) for n, node in enumerate(primaries)])

    def inspect(self) -> None:
        steps = self.inspector.begin(self.now) if self.inspector.is_due(self.now) else None
        if steps is None:
            return
        try:
            asks = next(steps)
            while True:
                self.asked += len(asks)
                asks = steps.send([self._answer(ask) for ask in asks])
        except StopIteration:
            pass

    def _answer(self, ask: Ask) -> Reply | StoreError:
        assert ask.node is not None
        command = ask.args[0]
        assert isinstance(command, bytes)
        if (ask.node, command) in self.errors:
            return self.errors[ask.node, command]
        answers: dict[bytes, Callable[[Node], Any]] = {
            b"INFO": lambda node: "".join(f"{k}:{v}\r\n" for k, v in self.info[node].items()).encode(),
            b"CONFIG": lambda _: [b"appendfsync", b"everysec"],
            b"EVAL": lambda _: self.missing,
            b"WAIT": lambda _: 1,
            b"TIME": lambda node: [b"%d" % self.seconds[node], b"0"],
        }
        return Reply(answers[command](ask.node))


def test_store_is_refused_at_open_if_a_primary_is() -> None:
    cluster = Cluster(A, B)
    cluster.info[B]["aof_enabled"] = "0"
    with pytest.raises(StoreInaccessible, match=r"127\.0\.0\.1:2: .*appendonly"):
        cluster.inspect()
    cluster.info[B]["aof_enabled"] = "1"
    cluster.now = 1.5
    cluster.inspect()
    assert cluster.inspector.blocked == {}


def test_number_of_replicas_is_the_smallest_at_open_and_at_least_one() -> None:
    cluster = Cluster(A, B)
    cluster.info[A]["connected_slaves"], cluster.info[B]["connected_slaves"] = "3", "2"
    cluster.inspect()
    assert cluster.inspector.replicas == 2
    without = Cluster(A)
    without.info[A]["connected_slaves"] = "0"
    with pytest.raises(StoreInaccessible, match="replicas=0"):
        without.inspect()


def test_number_of_replicas_that_was_asked_for_is_required() -> None:
    with pytest.raises(StoreInaccessible, match="1 replica, and 2 must"):
        Cluster(A, replicas=2).inspect()
    alone = Cluster(A, replicas=0)
    alone.info[A]["connected_slaves"] = "0"
    alone.inspect()
    assert alone.inspector.replicas == 0


def test_new_primary_is_checked_before_it_is_used() -> None:
    cluster = Cluster(A, B)
    cluster.inspect()
    cluster.info[C]["maxmemory_policy"] = "allkeys-lru"
    cluster.become(A, C)
    cluster.inspect()
    assert "noeviction" in str(cluster.inspector.blocked[C])
    assert list(cluster.inspector.blocked) == [C]
    cluster.info[C]["maxmemory_policy"] = "noeviction"
    cluster.inspect()
    assert list(cluster.inspector.blocked) == [C], "looked at again after a second"
    cluster.now += 1.1
    cluster.inspect()
    assert cluster.inspector.blocked == {}


def test_new_primary_without_replicas_may_be_used(caplog: pytest.LogCaptureFixture) -> None:
    """It has just lost its primary; what must be acknowledged by a replica fails by itself."""
    cluster = Cluster(A, B)
    cluster.inspect()
    cluster.info[C]["connected_slaves"] = "0"
    cluster.become(A, C)
    with caplog.at_level(logging.WARNING, "crudjt"):
        cluster.inspect()
    assert cluster.inspector.blocked == {}
    assert "fewer replicas" in caplog.text


def test_risk_of_several_primaries_is_one_warning_with_their_names(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster(A, B, C)
    for info in cluster.info.values():
        info.pop("min_slaves_good_slaves", None)
        info["cluster_enabled"] = "1"
    with caplog.at_level(logging.WARNING, "crudjt"):
        cluster.inspect()
    (message,) = [each for each in caplog.messages if "min-replicas-to-write" in each]
    assert all(f"{node.host}:{node.port}" in message for node in (A, B, C))


def test_primary_that_does_not_answer_waits_and_the_others_do_not() -> None:
    cluster = Cluster(A, B)
    for command in (b"INFO", b"CONFIG", b"EVAL", b"WAIT", b"TIME"):
        cluster.errors[B, command] = StoreUnavailable("x", "y")
    cluster.inspect()
    assert {node: str(reason) for node, reason in cluster.inspector.blocked.items()} == {B: "x: y"}
    cluster.errors.clear()
    cluster.now += 1.1
    cluster.inspect()
    assert cluster.inspector.blocked == {}


def test_new_primary_is_blocked_while_another_thread_checks_it() -> None:
    cluster = Cluster(A)
    assert cluster.inspector.begin(0.0) is not None
    assert cluster.inspector.begin(0.0) is None
    assert cluster.inspector.blocked == {A: None}


def test_replica_that_the_map_calls_a_primary_waits_for_a_new_map() -> None:
    cluster = Cluster(A, B)
    cluster.info[B]["role"] = "slave"
    cluster.inspect()
    assert cluster.inspector.blocked == {B: None}
    assert cluster.topology.doubtful


def test_missing_rights_are_named() -> None:
    cluster = Cluster(A)
    cluster.missing = [b"zadd", b"persist"]
    with pytest.raises(StoreInaccessible, match=r"\+zadd \+persist"):
        cluster.inspect()
    other = Cluster(A)
    other.errors[A, b"WAIT"] = StoreInaccessible("x", "127.0.0.1:1: the user lacks the right to run WAIT; … +wait")
    with pytest.raises(StoreInaccessible, match=r"\+wait"):
        other.inspect()


def test_hidden_info_is_refused_unless_what_it_shows_is_assumed() -> None:
    denied = StoreInaccessible("x", "127.0.0.1:1: the user lacks the right to run INFO; … +info")
    cluster = Cluster(A)
    cluster.errors[A, b"INFO"] = denied
    with pytest.raises(StoreInaccessible, match=r"\+info"):
        cluster.inspect()
    managed = Cluster(A, assume=["noeviction", "aof"])
    managed.errors[A, b"INFO"] = denied
    managed.inspect()
    assert managed.inspector.blocked == {}


def test_clocks_are_compared_at_open_and_every_minute(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster(A, B, C)
    cluster.inspect()
    asked = cluster.asked
    cluster.now += 59
    cluster.inspect()
    assert cluster.asked == asked
    cluster.now += 2
    cluster.seconds[B] += 300
    cluster.inspect()
    assert "its clock differs by +300.0 s" in str(cluster.inspector.blocked[B])
    cluster.now += 2
    cluster.seconds[B] -= 298
    with caplog.at_level(logging.WARNING, "crudjt"):
        cluster.inspect()
    assert cluster.inspector.blocked == {}
    assert "+2.0 s" in caplog.text


def test_evicted_keys_are_an_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster(A)
    cluster.info[A]["evicted_keys"] = "7"
    cluster.inspect()
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "evicted 7 keys" in record.getMessage()


def test_rights_are_tried_of_every_command_that_a_store_needs() -> None:
    text = scripts.COMMIT.text + scripts.EXCHANGE.text
    used = set(re.findall(rb"redis.call\('(\w+)'", text))
    tried = set(re.findall(r"try\('(\w+)'", checks.RIGHTS))
    assert {name.decode() for name in used} == tried


def test_rights_are_tried_in_a_slot_of_the_node() -> None:
    cluster = Cluster(A, B, C)
    steps = cluster.inspector.begin(0.0)
    assert steps is not None
    for ask in next(steps):
        if ask.args[0] == b"EVAL":
            _, script, _, key = ask.args
            assert script == checks.RIGHTS
            assert isinstance(key, bytes)
            assert key.startswith(b"ns:")
            assert cluster.topology.owner(key) == ask.node
