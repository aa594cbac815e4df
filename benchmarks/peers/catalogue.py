"""Who takes part: what to install and start for each peer, without importing it."""

from dataclasses import dataclass

ORIGINAL_VERSION = "1.0.1"
ORIGINAL_CACHE = 40_000


@dataclass(frozen=True)
class Peer:
    """A contestant.

    Attributes:
        name: in commands and tables.
        opens: the function that opens it, as ``module:function``.
        requirements: what is installed into an environment of its own; none means that it runs in ours.
        packages: whose versions are part of the result.
        largest: bytes of MessagePack that it takes.
        redis: whether it needs that server.
        valkey: whether it needs a Valkey server or cluster, and takes part where sessions are kept on servers.
        across: whether several processes can use one store.
        durable: whether it can be made to return only after a change is on disk.

    """

    name: str
    opens: str
    requirements: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    largest: int = 4096
    redis: bool = False
    valkey: bool = False
    across: bool = True
    durable: bool = False


CRUDJT = Peer(
    "crudjt",
    "benchmarks.peers.crudjt_store:open_store",
    packages=("crudjt-store", "lmdb", "cryptography", "msgspec", "grpcio"),
    durable=True,
)
ORIGINAL = Peer(
    "original",
    "benchmarks.peers.original:open_original",
    requirements=(f"crudjt=={ORIGINAL_VERSION}",),
    packages=("crudjt", "msgpack", "grpcio"),
    largest=256,
)
REDIS_UNIX = Peer(
    "redis, Unix socket",
    "benchmarks.peers.redis_keys:open_unix",
    requirements=("redis[hiredis]", "msgspec"),
    packages=("redis", "hiredis", "msgspec"),
    redis=True,
    durable=True,
)
REDIS_TCP = Peer(
    "redis, TCP",
    "benchmarks.peers.redis_keys:open_tcp",
    requirements=REDIS_UNIX.requirements,
    packages=REDIS_UNIX.packages,
    redis=True,
)
PYJWT = Peer("PyJWT", "benchmarks.peers.pyjwt:open_pyjwt", requirements=("PyJWT",), packages=("PyJWT",), across=False)
DISKCACHE = Peer(
    "diskcache",
    "benchmarks.peers.disk_cache:open_cache",
    requirements=("diskcache", "msgspec"),
    packages=("diskcache", "msgspec"),
)
SQLITE = Peer("SQLite", "benchmarks.peers.sqlite_table:open_table", packages=("msgspec",), durable=True)
FLOOR = Peer("floor", "benchmarks.peers.floor:open_floor", packages=("lmdb", "cryptography", "msgspec"), across=False)

ON_SERVERS = Peer(
    "crudjt on servers",
    "benchmarks.peers.on_servers:open_store",
    packages=("crudjt-store", "valkey", "libvalkey", "cryptography", "msgspec"),
    valkey=True,
    durable=True,
)
REDIS_SESSIONS = Peer(
    "Redis sessions",
    "benchmarks.peers.redis_sessions:open_sessions",
    requirements=REDIS_UNIX.requirements,
    packages=REDIS_UNIX.packages,
    valkey=True,
)
BARE_COMMANDS = Peer(
    "bare commands",
    "benchmarks.peers.bare_commands:open_commands",
    packages=("valkey", "libvalkey", "msgspec"),
    valkey=True,
)

PEERS_ON_SERVERS = (ON_SERVERS, REDIS_SESSIONS, BARE_COMMANDS)
PEERS = (CRUDJT, ORIGINAL, REDIS_UNIX, REDIS_TCP, PYJWT, DISKCACHE, SQLITE, FLOOR)
