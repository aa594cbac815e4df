"""`open`: from a location and options to a store. A location is a directory or a URL."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, cast

from crudjt._core.clock import Clock, system_clock
from crudjt._core.options import DEFAULT_MAX_CACHE_BYTES, DEFAULT_MAX_DATA_BYTES, Durability
from crudjt._registry import Backend, backend_of, scheme_of
from crudjt.base import Store
from crudjt.errors import InvalidParameter, InvalidType

if TYPE_CHECKING:
    from crudjt._backends.moving.ports import Destination, Source

STORE_VARIABLE = "CRUDJT_STORE"
PATH_VARIABLE = "CRUDJT_PATH"  # its older name

SYSTEM_LOCATION = Path("/var/lib/store_jt")
PROJECT_LOCATION = "store_jt"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # two characters or more: C:\sessions is a path

Location = str | os.PathLike[str]


class OpenOptions(TypedDict, total=False):
    """The options of `crudjt.open`, for functions that pass them on."""

    secret_key: str | Sequence[str] | None
    durability: Durability
    sync_interval: float
    sweep_interval: float
    max_size: int | None
    max_data_bytes: int
    max_cache_bytes: int
    clock: Clock
    create: bool
    allow_shared_directory: bool
    access_token: str | None
    tls_ca: Location | None
    tls_cert: Location | None
    tls_key: Location | None
    timeout: float | None
    allow_plaintext: bool
    endings: Durability
    replicas: int | None
    assume: Collection[str]
    moving_to: Location | None


class Parsed(NamedTuple):
    """A location that has been checked, and its backend; of a store that is being moved, the destination too."""

    backend: Backend
    place: Any
    destination: "Parsed | None" = None

    def open(self) -> Store:
        """Open the store."""
        if self.destination is None:
            return self.backend.open_store(self.place)
        from crudjt._backends.moving.store import MovingStore  # noqa: PLC0415 - few need it

        return MovingStore(*self.open_both())

    def open_both(self) -> "tuple[Source, Destination]":
        """Open the two stores of a move."""
        from crudjt._backends.moving.opening import open_both  # noqa: PLC0415 - as above

        assert self.destination is not None, "parsed with moving_to"
        here: Any = self.backend
        there: Any = self.destination.backend
        return open_both(here.open_source, self.place, there.open_destination, self.destination.place)

    def look_at_both(self) -> "tuple[Source, bool]":
        """Open the source of a move, and tell whether the destination exists; nothing is made there."""
        from crudjt._backends.moving.opening import look_at_both  # noqa: PLC0415 - as above

        assert self.destination is not None, "parsed with moving_to"
        here: Any = self.backend
        there: Any = self.destination.backend
        return look_at_both(here.open_source, self.place, there.destination_exists, self.destination.place)


def open(  # noqa: A001 - crudjt.open is the name
    location: Location | None = None,
    *,
    secret_key: str | Sequence[str] | None = None,
    durability: Durability = "interval",
    sync_interval: float = 0.5,
    sweep_interval: float = 86_400.0,
    max_size: int | None = None,
    max_data_bytes: int = DEFAULT_MAX_DATA_BYTES,
    max_cache_bytes: int = DEFAULT_MAX_CACHE_BYTES,
    clock: Clock = system_clock,
    create: bool = True,
    allow_shared_directory: bool = False,
    access_token: str | None = None,
    tls_ca: Location | None = None,
    tls_cert: Location | None = None,
    tls_key: Location | None = None,
    timeout: float | None = None,
    allow_plaintext: bool = False,
    endings: Durability = "replicated",
    replicas: int | None = None,
    assume: Collection[str] = (),
    moving_to: Location | None = None,
) -> Store:
    """Open the store in a directory, creating both if needed. Any number of processes may have it open.

    Or connect to a server that has it open: ``grpc://host:port``, ``grpcs://host:port`` with TLS, ``unix:/path`` for a
    socket. It connects at the first call, and has the same methods.

    Or open the store on a Valkey or Redis Cluster that many hosts share: ``valkey+cluster://host:port,host:port/name``,
    ``valkeys+cluster://`` with TLS; ``valkey://host:port/name`` or ``valkeys://`` for one server and its replicas. The
    name, of a namespace, is ``crudjt`` if there is none; `docs/guarantees.md` says what is different there.

    Args:
        location: a directory or a URL; a path object is always a directory, and a leading ``~`` is the home directory.
            ``None`` takes `CRUDJT_STORE` from the environment (or `CRUDJT_PATH`, its older name), then
            ``/var/lib/store_jt`` if it can be written, then ``store_jt`` in the working directory.
        secret_key: Base64 of 32, 48 or 64 random bytes, as `crudjt keygen` makes them; or several, oldest to newest, to
            rotate them: the newest makes tokens, all read. ``None`` takes `CRUDJT_SECRET_KEY`, then the content of the
            file named by `CRUDJT_SECRET_KEY_FILE`; there too, white space separates several.
        durability: ``"interval"`` answers at once and syncs to disk every `sync_interval`; ``"full"`` answers when the
            change is on disk. Neither loses anything when processes die; they differ when the power fails. On a
            cluster ``"interval"`` answers when the primary has the change, ``"replicated"`` when `replicas` have it,
            and ``"full"`` requires servers that also sync it to disk before they answer.
        sync_interval: seconds between two syncs to disk.
        sweep_interval: seconds between two removals of expired sessions.
        max_size: bytes that the view of live sessions may grow to. ``None`` keeps the largest value that the store ever
            had (16 GiB for a new store). A larger value takes effect when no other process has the store open. It is
            address space, not disk space.
        max_data_bytes: the largest data of one session, in bytes of MessagePack.
        max_cache_bytes: memory that the read cache may take in this process, in bytes; 0 for no cache.
        clock: the source of time, in nanoseconds since 1970; for tests.
        create: make the store if there is none. With ``False`` a directory without a store is refused, so that a
            mistyped path does not pass for an empty store.
        allow_shared_directory: use a directory to which other users can write, or which belongs to a user other than
            root and the one that runs this process. Whoever can write to it can destroy the store. A directory that is
            shared with its group (mode 2770) needs no such permission.
        access_token: for a server only: the access token that it requires. ``None`` takes `CRUDJT_ACCESS_TOKEN`, then
            the content of the file named by `CRUDJT_ACCESS_TOKEN_FILE`. It is sent through TLS or within this host
            only. (The user and the password of a cluster are taken from `CRUDJT_CLUSTER_USER`, and from
            `CRUDJT_CLUSTER_PASSWORD` or the file named by `CRUDJT_CLUSTER_PASSWORD_FILE`.)
        tls_ca: for a server or a cluster, as all that follow: a file of certificates to trust, in PEM; ``None`` for the
            default root certificates.
        tls_cert: a file with the client's certificate, for a server that requires one, in PEM.
        tls_key: a file with its private key.
        timeout: seconds that a call may take; ``None`` for 5 with a server and 1 with a cluster.
        allow_plaintext: connect to another host without TLS (``grpc://host``). Who shares the network then reads and
            ends sessions: only for a network that is encrypted otherwise. An access token is not sent even so.
        endings: for a cluster only, as all that follow: the least `durability` of what ends a session, which a failover
            could otherwise undo.
        replicas: how many replicas must have a change that is to be replicated; ``None`` for the smallest number that
            any primary has, and at least 1; 0 for servers without replicas.
        assume: what is not checked at the servers, for managed ones that hide it: ``"noeviction"``, ``"aof"`` and more
            that `docs/cluster.md` lists.
        moving_to: the location that `crudjt move` takes the sessions to, now or later: from a directory or a cluster to
            another of either kind. The other options are for both stores, as far as they fit. Before the move begins,
            nothing changes; then each call goes where its session is. Every process must have it before the move
            begins. A directory is on one host: the processes of others must have stopped, or ask a server.

    Raises:
        InvalidParameter: a parameter, or the environment in its place, is not usable; no such scheme is known, or an
            option does not fit the location.
        MissingDependency: the location is a server or a cluster, and the package that connects to it is not installed.
        StoreError: the store cannot be opened; the subclass says why.

    """
    options: OpenOptions = {
        "secret_key": secret_key,
        "durability": durability,
        "sync_interval": sync_interval,
        "sweep_interval": sweep_interval,
        "max_size": max_size,
        "max_data_bytes": max_data_bytes,
        "max_cache_bytes": max_cache_bytes,
        "clock": clock,
        "create": create,
        "allow_shared_directory": allow_shared_directory,
        "access_token": access_token,
        "tls_ca": tls_ca,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "timeout": timeout,
        "allow_plaintext": allow_plaintext,
        "endings": endings,
        "replicas": replicas,
        "assume": assume,
        "moving_to": moving_to,
    }
    return parse(location, options).open()


_DEFAULTS: Mapping[str, Any] = open.__kwdefaults__ or {}


def parse(location: Location | None, options: OpenOptions) -> Parsed:
    """Check a location and its options as `open` does; create and connect to nothing.

    Raises:
        InvalidParameter: as for `open`.

    """
    given = dict(options)
    moving_to = cast("Location | None", given.pop("moving_to", None))
    if moving_to is not None:
        return _parse_move(location, moving_to, given)
    resolved = resolve(location)
    backend = backend_of(resolved)
    for name in _not_for(backend, given):
        kind = "a directory" if isinstance(resolved, Path) else f"a location with {scheme_of(resolved)}:"
        raise InvalidParameter(name, f"{name} is not for {kind}, which takes {', '.join(sorted(backend.OPTIONS))}")
    return _parsed(backend, resolved, given)


def _parse_move(location: Location | None, moving_to: Location, given: dict[str, Any]) -> Parsed:
    source, destination = resolve(location), resolve(moving_to)
    here, there = backend_of(source), backend_of(destination)
    if not hasattr(here, "open_source"):
        raise InvalidParameter(
            "moving_to",
            "moving_to is for a store that this process opens itself, in a directory or on Valkey or Redis servers; "
            "give it to the server (crudjt serve --moving-to)",
        )
    if not hasattr(there, "open_destination"):
        raise InvalidParameter("moving_to", "moving_to must be a directory or the URL of Valkey or Redis servers")
    if source == destination:
        raise InvalidParameter("moving_to", "moving_to must be another store than the location")
    for name in _not_for(here, given):
        if name not in there.OPTIONS:
            raise InvalidParameter(name, f"{name} is neither for the store nor for the one that it is moved to")
    return _parsed_of_two(here, source, given)._replace(destination=_parsed_of_two(there, destination, given))


def _parsed_of_two(backend: Backend, location: str | Path, given: Mapping[str, Any]) -> Parsed:
    """Return one of two stores that share their options: a directory has no replicas."""
    alone = isinstance(location, Path) and given.get("durability") == "replicated"
    return _parsed(backend, location, {**given, "durability": "interval"} if alone else given)


def _not_for(backend: Backend, given: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options that have a value of their own and that a backend does not take."""
    for name, value in given.items():
        if name not in backend.OPTIONS and value is not (default := _DEFAULTS[name]) and value != default:
            yield name


def _parsed(backend: Backend, location: str | Path, given: Mapping[str, Any]) -> Parsed:
    taken = {name: value for name, value in given.items() if name in backend.OPTIONS}
    return Parsed(backend, backend.parse(location, taken))


def resolve(location: Location | None) -> str | Path:
    """Return the URL, or the absolute path of the directory, that a location names.

    Raises:
        InvalidParameter: it names neither.

    """
    if location is None:
        location = default_location()
    if isinstance(location, str) and _SCHEME.match(location):
        return location
    if not isinstance(location, str | os.PathLike):
        raise InvalidType("location", f"location must be a str or a path, not {type(location).__name__}")
    path = os.fspath(location)
    if not isinstance(path, str):
        raise InvalidType("location", f"location must be a path of str, not of {type(path).__name__}")
    if not path or "\0" in path:
        raise InvalidParameter("location", "location must be the path of a directory; it is empty or holds a NUL")
    try:
        resolved = Path(path).expanduser().absolute()
        str(resolved).encode()
    except RuntimeError:
        raise InvalidParameter("location", "location begins with ~ and an unknown user; write the path out") from None
    except UnicodeEncodeError:  # LMDB takes no other path
        raise InvalidParameter(
            "location", "location must be a path in UTF-8, and so must the directories above it; choose another one"
        ) from None
    return resolved


def default_location() -> Location:
    """Return the location of a store for which none is given; after the environment, in the original engine's order."""
    configured = os.environ.get(STORE_VARIABLE) or os.environ.get(PATH_VARIABLE)
    if configured:
        return configured
    # Unlike `Path.exists`, False where the directory above may not be searched.
    exists = os.path.exists(SYSTEM_LOCATION)  # noqa: PTH110
    probe = SYSTEM_LOCATION if exists else SYSTEM_LOCATION.parent
    if os.access(probe, os.W_OK | os.X_OK):
        return SYSTEM_LOCATION
    return Path.cwd() / PROJECT_LOCATION
