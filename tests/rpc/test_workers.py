"""`crudjt serve` as its users run it: processes, signals, deaths, metrics, logs."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import crudjt
from crudjt._backends.embedded.engine.control_block import ControlBlock
from crudjt._backends.embedded.engine.layout import CONTROL_FILE
from crudjt.errors import StoreUnavailable
from tests.support.certificates import Authority
from tests.support.ports import free_port
from tests.support.processes import eventually
from tests.support.servers import CHECK, PATIENCE, ServeCommand, call, plaintext, serve, serves

pytestmark = pytest.mark.slow

CLIENTS = 50
CONNECTIONS = 3000
ACCESS_TOKEN = "an-access-token-of-enough-characters"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ended before the file was opened, or before it was read
        return False


# Workers


def test_clients_see_nothing_but_unavailable_while_workers_are_killed_and_restarted(
    home: Path, secret_key: str
) -> None:
    """50 clients write through two workers that die by SIGKILL; what was acknowledged is there in the end."""
    acknowledged: list[tuple[str, int]] = []
    unexpected: list[BaseException] = []
    done = threading.Event()
    with serve(home, secret_key, "--listen", "127.0.0.1:0", "--workers", "2") as command:
        url = f"grpc://{command.wait_until_it_serves()[0]}"

        def write_one(store: crudjt.Store, number: int) -> None:
            try:
                acknowledged.append((store.create({"client": number}), number))
            except StoreUnavailable:
                pass
            except Exception as error:  # noqa: BLE001 - looked at below
                unexpected.append(error)

        def write(number: int) -> None:
            with crudjt.open(url, timeout=10) as store:
                while not done.wait(0.02):
                    write_one(store, number)

        clients = [threading.Thread(target=write, args=(number,)) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        killed: set[int] = set()
        for _ in range(4):
            assert eventually(lambda: any(map(alive, set(command.worker_pids()) - killed)), PATIENCE)
            victim = next(pid for pid in command.worker_pids() if pid not in killed and alive(pid))
            before = len(acknowledged)
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)
            assert eventually(lambda before=before: len(acknowledged) > before + 5, PATIENCE)  # type: ignore[misc]
        assert eventually(lambda: sum(map(alive, set(command.worker_pids()))) == 2, PATIENCE)
        done.set()
        for client in clients:
            client.join(PATIENCE)
        assert not unexpected
        deaths = [line["message"] for line in command.lines() if "died" in line["message"]]
        assert len(deaths) == 4
        assert command.stop() == 0
    with crudjt.open(home / "store", secret_key=secret_key) as store:
        sessions = store.read_many(token for token, _ in acknowledged)
        assert [session and session.data["client"] for session in sessions] == [number for _, number in acknowledged]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_calls_end_and_loses_nothing(home: Path, secret_key: str, number: int) -> None:
    tokens: list[str] = []
    ended = threading.Event()
    with serve(home, secret_key, "--listen", f"unix:{home}/socket") as command:
        [address] = command.wait_until_it_serves()

        def write() -> None:
            with crudjt.open(f"unix://{home}/socket") as store, suppress(StoreUnavailable):
                while True:
                    tokens.append(store.create({}))
            ended.set()

        client = threading.Thread(target=write)
        client.start()
        assert eventually(lambda: len(tokens) > 20, PATIENCE)
        assert command.stop(number) == 0
        assert ended.wait(PATIENCE)
        assert not (home / "socket").exists()
        assert address == f"unix:{home}/socket"
        assert not any(map(alive, command.worker_pids()))
    with crudjt.open(home / "store", secret_key=secret_key) as store:
        assert store.stats().sessions == len(tokens)
        assert None not in store.read_many(tokens)


def test_workers_end_when_their_supervisor_is_killed(home: Path, secret_key: str) -> None:
    with serve(home, secret_key, "--listen", "127.0.0.1:0", "--workers", "2") as command:
        command.wait_until_it_serves()
        pids = command.worker_pids()
        assert len(pids) == 2
        assert command.stop(signal.SIGKILL) == -signal.SIGKILL
        assert eventually(lambda: not any(map(alive, pids)), PATIENCE)


def test_a_disk_that_fails_ends_the_command_so_that_the_store_can_be_recovered(home: Path, secret_key: str) -> None:
    with serve(home, secret_key, "--listen", "127.0.0.1:0", "--workers", "2") as command:
        [address] = command.wait_until_it_serves()
        with crudjt.open(f"grpc://{address}") as store:
            token = store.create({})
        block = ControlBlock(home / "store" / CONTROL_FILE)
        block.fail()
        block.close()
        assert command.process.wait(PATIENCE) == 3
        assert "the disk failed" in command.log_file.read_text()
        assert not any(map(alive, command.worker_pids()))
    with crudjt.open(home / "store", secret_key=secret_key) as store:
        assert store.peek(token) is not None


# What keeps it from starting


def refused(home: Path, secret_key: str, *options: str, **environment: str) -> tuple[int, str]:
    """Return the exit code and the log of a command that must end by itself."""
    with serve(home, secret_key, *options, **environment) as command:
        code = command.process.wait(PATIENCE)
        return code, command.log_file.read_text()


def test_a_port_in_use_ends_the_command_even_where_it_could_be_shared(home: Path, secret_key: str) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, log = refused(home, secret_key, "--listen", address)
    assert code == 2
    assert f"cannot listen on {address}: address already in use" in log


@pytest.mark.parametrize(
    ("options", "environment", "problem"),
    [
        (
            ["--listen", "0.0.0.0:0"],
            {},
            "--tls-key) and access tokens (access_tokens; --access-token-file)",
        ),
        ([], {"CRUDJT_DOCKER_HOST": "0.0.0.0"}, "0.0.0.0:50051 can be reached"),
        ([], {"CRUDJT_LISTEN": "127.0.0.1:0 0.0.0.0:0"}, "0.0.0.0:0 can be reached"),
        (["--tls-cert", "x"], {}, "tls_cert and tls_key"),
        ([], {"CRUDJT_TLS_CERT": "x", "CRUDJT_TLS_KEY": "y"}, "cannot read the file that tls_cert names"),
        ([], {"CRUDJT_CLIENT_CA": "x"}, "tls_cert and tls_key"),
        ([], {"CRUDJT_ACCESS_TOKEN_FILE": "x"}, "cannot read the file that access_token_file names"),
        (["--metrics", "unix:/x"], {}, "not a Unix socket"),
        ([], {"CRUDJT_METRICS": "nowhere"}, "metrics must be HOST:PORT"),
        ([], {"CRUDJT_WORKERS": "0"}, "--workers"),
        ([], {"CRUDJT_LOG_FORMAT": "xml"}, "--log-format"),
        ([], {"CRUDJT_LOG_LEVEL": "all"}, "--log-level"),
        ([], {"CRUDJT_SECRET_KEY": "short"}, "secret_key"),
    ],
)
def test_a_bad_option_ends_the_command_by_name(
    home: Path, secret_key: str, options: list[str], environment: dict[str, str], problem: str
) -> None:
    code, log = refused(home, environment.pop("CRUDJT_SECRET_KEY", secret_key), *options, **environment)
    assert code == 2
    assert problem in log
    assert not (home / "store").exists()


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_metrics_that_other_hosts_can_read_get_a_warning(
    home: Path, secret_key: str, host: str, expected: bool
) -> None:
    with serve(home, secret_key, "--listen", "127.0.0.1:0", "--metrics", f"{host}:0") as command:
        command.wait_until_it_serves()
        warnings = [line["message"] for line in command.lines() if line["level"] == "warning"]
        assert [f"other hosts can read the metrics on {host}:" in each for each in warnings] == [True] * expected


def test_metrics_without_their_extra_name_it(home: Path, secret_key: str) -> None:
    script = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from crudjt.cli import main; main(['serve', '--metrics', '127.0.0.1:0'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(Path(crudjt.__file__).parents[1]), "CRUDJT_SECRET_KEY": secret_key, "HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "pip install 'crudjt-store[metrics]'" in done.stderr


# The original's container


def test_the_variables_and_the_key_file_of_the_original_container_work(home: Path, secret_key: str) -> None:
    (home / "secrets").mkdir()
    (home / "secrets" / "secret_key.txt").write_text(secret_key + "\n")
    port = free_port()
    with serve(home, "", CRUDJT_DOCKER_HOST="127.0.0.1", CRUDJT_DOCKER_PORT=str(port)) as command:
        assert command.wait_until_it_serves() == [f"127.0.0.1:{port}"]
        with crudjt.open(f"grpc://127.0.0.1:{port}") as store:
            token = store.create({"user_id": 42})
        assert command.stop() == 0
    with crudjt.open(home / "store", secret_key=secret_key) as store:
        assert store.read(token) is not None


# TLS, access tokens, logs, metrics


@pytest.fixture
def protected(home: Path, secret_key: str, tmp_path: Path) -> Iterator[tuple[ServeCommand, Path]]:
    """Run a server with all options, by their variables."""
    authority = Authority(tmp_path, "authority")
    pair = authority.issue("server")
    tokens = tmp_path / "tokens"
    tokens.write_text(ACCESS_TOKEN)
    tokens.chmod(0o600)
    with serve(
        home,
        secret_key,
        CRUDJT_LISTEN=f"127.0.0.1:0 unix:{home}/socket",
        CRUDJT_WORKERS="2",
        CRUDJT_TLS_CERT=str(pair.certificate),
        CRUDJT_TLS_KEY=str(pair.key),
        CRUDJT_ACCESS_TOKEN_FILE=str(tokens),
        CRUDJT_METRICS="127.0.0.1:0",
        CRUDJT_LOG_LEVEL="debug",
    ) as command:
        command.wait_until_it_serves()
        yield command, authority.file


def test_a_session_leaves_metrics_of_all_workers_and_no_secret_in_the_logs(
    protected: tuple[ServeCommand, Path], secret_key: str, home: Path
) -> None:
    command, authority = protected
    address = command.wait_until_it_serves()[0]
    secrets = [secret_key, ACCESS_TOKEN, "of-the-data", "of-the-subject"]
    for _ in range(8):  # connections, which the workers share
        with crudjt.open(f"grpcs://{address}", access_token=ACCESS_TOKEN, tls_ca=authority) as store:
            token = store.create({"secret": "of-the-data"}, subject="of-the-subject")
            session = store.read(token)
            assert session is not None
            assert store.read("A" * 22) is None
            assert store.update(token, {"secret": "of-the-data"}, if_version=1)
            with pytest.raises(crudjt.VersionConflict):
                store.update(token, {}, if_version=1)
            with pytest.raises(crudjt.DataTooLarge):
                store.create({"secret": "of-the-data" * 10_000})
            secrets += [token, session.id]
    with (
        pytest.raises(crudjt.StoreError),
        crudjt.open(f"grpcs://{address}", access_token="x" * 30, tls_ca=authority) as store,
    ):
        store.read(token)
    url = command.wait_for_line(r"metrics are on (\S+)")[1]
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        text = response.read().decode()
    values = dict(re.findall(r"^(crudjt_\S+?) ([0-9.e+-]+)$", text, re.MULTILINE))
    expected = {
        'crudjt_operations_total{operation="create",result="done"}': 8,
        'crudjt_operations_total{operation="read",result="done"}': 8,
        'crudjt_operations_total{operation="read",result="missing"}': 8,
        'crudjt_operations_total{operation="update",result="VersionConflict"}': 8,
        'crudjt_calls_total{code="INVALID_ARGUMENT",method="/crudjt.v1.Store/Create"}': 8,
        'crudjt_calls_total{code="FAILED_PRECONDITION",method="/crudjt.v1.Store/Update"}': 8,
        'crudjt_call_seconds_count{method="/crudjt.v1.Store/Read"}': 16,
        "crudjt_sessions": 8,
        "crudjt_store_up": 1,
    }
    assert {name: float(values.get(name, "nan")) for name in expected} == expected
    assert 'crudjt_operations_total{operation="peek",result="missing"}' not in values, "probes are no operations"
    assert float(values["crudjt_log_bytes"]) > 4096
    assert values.keys() >= {
        "crudjt_unsynced_bytes",
        "crudjt_view_bytes",
        "crudjt_last_sync_timestamp_seconds",
        "crudjt_last_sweep_timestamp_seconds",
        "crudjt_last_compaction_timestamp_seconds",
    }
    documentation = (Path(__file__).parents[2] / "docs" / "server.md").read_text()
    for name in re.findall(r"^# TYPE (crudjt_\w+)", text, re.MULTILINE):
        assert f"`{name}" in documentation, f"docs/server.md does not explain {name}"
    assert command.stop() == 0
    log = command.log_file.read_text()
    assert "/crudjt.v1.Store/Read OK" in log
    assert all(line.startswith("{") for line in log.splitlines() if "Made a new store" not in line)
    assert not [secret for secret in secrets if secret in log or secret in text]


def test_the_text_log_has_a_line_for_each_event(home: Path, secret_key: str) -> None:
    with serve(home, secret_key, "--listen", "127.0.0.1:0", "--log-format", "text") as command:
        assert eventually(lambda: "ready: " in command.log_file.read_text(), PATIENCE)
        assert command.stop() == 0
        lines = command.log_file.read_text().splitlines()
    line = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ \[\d+\] .+")
    assert all(line.fullmatch(each) for each in lines if "Made a new store" not in each)


def test_health_asks_a_server_and_says_how_it_is(
    protected: tuple[ServeCommand, Path], home: Path, tmp_path: Path
) -> None:
    command, authority = protected

    def health(*options: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "crudjt", *options],
            env={"PYTHONPATH": str(Path(crudjt.__file__).parents[1]), "HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    address = command.wait_until_it_serves()[0]
    assert health("--store", f"unix:{home}/socket", "health") == (0, "SERVING\n", "")
    assert health("--store", f"grpcs://{address}", "--tls-ca", str(authority), "health", "--json")[:2] == (
        0,
        json.dumps({"status": "SERVING"}, separators=(",", ":")) + "\n",
    )
    assert command.stop() == 0
    code, stdout, stderr = health("--store", f"unix:{home}/socket", "health")
    assert (code, stdout) == (1, "")
    assert "there is no such socket; start the server (crudjt serve)" in stderr


# Many connections


@pytest.fixture
def hard_limit() -> Iterator[int]:
    """Let processes that start now have few open files unless they ask for more; return what they may ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard > CONNECTIONS + 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_slow_and_silent_connections_by_the_thousand_leave_the_server_answering(
    home: Path, secret_key: str, hard_limit: int
) -> None:
    """Some send nothing, some half of what they must, some what is no HTTP/2; memory stays bounded."""
    beginnings = [
        b"",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 4096,
    ]
    with serve(home, secret_key, "--listen", "127.0.0.1:0") as command:
        [address] = command.wait_until_it_serves()
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
        host, _, port = address.partition(":")
        [worker] = command.worker_pids()
        with plaintext(address) as channel:
            assert serves(channel)
            before = resident_bytes(worker)
            connections = []
            try:
                for number in range(CONNECTIONS):
                    connections.append(socket.create_connection((host, int(port)), timeout=PATIENCE))
                    connections[-1].sendall(beginnings[number % len(beginnings)])
                call(channel, CHECK)
                with plaintext(address, ("grpc.use_local_subchannel_pool", 1)) as another:
                    assert serves(another)
                assert resident_bytes(worker) - before < 300 * 1024**2
            finally:
                for each in connections:
                    each.close()
            assert serves(channel)
        assert command.stop() == 0


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
