"""The command as a process, or called in this process, where many small cases do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import crudjt
from crudjt.cli import main
from tests.cli.shell import Command, Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    home = tmp_path / "home"
    home.mkdir()
    return Shell(home)


@pytest.fixture
def environment(tmp_path: Path, path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the command a store, a key and a home in this process."""
    for name in ("CRUDJT_SECRET_KEY_FILE", "XDG_CONFIG_HOME", "CRUDJT_ACCESS_TOKEN", "CRUDJT_ACCESS_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRUDJT_STORE", str(path))
    monkeypatch.setenv("CRUDJT_SECRET_KEY", secret_key)


@pytest.fixture
def command(environment: None) -> Command:
    def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(main, arguments, input=stdin, prog_name="crudjt")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def live(environment: None, path: Path, secret_key: str) -> Iterator[crudjt.Store]:
    """Open the store that the command uses, in real time."""
    with crudjt.open(path, secret_key=secret_key) as store:
        yield store
