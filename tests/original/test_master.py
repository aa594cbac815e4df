"""Starting and stopping: `CRUDJT.Config`, the ends of scripts, forks, ports, and where the store lies."""

import base64
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt import CRUDJT, opening
from tests.original.agents import Agent, Raised, Start
from tests.support.ports import free_port, listening
from tests.support.processes import PATIENCE, Fork, eventually

HOST = "127.0.0.1"


@pytest.fixture(autouse=True)
def _shut_down(tmp_path: Path) -> Iterator[None]:
    """Leave this process as it was, neither master nor client, before the directory of its store is removed."""
    yield
    CRUDJT.Config.shutdown_server()


def start_master(path: Path, secret_key: str) -> int:
    """Make this process a master, and return its port."""
    port = free_port()
    CRUDJT.Config.start_master(secret_key=secret_key, store_jt_path=str(path), grpc_port=port)
    return port


# What a process is


def test_a_process_that_has_not_started_says_so() -> None:
    assert CRUDJT.Config.was_started() is False
    assert CRUDJT.Config.master() is False
    calls: list[Callable[[], Any]] = [
        lambda: CRUDJT.create({}),
        lambda: CRUDJT.read("A" * 22),
        lambda: CRUDJT.update("A" * 22, {}),
        lambda: CRUDJT.delete("A" * 22),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"^CRUDJT has not started$"):
            call()


def test_a_master_knows_that_it_is_one(path: Path, secret_key: str) -> None:
    start_master(path, secret_key)
    assert CRUDJT.Config.was_started() is True
    assert CRUDJT.Config.master() is True
    CRUDJT.Config.shutdown_server()
    assert CRUDJT.Config.was_started() is False
    assert CRUDJT.Config.master() is False


def test_a_client_has_started_nothing(master: Agent) -> None:
    CRUDJT.Config.connect_to_master(grpc_port=master.port)
    assert CRUDJT.Config.was_started() is False
    assert CRUDJT.Config.master() is False
    assert CRUDJT.read(CRUDJT.create({"a": 1})) == {"data": {"a": 1}}


def test_a_master_does_not_start_twice(path: Path, secret_key: str) -> None:
    port = start_master(path, secret_key)
    with pytest.raises(ValueError, match=r"^CRUDJT already started$"):
        CRUDJT.Config.start_master(secret_key=secret_key, store_jt_path=str(path), grpc_port=free_port())
    with pytest.raises(ValueError, match=r"^CRUDJT already started$"):
        CRUDJT.Config.connect_to_master(grpc_port=port)
    assert CRUDJT.read(CRUDJT.create({})) == {"data": {}}


def test_a_master_starts_again_after_it_was_shut_down(path: Path, secret_key: str) -> None:
    start_master(path, secret_key)
    token = CRUDJT.create({"a": 1})
    CRUDJT.Config.shutdown_server()
    CRUDJT.Config.shutdown_server()
    with pytest.raises(ValueError, match=r"^CRUDJT has not started$"):
        CRUDJT.read(token)
    start_master(path, secret_key)
    assert CRUDJT.read(token) == {"data": {"a": 1}}


def test_what_a_caller_does_to_an_answer_or_to_its_data_changes_nothing(path: Path, secret_key: str) -> None:
    start_master(path, secret_key)
    data = {"roles": ["reader"]}
    token = CRUDJT.create(data)
    data["roles"].append("admin")
    for _ in range(3):
        answer = CRUDJT.read(token)
        assert answer == {"data": {"roles": ["reader"]}}
        answer["data"]["roles"].append("admin")
        answer["metadata"] = {}


def test_importing_crudjt_does_not_import_grpc() -> None:
    """Processes that open a directory need none of it, and forks are safer without."""
    code = "import sys, crudjt; from crudjt import CRUDJT; assert not {'grpc', 'google.protobuf'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=PATIENCE)


# The secret key


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (None, "Secret key is blank"),
        ("not Base64!", "'secret_key' must be a valid Base64 string"),
        (5, "'secret_key' must be a valid Base64 string"),
        ("ключ", "'secret_key' must be a valid Base64 string"),
        (base64.b64encode(bytes(16)).decode(), "'secret_key' must be exactly 32, 48, or 64 bytes. Got 16 bytes"),
        (base64.b64encode(bytes(33)).decode(), "'secret_key' must be exactly 32, 48, or 64 bytes. Got 33 bytes"),
        ("", "'secret_key' must be exactly 32, 48, or 64 bytes. Got 0 bytes"),
    ],
)
def test_a_secret_key_is_refused_in_the_words_of_the_original(path: Path, key: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        CRUDJT.Config.start_master(secret_key=key, store_jt_path=str(path), grpc_port=free_port())
    assert str(caught.value) == message
    assert not path.exists()
    assert not CRUDJT.Config.was_started()


@pytest.mark.parametrize("size", [32, 48, 64])
def test_a_secret_key_has_32_48_or_64_bytes(path: Path, size: int) -> None:
    start_master(path, base64.b64encode(os.urandom(size)).decode())
    assert CRUDJT.read(CRUDJT.create({})) == {"data": {}}


def test_tokens_of_another_secret_key_are_none_and_false(path: Path, secret_key: str) -> None:
    start_master(path, secret_key)
    token = CRUDJT.create({})
    CRUDJT.Config.shutdown_server()
    start_master(path, crudjt.generate_secret_key())
    assert CRUDJT.read(token) is None
    assert CRUDJT.update(token, {}) is False
    assert CRUDJT.delete(token) is False


# The address


def test_a_port_in_use_is_a_clear_error(path: Path, secret_key: str) -> None:
    with socket.create_server((HOST, 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ValueError, match=rf"^grpc_host and grpc_port: cannot listen on {HOST}:{port}: address already"
        ):
            CRUDJT.Config.start_master(secret_key=secret_key, store_jt_path=str(path), grpc_port=port)
    assert not CRUDJT.Config.was_started()
    start_master(path, secret_key)  # nothing of the first attempt is in the way


def test_a_port_of_another_master_is_not_shared(master: Agent, path: Path, secret_key: str) -> None:
    with pytest.raises(ValueError, match="cannot listen"):
        CRUDJT.Config.start_master(secret_key=secret_key, store_jt_path=str(path), grpc_port=master.port)


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("192.0.2.1", True)])
def test_a_client_of_a_master_on_another_host_gets_a_warning(
    caplog: pytest.LogCaptureFixture, host: str, warned: bool
) -> None:
    """Nothing is sent: the first call would connect."""
    CRUDJT.Config.connect_to_master(grpc_host=host)
    CRUDJT.Config.shutdown_server()
    assert ("in plaintext" in caplog.text) is warned


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_an_address_that_other_hosts_reach_is_refused_with_advice(path: Path, secret_key: str, host: str) -> None:
    with pytest.raises(ValueError, match=r"^grpc_host .*without encryption; .* crudjt serve --listen") as caught:
        CRUDJT.Config.start_master(secret_key=secret_key, store_jt_path=str(path), grpc_host=host, grpc_port=0)
    assert repr(host) in str(caught.value)
    assert not CRUDJT.Config.was_started()


def test_a_master_is_reached_at_its_name(path: Path, secret_key: str, start: Start) -> None:
    port = free_port()
    CRUDJT.Config.start_master(secret_key=secret_key, store_jt_path=path, grpc_host="localhost", grpc_port=port)
    client = start().connect(port)
    token = client.create({"a": 1})
    assert CRUDJT.read(token) == {"data": {"a": 1}}


def test_a_master_serves_the_whole_face_of_the_store_too(path: Path, secret_key: str) -> None:
    port = start_master(path, secret_key)
    with crudjt.open(f"grpc://{HOST}:{port}") as remote:
        token = remote.create({"a": 1}, subject="ada")
        assert CRUDJT.read(token) == {"data": {"a": 1}}
        assert remote.revoke("ada") == 1
    assert CRUDJT.read(token) is None


# Where the store lies


def test_a_given_path_is_used(path: Path, secret_key: str) -> None:
    start_master(path, secret_key)
    token = CRUDJT.create({})
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.peek(token) is not None


@pytest.mark.parametrize("writable", [True, False], ids=["writable", "not writable"])
def test_without_a_path_the_system_location_is_used_where_it_can_be_written(
    secret_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writable: bool
) -> None:
    project, system = tmp_path / "project", tmp_path / "lib" / "store_jt"
    project.mkdir()
    if writable:
        system.parent.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.delenv("CRUDJT_PATH", raising=False)
    monkeypatch.setattr(opening, "SYSTEM_LOCATION", system)
    CRUDJT.Config.start_master(secret_key=secret_key, grpc_port=free_port())
    CRUDJT.create({})
    assert (system / "manifest").exists() is writable
    assert (project / "store_jt" / "manifest").exists() is not writable


# The end


@pytest.mark.slow
def test_a_script_that_never_shuts_down_ends_by_itself_and_loses_nothing(
    start: Start, path: Path, secret_key: str
) -> None:
    """Also while clients keep asking: whatever they were told is there."""
    master = start().serve(secret_key=secret_key, store_jt_path=str(path))
    clients = [start().connect(master.port) for _ in range(2)]
    tokens: list[str] = [master.create({"of": "the master"})]

    def create_until_it_fails(client: Agent) -> None:
        with suppress(Raised):
            while True:
                tokens.append(client.create({"of": "a client"}))

    threads = [threading.Thread(target=create_until_it_fails, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    while len(tokens) < 50:
        assert any(thread.is_alive() for thread in threads)
        threading.Event().wait(0.01)
    errors = master.finish()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert errors == ""
    with crudjt.open(path, secret_key=secret_key) as store:
        assert None not in [store.peek(token) for token in tokens]
        assert store.stats().unsynced_bytes == 0


def test_a_client_ends_by_itself(start: Start, master: Agent) -> None:
    client = start().connect(master.port)
    client.create({})
    assert client.finish() == ""


def test_shutdown_server_stops_serving_and_frees_the_port(path: Path, secret_key: str) -> None:
    port = start_master(path, secret_key)
    assert listening(port)
    CRUDJT.Config.shutdown_server()
    assert not listening(port)


@pytest.mark.slow
def test_a_client_whose_master_is_gone_is_told_so_and_comes_back(
    start: Start, master: Agent, path: Path, secret_key: str
) -> None:
    port = start_master(path, secret_key)
    client = start().connect(port)
    token = client.create({"a": 1})
    CRUDJT.Config.shutdown_server()
    with pytest.raises(Raised, match=r"^StoreUnavailable: 127\.0\.0\.1:"):
        client.read(token)
    CRUDJT.Config.start_master(secret_key=secret_key, store_jt_path=str(path), grpc_port=port)
    assert eventually(lambda: answer(client, token) == {"data": {"a": 1}}, PATIENCE)


def answer(client: Agent, token: str) -> Any:
    """Return what a client reads, or the error."""
    try:
        return client.read(token)
    except Raised as error:
        return error


# Forks


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_of_a_master_goes_on_with_the_store(path: Path, secret_key: str) -> None:
    port = start_master(path, secret_key)
    token = CRUDJT.create({"of": "the parent"})

    def child() -> str:
        assert CRUDJT.read(token) == {"data": {"of": "the parent"}}
        made = CRUDJT.create({"of": "the child"})
        CRUDJT.delete(token)
        CRUDJT.Config.shutdown_server()
        return made

    made = Fork(child).wait().result
    assert CRUDJT.read(token) is None
    assert CRUDJT.read(made) == {"data": {"of": "the child"}}
    assert listening(port)


def test_a_forked_child_of_a_master_ends_as_any_process_does(path: Path, secret_key: str) -> None:
    """By the end of its script: what runs then must not wait for threads that are the parent's."""
    code = f"""
import os, sys
from crudjt import CRUDJT
CRUDJT.Config.start_master(secret_key={secret_key!r}, store_jt_path={str(path)!r}, grpc_port={free_port()})
child = os.fork()
if not child:
    print(CRUDJT.create({{}}), flush=True)
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
print(CRUDJT.create({{}}))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, check=True, timeout=PATIENCE, text=True
    )
    assert "Traceback" not in done.stderr  # gRPC may note the fork there
    with crudjt.open(path, secret_key=secret_key) as store:
        assert [store.peek(token) is None for token in done.stdout.split()] == [False, False]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_of_a_client_connects_anew(master: Agent) -> None:
    CRUDJT.Config.connect_to_master(grpc_port=master.port)
    token = CRUDJT.create({"a": 1})
    assert Fork(CRUDJT.read, token).wait().result == {"data": {"a": 1}}
    assert CRUDJT.read(token) == {"data": {"a": 1}}
