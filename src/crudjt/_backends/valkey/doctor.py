"""The doctor of a store on servers: their settings, the manifest, each index against its sessions, and foreign keys."""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from crudjt._backends.valkey import checks
from crudjt._backends.valkey.connections import Connections
from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.location import Servers
from crudjt._backends.valkey.manifest import decoded
from crudjt._backends.valkey.replies import address
from crudjt._backends.valkey.requests import PRIMARIES, Ask, Node, Steps
from crudjt._backends.valkey.steps.examining import Examination, foreign_names
from crudjt._backends.valkey.steps.records import Durability, SealedRecords
from crudjt._backends.valkey.topology import Topology
from crudjt._core.report import Findings, Report
from crudjt.errors import StoreCorrupt, StoreFormatError, StoreInaccessible

_REPAIR = "run: crudjt doctor --repair"


class _Primary(NamedTuple):
    node: Node
    info: Mapping[str, str]
    appendfsync: str | None
    now_ms: int


def examine(servers: Servers, *, replicas: int | None, repair: bool) -> Report:
    """Check a store on servers, and mend its indexes first if told to. Needs no secret key.

    Args:
        servers: the servers of the store.
        replicas: how many each primary is to have; ``None`` for at least 1.
        repair: whether to mend the indexes.

    Raises:
        StoreUnavailable: servers do not answer.
        StoreInaccessible: the user lacks a right; besides those of a store: +scan, +zscore, +pttl.

    """
    connections = Connections(servers, Topology(servers.nodes, clustered=servers.clustered))
    wanted = 1 if replicas is None else replicas
    records = SealedRecords(servers.location, Layout(servers.namespace), Durability(wanted, wanted))
    findings = Findings()
    try:
        primaries = connections.run(_primaries(), per_step=True)
        _judge(servers, primaries, wanted, findings)
        if not connections.run(_check_manifest(records, findings), per_step=True):
            return Report(findings)
        now_ms = max(primary.now_ms for primary in primaries)
        if repair:
            first = Examination(records, now_ms)
            connections.run(first.examine(), per_step=True)
            mended = connections.run(first.mend(), per_step=True)
            findings.ok(servers.location, f"mended {mended} entries of indexes")
        examination = Examination(records, now_ms)
        connections.run(examination.examine(), per_step=True)
        _describe(servers.location, examination, findings)
    finally:
        connections.close()
    return Report(findings)


def _primaries() -> Steps[list[_Primary]]:
    (reply,) = yield [PRIMARIES]
    nodes = cast("list[Node]", reply.value)
    replies = yield [Ask(None, command, node=node) for node in nodes for command in ((b"INFO",), (b"TIME",))]
    found: list[_Primary] = []
    for node, info, time in zip(nodes, replies[::2], replies[1::2], strict=True):
        try:
            (reply,) = yield [Ask(None, (b"CONFIG", b"GET", b"appendfsync"), node=node)]
            appendfsync = cast("list[bytes]", reply.value)[1].decode()
        except (StoreInaccessible, IndexError):
            appendfsync = None
        seconds, microseconds = map(int, cast("list[bytes]", time.value))
        fields = checks.fields(cast("bytes", info.value))
        found.append(_Primary(node, fields, appendfsync, seconds * 1000 + microseconds // 1000))
    return found


def _judge(servers: Servers, primaries: list[_Primary], replicas: int, findings: Findings) -> None:
    rules = checks.Rules(servers.clustered, full=False, assume=servers.assume)
    for node, info, appendfsync, _ in primaries:
        name, connected = address(node), int(info.get("connected_slaves", replicas))
        faults = checks.problems(info, appendfsync, rules)
        if (few := checks.too_few_replicas(connected, replicas)) is not None:
            faults.append(few)
        if count := checks.evicted(info):
            faults.append(f"it has evicted {count} keys since it started, which may be sessions")
        for text in faults:
            findings.fault(servers.location, None, f"{name}: {text}")
        if not faults:
            findings.ok(servers.location, f"{name}: keeps sessions as it must, with {connected} replicas")
        for text in checks.warnings(info, appendfsync, rules, min(replicas, connected)):
            findings.ok(servers.location, f"{name}: note: {text}")


def _check_manifest(records: SealedRecords, findings: Findings) -> Steps[bool]:
    """Add what is to say of the manifest, and return whether there is any."""
    key = records.layout.manifest
    (reply,) = yield [Ask(key, (b"GET", key))]
    if reply.value is None:
        findings.fault(
            records.location, None, "there is no manifest: this namespace holds no store, or it was lost with its salt"
        )
        return False
    try:
        found = decoded(records.location, cast("bytes", reply.value))
    except (StoreCorrupt, StoreFormatError) as error:
        findings.fault(records.location, None, f"manifest: {cast('Any', error).reason}")
        return False
    findings.ok(records.location, f"manifest: whole, format {found.format}, {len(found.keys)} keys known")
    return True


def _describe(location: str, found: Examination, findings: Findings) -> None:
    counts = found.counts
    findings.ok(location, f"{counts['sessions']} sessions, {counts['with a subject']} of them with a subject")
    findings.ok(
        location,
        f"{counts['indexes']} indexes with {counts['entries']} entries, of which {counts['expired entries']} are of "
        "sessions that have expired",
    )
    for faults, text in (
        (found.missing, f"sessions are missing in the index of their subject, so revoke does not end them; {_REPAIR}"),
        (found.dangling, f"entries of indexes have no session of their subject; {_REPAIR}"),
        (found.damaged, "sessions have damaged records, which raise StoreCorrupt when they are read; end them by id"),
    ):
        if faults:
            findings.fault(location, None, f"{len(faults)} {text}")
    if found.foreign:
        names = foreign_names(found.foreign)
        findings.fault(
            location, None, f"{len(found.foreign)} keys are of another program ({names}); use another namespace"
        )
