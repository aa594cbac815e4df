"""A real uWSGI: it forks below Python, with or without calling Python's hooks, and may run no threads of Python."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import crudjt
from tests.support import uwsgi
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.slow

APPLICATION = """
import os
import crudjt

store = crudjt.open(os.environ["STORE"])
kept = store.create({"n": 0})
assert store.read(kept)
tokens = store.create_many([{"n": n} for n in range(200)])


def application(environ, start_response):
    assert all(store.peek(token) for token in tokens)
    session = store.read(store.create({"by": os.getpid()}))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{session.data['by']} {session.id}".encode()]
"""

WORKERS = 3  # as `uwsgi.serving` starts


def ask(site: uwsgi.Site, times: int) -> list[list[str]]:
    with ThreadPoolExecutor(8) as pool:
        return [answer.split() for answer in pool.map(lambda _: site.get(), range(times))]


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--enable-threads",),
        ("--threads", "2"),
        ("--lazy-apps",),
        ("--py-call-uwsgi-fork-hooks", "--enable-threads"),
        ("--py-call-osafterfork", "--enable-threads"),
    ],
    ids=lambda options: " ".join(options) or "defaults",
)
@pytest.mark.parametrize("build", [pytest.param("PyPI", marks=pytest.mark.long), "Debian"])
def test_workers_answer_every_request_and_stop_at_once(
    tmp_path: Path, path: Path, secret_key: str, options: tuple[str, ...], build: str
) -> None:
    """Each worker reads the view more often than LMDB has slots for readers."""
    command = uwsgi.of_pypi() if build == "PyPI" else uwsgi.of_debian()
    if command is None:
        pytest.skip("Debian's uWSGI is missing, or its Python is of another version")
    with uwsgi.serving(command, tmp_path, APPLICATION, *options, STORE=str(path), CRUDJT_SECRET_KEY=secret_key) as site:
        answers = ask(site, 60)
        until = time.monotonic() + PATIENCE
        # Some may still be starting, and uWSGI does not stop a worker that it is starting.
        while len({worker for worker, _ in answers}) < WORKERS:
            assert time.monotonic() < until
            answers += ask(site, 60)
        assert len({handle for _, handle in answers}) == len(answers)
        site.stop()
        assert "Traceback" not in site.log, site.log
        assert "RuntimeError" not in site.log, site.log
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.stats().unsynced_bytes == 0


SLOW = """
import os
import crudjt

store = crudjt.open(os.environ["STORE"], sync_interval=0.1)


def application(environ, start_response):
    store.create({"user": "alice"}, ttl=600)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(store.stats().unsynced_bytes).encode()]
"""


@pytest.mark.parametrize("options", [(), ("--lazy-apps",)], ids=["loaded before the fork", "loaded after it"])
def test_where_no_threads_run_writes_sync_and_say_so_once(
    tmp_path: Path, path: Path, secret_key: str, options: tuple[str, ...]
) -> None:
    command = uwsgi.of_debian()
    if command is None:
        pytest.skip("Debian's uWSGI is missing, or its Python is of another version")
    with uwsgi.serving(
        command, tmp_path, SLOW, "--processes", "1", *options, STORE=str(path), CRUDJT_SECRET_KEY=secret_key
    ) as site:
        site.get()
        for _ in range(4):
            time.sleep(0.15)
            assert site.get() == "0"
        assert site.log.count("background threads do not run") == 1
        assert "--enable-threads" in site.log
