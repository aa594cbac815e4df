"""The examples run, and show what they say."""

import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ports import free_port, listening
from tests.support.processes import PATIENCE, eventually

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
INSTALLATION_SECONDS = 240
LIFE_OF_A_SESSION = [
    "update: true",
    'read: {"data":{"user_id":42,"role":8}}',
    "delete: true",
    "read: null",
]


@contextmanager
def running(secret_key: str, *command: object) -> Iterator[str]:
    """Run a Python script beside the block; gives its first line of output."""
    with subprocess.Popen(
        [sys.executable, *map(str, command)],
        env=os.environ | {"CRUDJT_SECRET_KEY": secret_key},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
            process.terminate()
            process.wait(PATIENCE)
        finally:
            process.kill()


@pytest.fixture
def port(path: Path, secret_key: str) -> Iterator[int]:
    """The port of the master of the examples."""
    port = free_port()
    with running(secret_key, EXAMPLES / "master_and_client" / "master.py", path, port) as line:
        assert line == "serving"
        yield port


def ask(method: str, url: str, cookie: str = "") -> tuple[str, str]:
    """Return the text of a page, and the cookie that comes with it."""
    request = urllib.request.Request(url, method=method, headers={"Cookie": cookie})
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return response.read().decode(), response.headers.get("Set-Cookie", "").partition(";")[0]


def test_who_logs_out_in_one_of_four_workers_is_logged_out_in_all(path: Path, secret_key: str) -> None:
    with running(secret_key, EXAMPLES / "four_workers" / "application.py", path, free_port()) as address:
        _, cookie = ask("POST", f"{address}/login?user=ada")
        before: set[str] = set()

        def all_have_answered() -> bool:
            before.add(ask("GET", address, cookie)[0])
            return len(before) == 4

        assert eventually(all_have_answered, PATIENCE)
        assert {answer.partition(",")[0] for answer in before} == {"ada"}
        ask("POST", f"{address}/logout", cookie)
        after = {ask("GET", address, cookie)[0].partition(",")[0] for _ in range(40)}
        assert after == {"nobody"}


def test_a_client_lives_through_a_session_of_a_master(port: int) -> None:
    client = EXAMPLES / "master_and_client" / "client.py"
    done = subprocess.run(
        [sys.executable, client, str(port)], capture_output=True, check=True, text=True, timeout=PATIENCE
    )
    assert done.stdout.splitlines() == [
        "read: {'metadata': {'ttl': 3600, 'silence_read': 2}, 'data': {'user_id': 42, 'role': 11}}",
        "update: True",
        "read: {'data': {'user_id': 42, 'role': 8}}",
        "delete: True",
        "read: None",
    ]


@pytest.mark.timeout(2 * INSTALLATION_SECONDS)
def test_a_client_in_javascript_lives_through_a_session_of_a_master(port: int, tmp_path: Path) -> None:
    client = tmp_path / "javascript_client"
    shutil.copytree(EXAMPLES / "javascript_client", client, ignore=shutil.ignore_patterns("node_modules"))
    npm = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--no-update-notifier"]
    subprocess.run(npm, check=True, cwd=client, timeout=INSTALLATION_SECONDS, capture_output=True)
    proto = ROOT / "src" / "crudjt" / "_rpc" / "proto" / "token.proto"
    node = ["node", "client.js", f"127.0.0.1:{port}", str(proto)]
    done = subprocess.run(node, capture_output=True, check=True, cwd=client, text=True, timeout=PATIENCE)
    first, *others = done.stdout.splitlines()
    assert first == 'read: {"metadata":{"ttl":3600,"silence_read":2},"data":{"user_id":42,"role":11}}'
    assert others == LIFE_OF_A_SESSION
    assert listening(port)
