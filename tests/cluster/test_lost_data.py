"""Data that an operator has removed, and the first processes of a store: no salt is ever made a second time."""

from multiprocessing.connection import Connection

import pytest

import crudjt
from tests.support.processes import StoreProcess, Worker
from tests.support.stores import read
from tests.support.valkey_servers import SingleServer, slot_of
from tests.support.valkey_stores import SINGLE, OpenOn, ServerPool

pytestmark = pytest.mark.slow

MANIFEST = "{manifest}"


def test_a_missing_manifest_is_damage_and_never_a_new_store(
    server: SingleServer, open_on: OpenOn, namespace: str
) -> None:
    with open_on(server, **SINGLE) as store:
        store.create({})
    assert server.node.ask("DEL", f"{namespace}:{MANIFEST}") == 1
    with pytest.raises(crudjt.StoreCorrupt):
        open_on(server, **SINGLE)
    assert server.node.ask("EXISTS", f"{namespace}:{MANIFEST}") == 0


def test_a_missing_manifest_of_a_cluster_is_damage(servers: ServerPool, open_on: OpenOn, namespace: str) -> None:
    """The sessions may lie on any of the primaries."""
    cluster = servers.cluster("valkey")
    with open_on(cluster) as store:
        store.create({})
    manifest = f"{namespace}:{MANIFEST}"
    assert cluster.owner(slot_of(manifest.encode())).ask("DEL", manifest) == 1
    with pytest.raises(crudjt.StoreCorrupt):
        open_on(cluster)


def test_after_a_flush_the_sessions_are_gone_and_the_store_says_what_is_wrong(
    server: SingleServer, open_on: OpenOn
) -> None:
    """A create into a store without a manifest would make sessions that no later process can open."""
    store = open_on(server, **SINGLE)
    token = store.create({})
    server.node.ask("FLUSHALL")
    assert store.read(token) is None
    reopened = open_on(server, **SINGLE)
    assert read(reopened, reopened.create({"n": 2})).data == {"n": 2}


def test_flushed_scripts_are_sent_again(server: SingleServer, open_on: OpenOn) -> None:
    store = open_on(server, **SINGLE)
    token = store.create({"n": 0})
    for number in range(1, 4):
        server.node.ask("SCRIPT", "FLUSH")
        assert store.update(token, {"n": number})
        assert read(store, token).data == {"n": number}


def test_scripts_are_sent_again_with_a_wait_behind_them(servers: ServerPool, open_on: OpenOn) -> None:
    """The reply of the WAIT behind a refused script is taken off the connection, and meets no other question."""
    cluster = servers.cluster("valkey")
    store = open_on(cluster, durability="replicated")
    tokens = [store.create({"n": number}) for number in range(20)]
    for node in cluster.nodes:
        node.ask("SCRIPT", "FLUSH")
    for number, token in enumerate(tokens):
        assert store.update(token, {"n": number + 100})
    assert [session and session.data["n"] for session in store.read_many(tokens)] == list(range(100, 120))


def _open_when_told(pipe: Connection, url: str, secret_key: str) -> None:
    pipe.send("ready")
    pipe.recv()
    with crudjt.open(url, secret_key=secret_key, **SINGLE) as store:
        pipe.send(store.create({"mine": True}))
        for token in pipe.recv():
            assert store.read(token) is not None
    pipe.send("read")


@pytest.mark.any_engine
def test_processes_that_make_a_store_at_once_make_one(server: SingleServer, namespace: str, secret_key: str) -> None:
    makers = [Worker(_open_when_told, server.url(namespace), secret_key) for _ in range(4)]
    try:
        for maker in makers:
            maker.receive()
        for maker in makers:
            maker.send("open")
        tokens = [maker.receive() for maker in makers]
        for maker in makers:
            maker.send(tokens)
        assert [maker.receive() for maker in makers] == ["read"] * len(makers)
    finally:
        for maker in makers:
            maker.end()


def test_a_key_that_the_store_does_not_know_is_refused(server: SingleServer, open_on: OpenOn) -> None:
    """Its holder could not compute the place of a subject."""
    open_on(server, **SINGLE)
    with pytest.raises(crudjt.StoreInaccessible):
        open_on(server, secret_key=crudjt.generate_secret_key(), **SINGLE)


def test_a_new_key_beside_a_known_one_is_added(server: SingleServer, open_on: OpenOn, secret_key: str) -> None:
    new = crudjt.generate_secret_key()
    old_token = open_on(server, **SINGLE).create({"n": 1}, subject="ada")
    both = open_on(server, secret_key=[secret_key, new], **SINGLE)
    assert read(both, old_token).data == {"n": 1}
    new_token = both.create({"n": 2}, subject="ada")
    alone = open_on(server, secret_key=new, **SINGLE)
    assert read(alone, new_token).data == {"n": 2}
    assert read(both, new_token).id[16:20] == read(both, old_token).id[16:20]


@pytest.mark.any_engine
def test_another_process_sees_the_same_sessions(server: SingleServer, namespace: str, secret_key: str) -> None:
    with StoreProcess(server.url(namespace), secret_key, **SINGLE) as other:
        token = other.call("create", {"n": 1})
        with crudjt.open(server.url(namespace), secret_key=secret_key, **SINGLE) as store:
            assert read(store, token).data == {"n": 1}
            assert store.delete(token)
        assert other.call("read", token) is None
