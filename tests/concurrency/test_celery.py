"""A worker of Celery ends sessions and looks at them; its store is open in the processes that it forks for jobs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import crudjt
from tests.support.documents import SITE, blocks, section
from tests.support.processes import PATIENCE, eventually
from tests.support.project import ROOT

pytestmark = pytest.mark.slow

FOLDERS = ("data_folder_in", "data_folder_out", "control_folder")
OPTIONS = {"polling_interval": 0.1, **dict.fromkeys(FOLDERS, "queue")}
AT_IMPORT = f"""
import os
import celery
import crudjt

app = celery.Celery("jobs", broker="filesystem://", broker_transport_options={OPTIONS})
store = crudjt.open("sessions")


@app.task
def log_out_everywhere(user):
    store.create({{"pid": os.getpid()}}, subject="done")
    return store.revoke(user)
"""


@contextmanager
def working(directory: Path, jobs: str, secret_key: str, ask: str) -> Iterator[subprocess.Popen[bytes]]:
    """Write a module of jobs, ask for some, and run a worker with two processes beside the block, which kills it."""
    (directory / "jobs.py").write_text(jobs)
    (directory / "queue").mkdir()
    environment = os.environ | {"CRUDJT_SECRET_KEY": secret_key, "PYTHONPATH": f"{ROOT / 'src'}:{directory}"}
    subprocess.run([sys.executable, "-c", ask], cwd=directory, env=environment, check=True, timeout=PATIENCE)
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "error"]
    command = [sys.executable, "-m", "celery", "-A", "jobs", "worker", "--concurrency", "2", *quiet]
    with subprocess.Popen(
        command, cwd=directory, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the processes of its pool too


@pytest.mark.long
def test_a_store_that_is_opened_at_import_is_open_in_the_processes_of_a_worker(tmp_path: Path, secret_key: str) -> None:
    ask = "import jobs; [jobs.log_out_everywhere.delay(user) for user in ('ada', 'bob')]"
    with crudjt.open(tmp_path / "sessions", secret_key=secret_key) as store:
        tokens = [store.create({}, subject=user) for user in ("ada", "bob", "ada")]
        other = store.create({}, subject="grace")
        with working(tmp_path, AT_IMPORT, secret_key, ask) as worker:
            assert eventually(lambda: store.read_many(tokens) == [None] * 3, PATIENCE)
            assert worker.pid not in {each.data["pid"] for each in store.sessions("done")}
            worker.terminate()  # takes it seconds
            assert worker.wait(PATIENCE) == 0
        assert store.read(other) is not None


def test_the_recipe_works_for_sessions_that_are_alive_and_ends_those_of_a_user(tmp_path: Path, secret_key: str) -> None:
    (recipe,) = blocks(section("docs/recipes.md", "Celery").replace(SITE, "."))
    recipe = recipe.replace("redis://127.0.0.1", "filesystem://") + f"jobs.conf.broker_transport_options = {OPTIONS}\n"
    with crudjt.open(tmp_path / "sessions", secret_key=secret_key) as store:
        token, ended = (store.create({"user": "ada"}, subject="ada") for _ in range(2))
        sessions = [store.peek(each) for each in (ended, token)]
        handles = [session.id for session in sessions if session is not None]
        store.delete(ended)
        steps = [*(f"jobs.export.si({handle!r})" for handle in handles), "jobs.log_out_everywhere_later.si('ada')"]
        ask = f"import jobs; ({' | '.join(steps)}).delay()"
        with working(tmp_path, recipe, secret_key, ask):
            assert eventually(lambda: store.read(token) is None, PATIENCE)
        assert [each.data for each in store.sessions("exports")] == [{"exported": {"user": "ada"}}]
