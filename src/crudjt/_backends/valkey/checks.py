"""Requirements on a server that keeps sessions: pure functions of its INFO. Each problem is named with its remedy."""

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from crudjt._backends.valkey.location import Assumption
from crudjt._core.report import counted

MIN_VERSION = (7, 0)
MAX_CLOCK_DIFFERENCE = 60.0  # seconds
NOTED_CLOCK_DIFFERENCE = 1.0

_VERSION = re.compile(r"(\d+)\.(\d+)")

RIGHTS = """
local missing = {}
local function try(...)
  local reply = redis.pcall(...)
  local text = type(reply) == 'table' and reply.err or ''
  if string.find(text, 'permission') or string.find(text, "can't run this command", 1, true) then
    missing[#missing + 1] = string.lower((...))
  end
end
local key = KEYS[1]
try('SET', key, '', 'PX', 1000)
try('GET', key)
try('GETRANGE', key, 0, 1)
try('PEXPIRE', key, 1000)
try('PERSIST', key)
try('UNLINK', key)
try('ZADD', key, 1, '')
try('ZRANGE', key, 0, 0)
try('ZREMRANGEBYSCORE', key, 5, 5)
try('ZREM', key, '')
return missing
"""
"""Tries each command of the commit script on a key of its own, which it removes; returns those that are not allowed."""


class Rules(NamedTuple):
    """The requirements on the servers of a store.

    Attributes:
        clustered: they are nodes of a cluster.
        full: every change must be on disk when it is acknowledged.
        assume: what is not checked.

    """

    clustered: bool
    full: bool
    assume: Collection[Assumption]


def fields(info: bytes) -> dict[str, str]:
    """Return the fields of a reply to INFO."""
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines() if ":" in line)
    return {name: value.strip() for name, _, value in lines}


def problems(info: Mapping[str, str], appendfsync: str | None, rules: Rules) -> list[str]:
    """Return why a server must not keep sessions, most important first.

    Args:
        info: the fields of its INFO.
        appendfsync: its setting of that name; ``None`` if it is not known.
        rules: what is required.

    """
    found: list[str] = []
    name, version = _version(info)
    if version is not None and version < MIN_VERSION:
        found.append(f"it is {name} {version[0]}.{version[1]}; crudjt needs Redis 7.0 or Valkey 8.0")
    is_node = info.get("cluster_enabled")
    if is_node == "0" and rules.clustered:
        found.append("it is no node of a cluster; open it with valkey:// or valkeys://")
    if is_node == "1" and not rules.clustered:
        found.append("it is a node of a cluster; open it with valkey+cluster:// or valkeys+cluster://")
    if info.get("role") == "slave" and not rules.clustered:
        found.append("it is a replica, which takes no changes; open its primary")
    if "noeviction" not in rules.assume and (policy := info.get("maxmemory_policy")) != "noeviction":
        found.append(
            f"it evicts sessions when its memory is full (maxmemory-policy {policy}); set maxmemory-policy noeviction"
            if policy
            else "INFO does not show maxmemory-policy; if it is noeviction, pass assume=['noeviction']"
        )
    if "aof" not in rules.assume and (aof := info.get("aof_enabled")) != "1":
        found.append(
            "it forgets all sessions when it restarts; set appendonly yes"
            if aof
            else "INFO does not show whether appendonly is on; if it is, pass assume=['aof']"
        )
    if rules.full and "appendfsync" not in rules.assume and appendfsync != "always":
        found.append(
            f"durability='full' needs appendfsync always, and it has appendfsync {appendfsync}"
            if appendfsync
            else "durability='full' needs appendfsync always, which the user may not see: grant +config|get, or "
            "if it is always, pass assume=['appendfsync']"
        )
    return found


def too_few_replicas(connected: int, required: int) -> str | None:
    """Return why a primary with so many replicas is refused at open, ``None`` if it is not."""
    if connected >= required:
        return None
    return (
        f"it has {counted(connected, 'replica')}, and {required} must acknowledge what must not be lost; start more, "
        f"or pass replicas={connected} (--replicas {connected})"
        + (", with which a failover loses the last changes" if not connected else "")
    )


def warnings(info: Mapping[str, str], appendfsync: str | None, rules: Rules, required: int) -> list[str]:
    """Return what is risky about a server, and allowed. `required` is the number of replicas that acknowledge."""
    found: list[str] = []
    if required and info.get("min_slaves_good_slaves") is None and info.get("cluster_enabled") is not None:
        found.append(
            "min-replicas-to-write is 0: a primary that is cut off from its replicas goes on taking changes, which a "
            "failover then undoes"
        )
    if required and int(info.get("connected_slaves") or required) < required:
        found.append(f"it has fewer replicas than the {required} that must acknowledge: such changes fail until it has")
    if appendfsync is None and "appendfsync" not in rules.assume:
        found.append("its appendfsync is not known; grant +config|get, or pass assume=['appendfsync']")
    if appendfsync == "no":
        found.append("appendfsync is no: a power failure may lose the changes of half a minute; set everysec or always")
    return found


def evicted(info: Mapping[str, str]) -> int:
    """Return how many keys a server has evicted since it started, which may have been sessions."""
    return int(info.get("evicted_keys") or 0)


def _version(info: Mapping[str, str]) -> tuple[str, tuple[int, int] | None]:
    """Return name and version. Valkey says 7.2.4 in the field of Redis, whatever its own version is."""
    name = info.get("server_name", "redis").capitalize()
    found = _VERSION.match(info.get(f"{info.get('server_name')}_version") or info.get("redis_version", ""))
    return name, (int(found[1]), int(found[2])) if found else None
