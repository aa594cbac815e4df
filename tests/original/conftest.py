"""The original engine, in an environment of its own, and the faces that the tests run over."""

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.original.agents import INSTALLATION_SECONDS, Agent, Start

ORIGINAL = "crudjt==1.0.1"


@pytest.fixture(scope="session")
def original_python(pytestconfig: pytest.Config) -> Path:
    """A Python that imports the original; it is installed once, and kept in pytest's cache."""
    cache = pytestconfig.cache
    assert cache is not None
    directory = cache.mkdir("original") / f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = directory / "bin" / "python"
    installed = directory / "installed"
    with (directory.parent / f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests in several processes share the cache
        if not installed.exists():
            make: list[str | Path] = [sys.executable, "-m", "venv", "--clear", directory]
            subprocess.run(make, check=True, timeout=INSTALLATION_SECONDS)
            pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ORIGINAL]
            subprocess.run(pip, check=True, timeout=INSTALLATION_SECONDS)
            installed.touch()
    return python


def _starter(directory: Path) -> Iterator[Start]:
    with ExitStack() as running:

        def start_one(python: Path = Path(sys.executable)) -> Agent:
            return running.enter_context(Agent(python, directory))

        yield start_one


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts processes that do not outlive the test, and work in a directory of it."""
    yield from _starter(tmp_path)


@pytest.fixture(scope="package")
def keep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts processes for all tests: a token of one is none of another's."""
    yield from _starter(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="package")
def master(keep: Start, secret_key: str) -> Agent:
    """Our master."""
    return keep().serve(secret_key=secret_key, store_jt_path="ours")


@pytest.fixture(scope="package")
def client(keep: Start, master: Agent) -> Agent:
    """Our client of our master."""
    return keep().connect(master.port)


@pytest.fixture(scope="package")
def original_client(keep: Start, master: Agent, original_python: Path) -> Agent:
    """The original's client of our master."""
    return keep(original_python).connect(master.port)


@pytest.fixture(scope="package")
def client_of_original(
    keep: Start, secret_key: str, original_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Agent:
    """Our client of the original's master."""
    directory = tmp_path_factory.mktemp("original")
    original = keep(original_python).serve(secret_key=secret_key, store_jt_path=str(directory))
    return keep().connect(original.port)
