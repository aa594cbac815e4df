"""The doctor of a store on servers: their settings, the manifest, each index against its sessions, and foreign keys."""

import string
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from crudjt._backends.valkey import checks
from crudjt._backends.valkey.connections import Connections
from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.location import Servers
from crudjt._backends.valkey.manifest import decoded
from crudjt._backends.valkey.replies import address
from crudjt._backends.valkey.requests import PRIMARIES, Ask, Node, Steps
from crudjt._backends.valkey.steps.examining import Examination, foreign_names
from crudjt._backends.valkey.steps.sealed_records import Durability, SealedRecords
from crudjt._backends.valkey.topology import Topology
from crudjt._core.report import Findings, Report, counted
from crudjt.errors import StoreCorrupt, StoreFormatError, StoreInaccessible

_REPAIR = "run: crudjt doctor --repair"
_NAMED = 5  # keys
_PLAIN = frozenset(f"{string.ascii_letters}{string.digits}:{{}}_-.=".encode())


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
            findings.ok(servers.location, f"mended {counted(mended, 'entry', 'entries')} of indexes")
        examination = Examination(records, now_ms)
        connections.run(examination.examine(), per_step=True)
        _describe(servers.location, records.layout, examination, findings)
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
            faults.append(f"it has evicted {counted(count, 'key')} since it started, which may be sessions")
        for text in faults:
            findings.fault(servers.location, None, f"{name}: {text}")
        if not faults:
            findings.ok(servers.location, f"{name}: keeps sessions as it must, with {counted(connected, 'replica')}")
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
        text = f"{cast('Any', error).reason}; nothing can be read without the salt in it, so restore it"
        findings.fault(records.location, None, text)
        return False
    findings.ok(records.location, f"manifest: whole, format {found.format}, {counted(len(found.keys), 'key')} known")
    return True


def _describe(location: str, layout: Layout, found: Examination, findings: Findings) -> None:
    counts = found.counts
    findings.ok(location, f"{counted(counts['sessions'], 'session')}, {counts['with a subject']:,} with a subject")
    findings.ok(
        location,
        f"{counted(counts['indexes'], 'index', 'indexes')} with {counted(counts['entries'], 'entry', 'entries')}, "
        f"{counts['expired entries']:,} of them for sessions that have expired",
    )
    if missing := len(found.missing):
        text = "that an index of subject or label lacks, or lists with another deadline: revoke may not end those"
        findings.fault(location, None, f"{counted(missing, 'session')} {text}; {_REPAIR}")
    if dangling := len(found.dangling):
        text = f"{counted(dangling, 'entry', 'entries')} of indexes without a session of the subject or label"
        findings.fault(location, None, f"{text}; {_REPAIR}")
    if damaged := len(found.damaged):
        findings.fault(
            location,
            None,
            f"{counted(damaged, 'record')} damaged, or of a newer version of crudjt: to read or end the session raises "
            "StoreCorrupt; to give it up, revoke its subject, or remove its key with UNLINK: "
            + _quoted(map(layout.session, found.damaged)),
        )
    if misused := len(found.misused):
        text = f"{counted(misused, 'key')} with a value of another type: another program writes here"
        findings.fault(location, None, f"{text}; remove with UNLINK, then {_REPAIR}: {_quoted(found.misused)}")
    if foreign := len(found.foreign):
        text = f"{counted(foreign, 'key')} of another program ({foreign_names(found.foreign)})"
        findings.fault(location, None, f"{text}; use another namespace")


def _quoted(keys: Iterable[bytes]) -> str:
    """Return some keys as valkey-cli and redis-cli take them."""
    named = sorted(keys)
    texts = ["".join(chr(byte) if byte in _PLAIN else f"\\x{byte:02x}" for byte in key) for key in named[:_NAMED]]
    return ", ".join(f'"{text}"' for text in texts) + (" and others" if len(named) > _NAMED else "")
