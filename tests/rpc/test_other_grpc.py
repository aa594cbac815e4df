"""The server with other releases of gRPC: Node's client, and the oldest grpcio that may be installed."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

import crudjt
from crudjt._rpc.proto.v1 import store_pb2 as pb
from tests.support.servers import STORE_SERVICE, ServeCommand, call, plaintext, refusal, serve

ROOT = Path(__file__).parents[2]
SOURCE = Path(crudjt.__file__).parents[1]
INSTALLATION_SECONDS = 240
CALLS = 3000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * INSTALLATION_SECONDS)]


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the lowest versions of gRPC that pyproject.toml allows into a directory."""
    lowest = dict(re.findall(r'"(grpcio[a-z-]*)>=([0-9.]+)', (ROOT / "pyproject.toml").read_text()))
    names = ("grpcio", "grpcio-health-checking", "grpcio-reflection")
    directory = tmp_path_factory.mktemp("oldest")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--target", str(directory)]
    versions = [f"{name}=={lowest[name]}" for name in names]
    subprocess.run([*command, *versions], check=True, timeout=INSTALLATION_SECONDS, capture_output=True)
    return directory


@pytest.fixture
def old_server(oldest: Path, tmp_path: Path, secret_key: str) -> Iterator[ServeCommand]:
    with serve(
        tmp_path, secret_key, "--listen", "127.0.0.1:0", PYTHONPATH=os.pathsep.join(map(str, (oldest, SOURCE)))
    ) as command:
        yield command


@pytest.fixture(scope="module")
def node_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    client = tmp_path_factory.mktemp("node") / "client"
    shutil.copytree(Path(__file__).with_name("node_client"), client)
    npm = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--no-update-notifier"]
    subprocess.run(npm, check=True, cwd=client, timeout=INSTALLATION_SECONDS, capture_output=True)
    return client


def statuses_of_a_burst(client: Path, address: str) -> dict[str, int]:
    proto = SOURCE / "crudjt" / "_rpc" / "proto" / "v1" / "store.proto"
    command = ["node", "burst.js", address, str(proto), str(CALLS)]
    done = subprocess.run(command, check=True, cwd=client, timeout=120, capture_output=True, text=True)
    counts: dict[str, int] = json.loads(done.stdout)
    return counts


def test_a_burst_from_node_loses_no_call(node_client: Path, tmp_path: Path, secret_key: str) -> None:
    with serve(tmp_path, secret_key, "--listen", "127.0.0.1:0") as command:
        [address] = command.wait_until_it_serves()
        assert statuses_of_a_burst(node_client, address) == {"OK": CALLS}


@pytest.mark.matrix
def test_a_burst_from_node_loses_no_call_with_the_oldest_grpcio(node_client: Path, old_server: ServeCommand) -> None:
    [address] = old_server.wait_until_it_serves()
    assert statuses_of_a_burst(node_client, address) == {"OK": CALLS}


def test_the_oldest_grpcio_does_not_decompress_requests(oldest: Path, old_server: ServeCommand) -> None:
    """It would need gigabytes for 4 MB, since it checks the size of a request afterwards."""
    [address] = old_server.wait_until_it_serves()
    [worker] = old_server.worker_pids()
    assert str(oldest) in Path(f"/proc/{worker}/maps").read_text()
    large = pb.CreateRequest(data=bytes(200_000_000)).SerializeToString()
    before = _peak_kib(worker)
    with plaintext(address, ("grpc.max_send_message_length", -1)) as channel:
        status = refusal(channel, f"/{STORE_SERVICE}/Create", large, compression=grpc.Compression.Gzip)
        assert status.code() is grpc.StatusCode.UNIMPLEMENTED
        call(channel, f"/{STORE_SERVICE}/Create", pb.CreateRequest(data=b"\x80").SerializeToString())
    assert _peak_kib(worker) - before < 50_000


def _peak_kib(pid: int) -> int:
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(peak)
