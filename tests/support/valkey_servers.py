"""Valkey and Redis servers of the tests on this host, one by one and as clusters. They end with this process.

A node is killed, paused and continued by its process id. Ports are below those that the kernel gives to clients.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import valkey
from valkey.backoff import NoBackoff
from valkey.exceptions import ValkeyError
from valkey.retry import Retry

from tests.support.certificates import Authority, Pair
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, eventually

ENGINES = ("valkey", "redis")
HOST = "127.0.0.1"
SLOTS = 16_384
NODE_TIMEOUT = 2.0  # seconds after which a cluster calls a node dead
FAILOVER = PATIENCE  # within which a replica takes over: it takes seconds, and more on a busy machine
_SOON = 2.0  # seconds within which a node answers that is not paused
_STARTS = 5  # attempts at a free port, which another process may take first

_DEFAULTS = {
    "bind": HOST,
    "protected-mode": "no",
    "appendonly": "yes",
    "maxmemory-policy": "noeviction",
    "save": "",
    "repl-diskless-sync-delay": "0",
    "daemonize": "no",
}

AnyServers = TypeVar("AnyServers", bound="Servers")


class Tls(NamedTuple):
    """Certificates of a test: the authority that clients trust, the pair of a server, and that of a client."""

    authority: Authority
    server: Pair
    client: Pair

    @classmethod
    def issue(cls, directory: Path) -> "Tls":
        authority = Authority(directory, "authority")
        return cls(authority, authority.issue("server"), authority.issue("client"))

    def settings(self, *, mutual: bool) -> dict[str, str]:
        """Return what a server needs to accept TLS only."""
        return {
            "tls-cert-file": str(self.server.certificate),
            "tls-key-file": str(self.server.key),
            "tls-ca-cert-file": str(self.authority.file),
            "tls-auth-clients": "yes" if mutual else "no",
            "tls-replication": "yes",
            "tls-cluster": "yes",
        }


class Node:
    """One server process, with a directory that it keeps when it is killed and started again."""

    def __init__(
        self,
        directory: Path,
        engine: str = "valkey",
        *,
        tls: Tls | None = None,
        mutual: bool = False,
        **settings: str,
    ) -> None:
        self.engine = engine
        self.directory = directory
        self.tls = tls
        self.settings = {
            **_DEFAULTS,
            **(tls.settings(mutual=mutual) if tls else {}),
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }
        self.port = self.bus = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._client: valkey.Valkey | None = None
        directory.mkdir(parents=True)
        for _ in range(_STARTS):
            self.port, self.bus = free_port(), free_port()
            if self.try_start():
                return
        raise AssertionError(f"no server starts:\n{self.log()}")

    def __repr__(self) -> str:
        return f"<Node {self.port}>"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        file = self.directory / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def try_start(self) -> bool:
        """Start the process, and tell whether it answers."""
        self.launch()
        return eventually(lambda: not self.is_running or self.answers(), PATIENCE) and self.is_running

    def launch(self) -> None:
        """Start the process, which may not answer yet."""
        arguments = {**self.settings, "dir": str(self.directory), "logfile": str(self.directory / "log")}
        arguments |= {"port": "0", "tls-port": str(self.port)} if self.tls else {"port": str(self.port)}
        if "cluster-enabled" in arguments:
            arguments["cluster-port"] = str(self.bus)
        program = shutil.which(f"{self.engine}-server")
        assert program is not None, f"{self.engine}-server is not installed: tools/test installs it"
        # The server is killed when the thread that started it ends, however that happens.
        command = ["setpriv", "--pdeathsig", "KILL", program]
        command += [word for name, value in arguments.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self._client = None

    def answers(self) -> bool:
        """Tell whether it answers now; one that is paused does not."""
        try:
            with self.client(_SOON) as client:
                return bool(client.ping())
        except ValkeyError:
            return False

    def client(self, timeout: float = PATIENCE, **options: Any) -> valkey.Valkey:
        """Return a new client of this node as its administrator, which repeats nothing."""
        if self.tls:
            options |= {
                "ssl": True,
                "ssl_ca_certs": str(self.tls.authority.file),
                "ssl_certfile": str(self.tls.client.certificate),
                "ssl_keyfile": str(self.tls.client.key),
            }
        return valkey.Valkey(
            HOST,
            self.port,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            **options,
        )

    def ask(self, *command: Any) -> Any:
        """Return the answer of the node to a command of its administrator, as it was sent."""
        if self._client is None:
            self._client = self.client()
            self._client.response_callbacks.clear()
        return self._client.execute_command(*command)

    def info(self, *command: str) -> dict[str, str]:
        """Return the fields of ``INFO``, of one section, or of another command that answers so."""
        lines = str(self.ask(*(command if len(command) > 1 else ("INFO", *command))), "utf-8").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    @property
    def is_primary(self) -> bool:
        return bool(self.info("replication")["role"] == "master")

    @property
    def id(self) -> str:
        """The name of the node in its cluster."""
        return str(self.ask("CLUSTER", "MYID"), "ascii")

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the process by SIGKILL, and return when it is gone."""
        if self._process is not None:
            self._process.kill()  # also one that is paused
            self._process.wait(PATIENCE)
        self.forget()

    def forget(self) -> None:
        """Close the connection of the administrator."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def restart(self) -> None:
        """Start it again with what it has on disk."""
        assert self.try_start(), self.log()


class Servers:
    """Servers that end with a block."""

    nodes: list[Node]

    def __enter__(self: AnyServers) -> AnyServers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill them all, and remove their files."""
        for node in self.nodes:
            node.kill()
            shutil.rmtree(node.directory, ignore_errors=True)

    def url(self, namespace: str = "") -> str:
        """Return the location of a namespace there."""
        raise NotImplementedError


class SingleServer(Servers):
    """A server without a cluster, and with so many replicas; other options as those of `Node`."""

    def __init__(self, directory: Path, engine: str = "valkey", *, replicas: int = 0, **options: Any) -> None:
        self.node = Node(directory / "primary", engine, **options)
        self.nodes = [self.node]
        try:
            for number in range(replicas):
                replica = Node(directory / f"replica-{number}", engine, **options)
                self.nodes.append(replica)
                replica.ask("REPLICAOF", HOST, self.node.port)
            followers = self.nodes[1:]
            assert eventually(lambda: all(_follows(each) for each in followers), PATIENCE), "a replica has no link"
        except BaseException:
            self.close()
            raise

    def url(self, namespace: str = "") -> str:
        scheme = "valkeys" if self.node.tls else "valkey"
        return f"{scheme}://{HOST}:{self.node.port}" + (f"/{namespace}" if namespace else "")


class Cluster(Servers):
    """A cluster with some replicas of each of its primaries; other options as those of `Node`.

    Attributes:
        nodes: all that were started, also those that are dead. The first are the primaries of the beginning.

    """

    def __init__(
        self, directory: Path, engine: str = "valkey", *, primaries: int = 3, replicas: int = 1, **options: Any
    ) -> None:
        self.nodes = []
        self._directory = directory
        self._software = engine
        self._options = {
            "cluster_enabled": "yes",
            "cluster_node_timeout": str(int(1000 * NODE_TIMEOUT)),
            "cluster_replica_validity_factor": "0",  # a paused machine must not keep every replica from taking over
            **options,
        }
        try:
            for _ in range(primaries * (1 + replicas)):
                self._add()
            self._form(primaries)
            self.heal()
        except BaseException:
            self.close()
            raise

    def url(self, namespace: str = "") -> str:
        scheme = "valkeys" if self.nodes[0].tls else "valkey"
        hosts = ",".join(f"{HOST}:{node.port}" for node in self.nodes)
        return f"{scheme}+cluster://{hosts}" + (f"/{namespace}" if namespace else "")

    def _add(self) -> Node:
        node = Node(self._directory / f"n{len(self.nodes)}", self._software, **self._options)
        self.nodes.append(node)
        return node

    def _form(self, count: int) -> None:
        primaries = self.nodes[:count]
        bounds = [SLOTS * number // count for number in range(count + 1)]
        for number, node in enumerate(primaries):
            node.ask("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            self.meet(node)
        for number, node in enumerate(self.nodes[count:]):
            self.replicate(node, primaries[number % count])
        self.wait_until_whole()

    def meet(self, node: Node) -> None:
        """Introduce a node to the first that runs."""
        first = self.running()[0]
        first.ask("CLUSTER", "MEET", HOST, node.port, node.bus)

    def replicate(self, node: Node, primary: Node) -> None:
        """Make a node the replica of a primary, as soon as it knows it."""

        def done() -> bool:
            with suppress(ValkeyError):
                node.ask("CLUSTER", "REPLICATE", primary.id)
                return True
            return False

        assert eventually(done, PATIENCE), f"{node} does not know {primary}"

    def heal(self) -> None:
        """Continue and start again what was paused or killed, and wait until all replicas have what there is."""
        for node in self.nodes:
            if node.is_running:
                node.resume()
            else:
                node.restart()
        self.wait_until_whole()
        self._spread_replicas()
        written = {primary: primary.info("replication")["master_repl_offset"] for primary in self.primaries()}
        done = [partial(_is_acknowledged, primary, int(end)) for primary, end in written.items()]
        assert eventually(lambda: all(each() for each in done), PATIENCE), "a replica lags behind"

    def _spread_replicas(self) -> None:
        """Give every primary a replica again: after a failover a cluster moves replicas as it likes."""
        of_each = {primary: self.replicas(primary) for primary in self.primaries()}
        for orphan in [primary for primary, replicas in of_each.items() if not replicas]:
            richest = max(of_each, key=lambda primary: len(of_each[primary]))
            if len(of_each[richest]) > 1:
                self.replicate(of_each[richest].pop(), orphan)
                self.wait_until_whole()

    def running(self) -> list[Node]:
        return [node for node in self.nodes if node.is_running]

    def wait_until_whole(self) -> None:
        """Wait until all nodes that run agree that the cluster works, and every replica follows its primary."""
        assert eventually(self._is_whole, PATIENCE), "\n".join(self._described())

    def _is_whole(self) -> bool:
        running = self.running()
        try:
            maps = {self._map(node) for node in running}
            return len(maps) == 1 and all(_is_whole(node, len(running)) for node in running)
        except ValkeyError:
            return False

    def _map(self, node: Node) -> frozenset[tuple[str, ...]]:
        """Return what a node believes of the nodes that live: id, whether a primary, of which, and slots."""
        return frozenset(_believed(row) for row in self.rows(node) if "fail" not in row[2])

    def rows(self, node: Node) -> list[list[str]]:
        """Return the lines of CLUSTER NODES as fields."""
        return [line.split() for line in str(node.ask("CLUSTER", "NODES"), "ascii").splitlines()]

    def _described(self) -> Iterable[str]:
        for node in self.running():
            yield f"{node}:"
            with suppress(ValkeyError):
                yield "\n".join(" ".join(row) for row in self.rows(node))

    def by_port(self, port: int) -> Node:
        [node] = [node for node in self.nodes if node.port == port]
        return node

    def primaries(self, seen_by: Node | None = None) -> list[Node]:
        """Return the primaries that have slots, in the order of their first one."""
        rows = [row for row in self.rows(seen_by or self.running()[0]) if "master" in row[2] and len(row) > 8]
        rows = [row for row in rows if "fail" not in row[2].split(",")]
        rows.sort(key=lambda row: int(row[8].partition("-")[0].strip("[")))
        return [self.by_port(_port(row)) for row in rows]

    def replicas(self, primary: Node, seen_by: Node | None = None) -> list[Node]:
        """Return the replicas of a primary that are not called dead."""
        rows = self.rows(seen_by or self.running()[0])
        [name] = [row[0] for row in rows if _port(row) == primary.port]
        return [self.by_port(_port(row)) for row in rows if row[3] == name and "fail" not in row[2].split(",")]

    def owner(self, slot: int, seen_by: Node | None = None) -> Node:
        """Return the primary of a slot."""
        for row in self.rows(seen_by or self.running()[0]):
            for part in row[8:]:
                low, _, high = part.partition("-")
                if not part.startswith("[") and int(low) <= slot <= int(high or low):
                    return self.by_port(_port(row))
        raise AssertionError(f"slot {slot} has no owner")

    @contextmanager
    def moving_slot(self, slot: int, source: Node, target: Node) -> Iterator[Callable[[int | None, bytes], None]]:
        """Move a slot from one primary to another, key by key, as long as a block takes.

        It gets a function that moves so many keys (``None`` for all) whose name has some bytes behind the braces.
        """
        self.begin_move(slot, source, target)
        yield lambda count, kind: self.move_keys(slot, source, target, count, kind)
        self.end_move(slot, source, target)

    def begin_move(self, slot: int, source: Node, target: Node) -> None:
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)

    def move_keys(self, slot: int, source: Node, target: Node, count: int | None, kind: bytes) -> None:
        keys = source.ask("CLUSTER", "GETKEYSINSLOT", slot, 10_000)
        for key in [key for key in keys if key.partition(b"}")[2].startswith(kind)][:count]:
            source.ask("MIGRATE", HOST, target.port, key, 0, 5000)

    def end_move(self, slot: int, source: Node, target: Node) -> None:
        """Move the other keys of a slot, and have every primary know where it is."""
        while source.ask("CLUSTER", "COUNTKEYSINSLOT", slot):
            self.move_keys(slot, source, target, None, b"")
        for node in [target, source, *(each for each in self.primaries() if each not in (source, target))]:
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)

    def move_slot(self, slot: int, source: Node, target: Node) -> None:
        """Move a slot with all its keys."""
        with self.moving_slot(slot, source, target):
            pass

    def wait_for_failover(self, old: Node) -> Node:
        """Return the node that has taken over the slots of one, which is dead or paused."""
        rows: list[list[str]] = []
        observer = next(node for node in self.running() if node is not old and node.answers())
        [slots] = [row[8:] for row in self.rows(observer) if _port(row) == old.port] or [[]]
        before = slots and slots[0]

        def taken() -> bool:
            rows[:] = [r for r in self.rows(observer) if "master" in r[2] and before in r[8:] and _port(r) != old.port]
            return bool(rows)

        assert before, f"{old} had no slots"
        assert eventually(taken, PATIENCE), "\n".join(self._described())
        return self.by_port(_port(rows[0]))


def _is_whole(node: Node, count: int) -> bool:
    state = node.info("CLUSTER", "INFO")
    if state["cluster_state"] != "ok" or int(state["cluster_known_nodes"]) < count:
        return False
    return node.is_primary or _follows(node)


def _is_acknowledged(primary: Node, end: int) -> bool:
    """Tell whether all replicas have what a primary had written up to an offset; it may go on."""
    rows = [value for name, value in primary.info("replication").items() if name.startswith("slave")]
    replicas = [dict(part.split("=", 1) for part in row.split(",")) for row in rows if "offset=" in row]
    return all(each["state"] == "online" and int(each["offset"]) >= end for each in replicas)


def _follows(replica: Node) -> bool:
    return replica.info("replication").get("master_link_status") == "up"


def _believed(row: list[str]) -> tuple[str, ...]:
    role = "master" if "master" in row[2] else "replica"
    return (row[0], role, row[3], *(part for part in row[8:] if not part.startswith("[")))


def _port(row: list[str]) -> int:
    return int(row[1].partition("@")[0].rpartition(":")[2])


def slot_of(key: bytes) -> int:
    """Return the slot of a key, by the part between the first braces where there are such."""
    begin = key.find(b"{")
    end = key.find(b"}", begin + 1)
    if begin >= 0 and end > begin + 1:
        key = key[begin + 1 : end]
    crc = 0
    for byte in key:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc % SLOTS
