"""Users, rights and certificates: what is refused says what is missing, and no refusal passes for an answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import crudjt
from tests.support.stores import read
from tests.support.valkey_servers import Cluster, SingleServer, Tls
from tests.support.valkey_stores import SINGLE, OpenOn

pytestmark = pytest.mark.slow

USER, PASSWORD = "app", "correct horse"
RIGHTS = (
    "+get +set +unlink +getrange +zadd +zrem +zrange +zremrangebyscore +persist +pexpire +evalsha +eval +wait "
    "+cluster|slots +asking +ping +time +info +zcard"
)
TO_MAKE = "+scan"  # a process that makes a store looks first whether there are sessions whose manifest is lost


def set_user(
    server: SingleServer | Cluster, namespace: str, rights: str = f"{RIGHTS} {TO_MAKE}", password: str = PASSWORD
) -> None:
    for node in server.nodes:
        node.ask("ACL", "SETUSER", USER, "reset", "on", f">{password}", f"~{namespace}:*", *rights.split())


@pytest.fixture
def guarded(tmp_path: Path, engine: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SingleServer]:
    """A server whose user may do what a store needs, and no more; the environment names user and password."""
    with SingleServer(tmp_path / "server", engine) as server:
        set_user(server, namespace)
        monkeypatch.setenv("CRUDJT_CLUSTER_USER", USER)
        monkeypatch.setenv("CRUDJT_CLUSTER_PASSWORD", PASSWORD)
        yield server


def test_the_documented_rights_are_enough(guarded: SingleServer, open_on: OpenOn) -> None:
    store = open_on(guarded, **SINGLE)
    token = store.create({"n": 1}, ttl=60, subject="ada")
    assert store.update(token, {"n": 2})
    assert [session.data for session in store.sessions("ada")] == [{"n": 2}]
    new = store.rotate(token)
    assert new is not None
    limited = store.create({}, max_reads=1)
    assert read(store, limited).reads_left == 0
    assert store.revoke("ada") == 1
    assert store.read(new) is None


def test_a_store_that_exists_is_opened_without_the_right_to_scan(
    guarded: SingleServer, open_on: OpenOn, namespace: str
) -> None:
    token = open_on(guarded, **SINGLE).create({"n": 1})
    set_user(guarded, namespace, RIGHTS)
    assert read(open_on(guarded, **SINGLE), token).data == {"n": 1}


def test_a_cluster_with_the_documented_rights_is_enough(
    cluster: Cluster, namespace: str, open_on: OpenOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_user(cluster, namespace)
    monkeypatch.setenv("CRUDJT_CLUSTER_USER", USER)
    monkeypatch.setenv("CRUDJT_CLUSTER_PASSWORD", PASSWORD)
    store = open_on(cluster, durability="replicated")
    tokens = [store.create({"n": number}, subject=f"user {number}") for number in range(20)]
    assert [session and session.data["n"] for session in store.read_many(tokens)] == list(range(20))


@pytest.mark.parametrize("right", ["set", "getrange", "zadd", "evalsha", "get", "info", "time"])
def test_a_missing_right_is_named(guarded: SingleServer, open_on: OpenOn, namespace: str, right: str) -> None:
    """But for a command of a script on Redis 7.0, which does not say which it was."""
    open_on(guarded, **SINGLE)
    set_user(guarded, namespace, RIGHTS.replace(f"+{right} ", "").removesuffix(f" +{right}"))

    def use() -> None:
        store = open_on(guarded, **SINGLE)
        store.read(store.create({}, subject="ada"))

    with pytest.raises(crudjt.StoreInaccessible, match=rf"(?i)\b{right}\b|commit script"):
        use()


def test_a_foreign_namespace_is_refused(guarded: SingleServer, secret_key: str) -> None:
    with pytest.raises(crudjt.StoreInaccessible):
        crudjt.open(guarded.url("foreign"), secret_key=secret_key, **SINGLE)


def test_a_wrong_password_is_refused_and_not_shown(
    guarded: SingleServer, open_on: OpenOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRUDJT_CLUSTER_PASSWORD", "wrong horse")
    with pytest.raises(crudjt.StoreInaccessible, match="CRUDJT_CLUSTER_PASSWORD") as caught:
        open_on(guarded, **SINGLE).create({})
    assert "horse" not in str(caught.value)


def test_a_password_can_be_in_a_file(
    guarded: SingleServer, open_on: OpenOn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    monkeypatch.delenv("CRUDJT_CLUSTER_PASSWORD")
    monkeypatch.setenv("CRUDJT_CLUSTER_PASSWORD_FILE", str(file))
    assert open_on(guarded, **SINGLE).create({})


def test_a_password_that_was_changed_while_the_store_is_open_is_named(
    guarded: SingleServer, open_on: OpenOn, namespace: str
) -> None:
    store = open_on(guarded, **SINGLE)
    token = store.create({})
    set_user(guarded, namespace, password="another")
    guarded.node.ask("CLIENT", "KILL", "USER", USER)
    with pytest.raises(crudjt.StoreInaccessible):
        store.read(token)
    set_user(guarded, namespace)
    assert store.read(token) is not None


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls.issue(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=[False, True], ids=["tls", "mtls"])
def secured(request: pytest.FixtureRequest, tls: Tls, tmp_path: Path, engine: str) -> Iterator[SingleServer]:
    with SingleServer(tmp_path / "server", engine, tls=tls, mutual=request.param) as server:
        yield server


def test_a_store_over_tls(secured: SingleServer, tls: Tls, open_on: OpenOn) -> None:
    store = open_on(
        secured,
        tls_ca=tls.authority.file,
        tls_cert=tls.client.certificate,
        tls_key=tls.client.key,
        **SINGLE,
    )
    assert read(store, store.create({"n": 1})).data == {"n": 1}


def test_a_certificate_of_another_authority_is_refused(
    secured: SingleServer, tls: Tls, open_on: OpenOn, tmp_path: Path
) -> None:
    other = Tls.issue(tmp_path)
    with pytest.raises(crudjt.StoreError, match="certificate"):
        open_on(
            secured,
            tls_ca=other.authority.file,
            tls_cert=tls.client.certificate,
            tls_key=tls.client.key,
            **SINGLE,
        )


def test_a_server_that_wants_a_certificate_refuses_who_has_none(
    tls: Tls, open_on: OpenOn, tmp_path: Path, engine: str
) -> None:
    with (
        SingleServer(tmp_path / "server", engine, tls=tls, mutual=True) as server,
        pytest.raises(crudjt.StoreError),
    ):
        open_on(server, tls_ca=tls.authority.file, **{**SINGLE, "timeout": 1.0})


def test_plaintext_to_a_server_of_tls_is_no_hang(secured: SingleServer, open_on: OpenOn, namespace: str) -> None:
    with pytest.raises(crudjt.StoreError):
        open_on(secured.url(namespace).replace("valkeys:", "valkey:"), **{**SINGLE, "timeout": 1.0})


def test_a_cluster_over_mtls(tls: Tls, tmp_path: Path, open_on: OpenOn) -> None:
    with Cluster(tmp_path / "c", tls=tls, mutual=True) as cluster:
        store = open_on(cluster, tls_ca=tls.authority.file, tls_cert=tls.client.certificate, tls_key=tls.client.key)
        tokens = store.create_many([{"n": 1}] * 3) + [store.create({"n": 1}) for _ in range(20)]
        assert [session and session.data for session in store.read_many(tokens)] == [{"n": 1}] * 23
