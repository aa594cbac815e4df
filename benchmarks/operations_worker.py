"""Carry out one task of `operations.py` in a process of its own, and print what it cost as JSON.

Both engines are called `crudjt`: the Python that runs this module decides which one is imported. How an engine is
opened is all that differs between them here; the timed loops are the same.
"""

import base64
import json
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from operator import attrgetter, itemgetter
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import crudjt

Data = dict[str, Any]
Costs = dict[str, float]

SECRET_KEY = base64.b64encode(bytes(range(32))).decode()
CREATED: Data = {
    "user_id": 1_000_042,
    "email": "ada.lovelace@example.org",
    "roles": ["reader", "editor", "billing"],
    "verified": True,
    "csrf": "4f1d0c6be2a97835" * 2,
    "device": "Firefox 128 on Linux x86-64, first seen in London, Great Britain",
}
UPDATED = CREATED | {"user_id": 1_000_043}
PACKED_SIZE = 196
PACKERS = {"crudjt": "msgspec.msgpack:encode", "original": "msgpack:packb"}
PACKAGES = ("crudjt", "lmdb", "cryptography", "msgspec", "msgpack", "grpcio")


@dataclass(frozen=True)
class Task:
    """What this process is to do; `port` and `remote` concern the original only."""

    engine: str
    part: str
    workspace: str = ""
    operations: int = 0
    port: int = 0
    remote: bool = False
    shuffle: bool = False


@dataclass(frozen=True)
class Engine:
    """The calls that are timed, as the engine itself offers them, without a layer between."""

    create: Callable[[Data], str]
    read: Callable[[str], Any]
    update: Callable[[str, Data], bool]
    delete: Callable[[str], bool]
    data_of: Callable[[Any], Data]
    close: Callable[[], None]


def open_crudjt(store: Path) -> Engine:
    """Open the directory, whoever else has it open."""
    opened = crudjt.open(store, secret_key=SECRET_KEY)
    return Engine(opened.create, opened.read, opened.update, opened.delete, attrgetter("data"), opened.close)


def open_original(store: Path, port: int, *, remote: bool) -> Engine:
    """Become the store's master, or connect to it over gRPC."""
    original = crudjt.CRUDJT
    if remote:
        wait_for_server(port)
        original.Config.connect_to_master(grpc_host="127.0.0.1", grpc_port=port)
        original.read("A" * 22)  # connecting is not part of the first operation
    else:
        store.mkdir(exist_ok=True)
        original.Config.start_master(secret_key=SECRET_KEY, store_jt_path=str(store), grpc_port=port)

    def settle() -> None:
        """There is no way to close it: leave its timer, which writes every 500 ms, the time to do so."""
        time.sleep(0 if remote else 2)

    return Engine(original.create, original.read, original.update, original.delete, itemgetter("data"), settle)


def wait_for_server(port: int) -> None:
    """Return when something listens; whoever runs this process ends a wait in vain."""
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


@contextmanager
def timing(costs: Costs, operation: str, count: int) -> Iterator[None]:
    """Note what the block takes, in microseconds for each of its operations."""
    started = time.perf_counter_ns()
    yield
    costs[operation] = (time.perf_counter_ns() - started) / 1000 / count


def choose(tokens: list[str], count: int, *, shuffle: bool) -> list[str]:
    """Return the oldest tokens, or random ones."""
    return copies(random.sample(tokens, count) if shuffle else tokens[:count])


def copies(tokens: list[str]) -> list[str]:
    """Return new strings, side by side in memory: a server too gets a token anew with every request.

    The very string that an engine keeps as a key would be found faster, and which one that is differs between the two.
    """
    return " ".join(tokens).split()


def first_visit(engine: Engine, tokens: list[str], count: int, *, shuffle: bool) -> tuple[Costs, list[str]]:
    """Time what needs no earlier process: create, read again what was just read, update."""
    create, read, update, data_of = engine.create, engine.read, engine.update, engine.data_of
    costs: Costs = {}
    with timing(costs, "create", count):
        created = [create(CREATED) for _ in range(count)]
    tokens = tokens + created
    chosen = choose(tokens, count, shuffle=shuffle)
    assert all(data_of(read(token)) in (CREATED, UPDATED) for token in chosen)
    chosen = copies(chosen)
    with timing(costs, "read, cached", count):
        for token in chosen:
            data_of(read(token))
    with timing(costs, "update", count):
        for token in chosen:
            update(token, UPDATED)
    assert all(data_of(read(token)) == UPDATED for token in chosen)
    return costs, tokens


def second_visit(engine: Engine, tokens: list[str], count: int, *, shuffle: bool) -> tuple[Costs, list[str]]:
    """Time what meets tokens of earlier processes: the first read of each, then its end."""
    read, delete, data_of = engine.read, engine.delete, engine.data_of
    costs: Costs = {}
    chosen = choose(tokens, count, shuffle=shuffle)
    with timing(costs, "read, not cached", count):
        for token in chosen:
            data_of(read(token))
    with timing(costs, "delete", count):
        for token in chosen:
            delete(token)
    assert not any(read(token) for token in chosen)
    ended = set(chosen)
    return costs, [token for token in tokens if token not in ended]


def fill(engine: Engine, tokens: list[str], count: int, **_: bool) -> tuple[Costs, list[str]]:
    """Add tokens to the store, untimed."""
    return {}, tokens + [engine.create(CREATED) for _ in range(count)]


PARTS: dict[str, Callable[..., tuple[Costs, list[str]]]] = {
    "fill": fill,
    "first visit": first_visit,
    "second visit": second_visit,
}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter, as far as they are installed."""
    installed = {"crudjt": "(source tree)"} | {package.name: package.version for package in metadata.distributions()}
    return {"Python": sys.version.split()[0]} | {name: installed[name] for name in PACKAGES if name in installed}


def visit(task: Task) -> Costs:
    """Do one part on the store in the workspace, which also holds the tokens from part to part."""
    store, known = Path(task.workspace, "store"), Path(task.workspace, "tokens")
    engine = open_crudjt(store) if task.engine == "crudjt" else open_original(store, task.port, remote=task.remote)
    try:
        if task.part == "hold":
            print("ready", flush=True)
            sys.stdin.read()
            return {}
        tokens = known.read_text().split() if known.exists() else []
        costs, tokens = PARTS[task.part](engine, tokens, task.operations, shuffle=task.shuffle)
        known.write_text("\n".join(tokens))
        return costs
    finally:
        engine.close()


def main() -> None:
    """Do the task that the first argument holds as JSON; the answer is the last line printed."""
    task = Task(**json.loads(sys.argv[1]))
    for data in (CREATED, UPDATED):
        assert len(resolve_name(PACKERS[task.engine])(data)) == PACKED_SIZE
    print(json.dumps(versions() if task.part == "versions" else visit(task)))


if __name__ == "__main__":
    main()
