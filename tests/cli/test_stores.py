"""A store from the shell: counters, backups, and its doctor."""

import json
from pathlib import Path

import pytest

import crudjt
from crudjt._backends.embedded.engine.segment import HEADER_BLOCK_BYTES
from crudjt.testing import FakeClock
from tests.cli.shell import Command
from tests.support.disks import (
    flip,
    log_end,
    segments,
)

# The store


def test_stats_prints_a_counter_a_line(command: Command, live: crudjt.Store) -> None:
    live.create_many([{}, {}, {}])
    lines = dict(line.split(": ") for line in command("stats").stdout.splitlines())
    assert lines["sessions"] == "3"
    assert lines["compacted_at"] == "never"
    document = json.loads(command("--json", "stats").stdout)
    assert list(document) == list(lines)
    assert (document["sessions"], document["compacted_at"]) == (3, None)


def test_sweep_prints_how_many_expired_sessions_it_removed(
    command: Command, path: Path, secret_key: str, clock: FakeClock
) -> None:
    """The clock of the sessions is years behind the clock of the command."""
    with crudjt.open(path, secret_key=secret_key, clock=clock) as store:
        store.create_many([{}, {}], ttl=60)
        store.create({})
        assert command("sweep").stdout == "2\n"
    assert command("sweep").stdout == "0\n"


def test_a_backup_opens_as_a_store_with_the_same_key(command: Command, live: crudjt.Store, tmp_path: Path) -> None:
    token = live.create({"user_id": 42})
    result = command("backup", str(tmp_path / "copy"))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    live.delete(token)
    copied = command("--store", str(tmp_path / "copy"), "read", token)
    assert (copied.exit_code, copied.stdout, copied.stderr) == (0, '{"user_id":42}\n', "")


def test_a_backup_does_not_overwrite(command: Command, live: crudjt.Store, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "file").touch()
    result = command("backup", str(tmp_path / "copy"))
    assert (result.exit_code, result.stdout) == (3, "")
    assert "exists already" in result.stderr


def test_a_store_that_was_not_there_is_announced(command: Command, path: Path) -> None:
    """So that a misspelled path is seen."""
    assert command("stats").stderr == f"Made a new store: {path}\n"
    assert command("stats").stderr == ""


def test_the_path_option_comes_before_the_environment(
    command: Command, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    token = command("--store", "here", "create", "{}").stdout.strip()
    assert not path.exists()
    assert command("--store", str(tmp_path / "here"), "read", token).exit_code == 0
    assert command("read", token).exit_code == 1


# Doctor


def damage(path: Path) -> None:
    """Change a byte in the middle of the log that was written first."""
    segment = next(each for each in segments(path) if log_end(each) > 5000)
    flip(segment, (HEADER_BLOCK_BYTES + log_end(segment)) // 2)


@pytest.fixture
def filled(path: Path, secret_key: str) -> list[str]:
    """Return the tokens of a store that is closed."""
    with crudjt.open(path, secret_key=secret_key) as store:
        return [store.create({"n": n}) for n in range(50)]


def test_doctor_finds_a_healthy_store_healthy_without_a_key(
    command: Command, filled: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CRUDJT_SECRET_KEY")
    result = command("doctor")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout
    assert all(line.startswith("ok\t") for line in result.stdout.splitlines())
    report = json.loads(command("doctor", "--json").stdout)
    assert report["healthy"] is True
    assert all(finding["healthy"] and finding["text"] for finding in report["findings"])
    assert not (tmp_path / "home").exists()


def test_doctor_names_the_damage_and_exits_1(command: Command, filled: list[str], path: Path) -> None:
    damage(path)
    result = command("doctor")
    assert (result.exit_code, result.stderr) == (1, "")
    assert any(line.startswith("FAULT\t") for line in result.stdout.splitlines())
    result = command("--json", "doctor")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["healthy"] is False
    faults = [finding for finding in report["findings"] if not finding["healthy"]]
    assert any(Path(fault["path"]).parent == path / "log" and fault["offset"] > 4096 for fault in faults)


def test_doctor_repair_saves_what_can_be_read(command: Command, filled: list[str], path: Path) -> None:
    damage(path)
    assert command("doctor", "--repair").exit_code == 0
    assert command("doctor").exit_code == 0
    readable = [command("read", token).exit_code == 0 for token in filled[::7]]
    assert readable.count(True) >= len(readable) - 1
