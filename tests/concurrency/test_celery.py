"""A store that is opened where Celery imports its tasks is open in the processes that it forks for them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import crudjt
from tests.support.processes import PATIENCE, eventually

pytestmark = pytest.mark.long

INSTALLATION_SECONDS = 240
JOBS = """
import os
import celery
import crudjt

app = celery.Celery("jobs", broker="filesystem://")
app.conf.broker_transport_options = {f"{name}_folder{end}": "queue" for name, end in FOLDERS}
store = crudjt.open("store")


@app.task
def log_out_everywhere(user):
    store.create({"pid": os.getpid()}, subject="done")
    return store.revoke(user)
""".replace("FOLDERS", '[("data", "_in"), ("data", "_out"), ("control", "")]')
ASK = "import jobs; [jobs.log_out_everywhere.delay(user) for user in ('ada', 'bob')]"


@contextmanager
def working(directory: Path, environment: dict[str, str]) -> Iterator[int]:
    """Run a worker with two processes beside the block; gives the id of their parent."""
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "error"]
    command = [sys.executable, "-m", "celery", "-A", "jobs", "worker", "--concurrency", "2", *quiet]
    with subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield process.pid
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


@pytest.mark.timeout(2 * INSTALLATION_SECONDS)
def test_a_task_ends_the_sessions_of_a_user_in_every_process(tmp_path: Path, secret_key: str) -> None:
    """It is installed aside: nothing else needs it."""
    aside = tmp_path / "aside"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--target", str(aside)]
    subprocess.run([*pip, "celery>=5.4,<6"], check=True, timeout=INSTALLATION_SECONDS)
    (tmp_path / "jobs.py").write_text(JOBS)
    (tmp_path / "queue").mkdir()
    environment = os.environ | {
        "CRUDJT_SECRET_KEY": secret_key,
        "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(aside)]),
    }
    with crudjt.open(tmp_path / "store", secret_key=secret_key) as store:
        tokens = [store.create({}, subject=user) for user in ("ada", "bob", "ada")]
        other = store.create({}, subject="grace")
        subprocess.run([sys.executable, "-c", ASK], cwd=tmp_path, env=environment, check=True, timeout=PATIENCE)
        with working(tmp_path, environment) as parent:
            assert eventually(lambda: store.read_many(tokens) == [None] * 3, PATIENCE)
            assert parent not in {each.data["pid"] for each in store.sessions("done")}
        assert store.read(other) is not None
