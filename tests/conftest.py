"""What the tests share: a directory for the run, a secret key, a place for a store, a clock, and an open store."""

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import hypothesis
import pytest

import crudjt
from crudjt.testing import FakeClock
from tests.support.run_directory import RunDirectory
from tests.support.valkey_stores import ServerPool

# How long an example takes says how busy the machine is: a test as a whole has a time limit.
hypothesis.settings.register_profile("crudjt", deadline=None, max_examples=40)
hypothesis.settings.register_profile("long", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("crudjt")

_LONGEST_RUN = 47
"""Characters of the path of a run: a socket below it, in the directory of a test, may have 107."""

_RUN = pytest.StashKey[RunDirectory]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put all files of this run, and of the processes that it starts, into a directory of its own.

    The store, the keys and the mask for new files of whoever runs the tests are no part of them.
    """
    for name in [name for name in os.environ if name.startswith("CRUDJT_")]:
        del os.environ[name]
    os.umask(0o022)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what it does not wait for
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which the processes of the tests do not inherit
    if config.option.basetemp is not None:  # told by the user, or to a worker by its controller
        return
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):  # each of hundreds of processes would compile all it imports
        sys.dont_write_bytecode = False
    run = config.stash[_RUN] = RunDirectory()
    config.option.basetemp = run.path / "t"
    os.environ["TMPDIR"] = str(run.path)
    tempfile.tempdir = None  # to be looked up again


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take what is long for slow, so that ``-m "not slow"`` leaves it out, too."""
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Leave the collected tests out of garbage collections: they stay to the end."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: pytest.ExitCode, config: pytest.Config
) -> None:
    """Keep the files of tests that failed, until the next run."""
    run = config.stash.get(_RUN, None)
    if run is not None and exitstatus == pytest.ExitCode.TESTS_FAILED:
        terminalreporter.write_line(f"files of the failed tests: {run.path}")
        if len(str(run.path)) > _LONGEST_RUN:
            terminalreporter.write_line("the path in TMPDIR is too long for the sockets of some tests: name another")
        del config.stash[_RUN]
        config.add_cleanup(run.close)


def pytest_unconfigure(config: pytest.Config) -> None:
    if (run := config.stash.get(_RUN, None)) is not None:
        run.remove()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("only root can mount a file system")


@pytest.fixture(scope="session")
def secret_key() -> str:
    return crudjt.generate_secret_key()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPool]:
    """Valkey and Redis servers that the tests of this process share, each started at its first use."""
    with closing(ServerPool(tmp_path_factory.mktemp("servers"))) as pool:
        yield pool


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(path: Path, secret_key: str, clock: FakeClock) -> Iterator[crudjt.Store]:
    assert isinstance(path, Path), f"a parameter of the test hides the fixture path, so the store would be in {path}"
    with crudjt.open(path, secret_key=secret_key, clock=clock) as store:
        yield store
