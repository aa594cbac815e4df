"""The doctor of a store on servers, as a user runs it: each kind of damage is named, with a remedy that works."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner

import crudjt
from crudjt._backends.valkey.layout import Layout
from crudjt.cli import main
from tests.support.stores import read
from tests.support.valkey_servers import SingleServer
from tests.support.valkey_stores import SINGLE, OpenOn

Doctor = Callable[..., tuple[int, str]]


@pytest.fixture
def doctor(server: SingleServer, namespace: str) -> Doctor:
    """Run the command, and return its exit code and what it printed, without the server's own state."""

    def run(*arguments: str) -> tuple[int, str]:
        store = ["--store", server.url(namespace), "--replicas", "0"]
        result = CliRunner().invoke(main, [*store, "doctor", *arguments], prog_name="crudjt")
        return result.exit_code, result.output

    return run


def test_each_kind_of_damage_is_named_and_its_remedy_helps(
    server: SingleServer, namespace: str, open_on: OpenOn, doctor: Doctor
) -> None:
    store, ask, layout = open_on(server, **SINGLE), server.node.ask, Layout(namespace)
    ids = [bytes.fromhex(read(store, store.create({}, subject="ada")).id) for _ in range(5)]
    assert doctor()[0] == 0
    assert "1 index with 5 entries" in doctor()[1]

    [index] = [key for key in ask("KEYS", f"{namespace}:*") if key.partition(b"}")[2].startswith(b"u")]
    ask("ZREM", index, ids[0])
    ask("ZADD", index, 1, ids[1])
    ask("ZADD", index, "+inf", b"a ghost")
    code, printed = doctor()
    assert code == 1
    assert "FAULT\t2 sessions that an index of subject or label lacks" in printed
    assert "FAULT\t1 entry of indexes without a session of the subject or label; run: crudjt doctor --repair" in printed
    assert "mended 3 entries of indexes" in doctor("--repair")[1]
    assert doctor()[0] == 0

    labelled = bytes.fromhex(read(store, store.create({}, ttl=60, labels=("x",))).id)
    [filed] = [key for key in ask("KEYS", f"{namespace}:*") if key.partition(b"}")[2].startswith(b"l")]
    assert 0 < ask("PTTL", filed) <= 70_000
    ask("ZREM", filed, labelled)
    ask("ZADD", filed, "+inf", bytes(16))
    assert "FAULT\t1 session that an index of subject or label lacks" in doctor()[1]
    assert "mended 2 entries of indexes" in doctor("--repair")[1]
    assert doctor()[0] == 0
    assert store.revoke(label="x") == 1

    ask("SET", layout.session(ids[2]), b"damaged")
    code, printed = doctor("--repair")
    assert (code, "FAULT\t1 record damaged" in printed) == (1, True)
    store.revoke("ada")
    assert doctor()[0] == 0

    ask("SADD", layout.session(ids[3]), b"another program")
    ask("SET", f"{namespace}:mine", b"another program")
    code, printed = doctor()
    assert code == 1
    assert "FAULT\t1 key with a value of another type" in printed
    assert f"FAULT\t1 key of another program ('{namespace}:mine'); use another namespace" in printed
    ask("UNLINK", layout.session(ids[3]), f"{namespace}:mine")
    assert doctor()[0] == 0

    ask("SET", layout.manifest, b"{}")
    assert "restore it" in doctor()[1]
    ask("UNLINK", layout.manifest)
    code, printed = doctor()
    assert (code, "FAULT\tthere is no manifest" in printed) == (1, True)


def test_settings_that_lose_sessions_are_faults(server: SingleServer, open_on: OpenOn, doctor: Doctor) -> None:
    open_on(server, **SINGLE)
    server.node.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    server.node.ask("CONFIG", "SET", "appendonly", "no")
    try:
        code, printed = doctor()
    finally:
        server.node.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        server.node.ask("CONFIG", "SET", "appendonly", "yes")
    assert code == 1
    assert "set maxmemory-policy noeviction" in printed
    assert "set appendonly yes" in printed


def test_a_store_that_is_not_there_is_a_fault(doctor: Doctor) -> None:
    assert "FAULT\tthere is no manifest" in doctor()[1]


def test_readers_of_json_get_the_same(server: SingleServer, open_on: OpenOn, doctor: Doctor) -> None:
    assert isinstance(open_on(server, **SINGLE), crudjt.Store)
    assert '"healthy": true' in doctor("--json")[1].replace('":true', '": true')
