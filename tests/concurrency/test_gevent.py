"""gevent under a pre-forking server: the store is opened by the master, and the workers replace locks and threads."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.processes import PATIENCE
from tests.support.web import gunicorn

pytestmark = pytest.mark.slow

PATCHED_AFTER_THE_FORK = """
import os, signal, sys
import crudjt
store = crudjt.open(sys.argv[1], secret_key=sys.argv[2])
tokens = store.create_many([{"n": n} for n in range(300)], subject="anna")
if pid := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
signal.alarm(50)
from gevent import monkey; monkey.patch_all()
import gevent
work = [
    lambda: store.update(tokens[0], {"n": 1}),
    lambda: store.create({"n": 2}),
    lambda: store.delete_many(tokens[10:290]) == 280,
    lambda: store.read(tokens[1]),
    lambda: store.sync() is None,
    lambda: crudjt.open(sys.argv[1], secret_key=sys.argv[2]).close() is None,
] * 3
first = int(sys.argv[3])
running = [gevent.spawn(each) for each in work[first:] + work[:first]]
gevent.joinall(running, raise_error=True)
store.close()
"""


@pytest.mark.parametrize("first", range(6))
def test_greenlets_that_are_the_first_to_use_the_store_do_not_stop_each_other(
    path: Path, secret_key: str, first: int
) -> None:
    command = [sys.executable, "-c", PATCHED_AFTER_THE_FORK, str(path), secret_key, str(first)]
    subprocess.run(command, check=True, timeout=60)


PATCHED_FIRST = """
import signal, sys
signal.alarm(50)
from gevent import monkey; monkey.patch_all(thread={thread})
import gevent
import crudjt
with crudjt.open(sys.argv[1], secret_key=sys.argv[2], sync_interval=0.01) as store:
    def work(number):
        tokens = store.create_many([{{"n": n}} for n in range(1000)], subject="anna")
        gevent.sleep(0.01)
        store.read_many(tokens)
        store.delete_many(tokens)
        return store.create({{"n": number}})
    running = [gevent.spawn(work, number) for number in range(8)]
    gevent.joinall(running, raise_error=True)
    assert store.stats().sessions == 8
"""


@pytest.mark.parametrize("thread", [True, False])
def test_no_other_greenlet_runs_while_one_has_a_transaction_open(path: Path, secret_key: str, thread: bool) -> None:
    """It would wait for the lock of the store in the kernel, and the one that holds it would never run again."""
    command = [sys.executable, "-c", PATCHED_FIRST.format(thread=thread), str(path), secret_key]
    subprocess.run(command, check=True, timeout=60)


SITE = """
import os
import crudjt

store = crudjt.open(os.environ["STORE"])


def application(environ, start_response):
    session = store.read(store.create({"n": 1}))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(session.data["n"]).encode()]
"""


def get(port: int) -> int:
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request("GET", "/", headers={"Connection": "close"})
        answer = connection.getresponse()
        answer.read()
        return answer.status


@contextmanager
def gunicorn_of(directory: Path, **environment: str) -> Generator[int]:
    """Run gunicorn beside the block; gives its port. It is killed: to stop by itself may take it 30 seconds."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = gunicorn(directory, "gevent_site:application", "--preload", "-k", "gevent")
        process = subprocess.Popen(
            [sys.executable, "-m", *command(listening.fileno())],
            env=os.environ | environment,
            pass_fds=[listening.fileno()],
            start_new_session=True,
        )
        try:
            yield listening.getsockname()[1]
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)


@pytest.mark.parametrize("start", range(3))
def test_requests_at_once_to_a_worker_that_has_just_started_are_answered(
    tmp_path: Path, path: Path, secret_key: str, start: int
) -> None:
    (tmp_path / "gevent_site.py").write_text(SITE)
    environment = {"STORE": str(path), "CRUDJT_SECRET_KEY": secret_key}
    with gunicorn_of(tmp_path, **environment) as port, ThreadPoolExecutor(12) as pool:
        assert list(pool.map(get, [port] * 24)) == [200] * 24
