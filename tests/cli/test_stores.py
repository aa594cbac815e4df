"""A store from the shell: counters, backups, and its doctor."""

import json
from pathlib import Path

import pytest

import crudjt
from crudjt._backends.embedded.engine.segment import HEADER_BLOCK_BYTES
from crudjt.testing import FakeClock
from tests.cli.shell import HANDLE, TOKEN_COMMANDS, UNKNOWN, Command
from tests.support.disks import flip, log_end, segments

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
    assert command("create", "{}").stderr == f"Made a new store: {path}\n"
    assert command("create", "{}").stderr == ""


def test_init_makes_a_store_and_leaves_one_that_is_there_as_it_is(command: Command, path: Path) -> None:
    assert command("init").stderr == f"Made a new store: {path}\n"
    before = (path / "manifest").read_bytes()
    assert command("init", "--json").stdout == '{"made":false}\n'
    assert (path / "manifest").read_bytes() == before


NO_STORE: list[tuple[str, ...]] = [
    *[(name, UNKNOWN, *rest) for name, *rest in TOKEN_COMMANDS],
    ("sessions", "alice"), ("revoke", "alice"), ("revoke-id", HANDLE), ("stats",), ("sweep",), ("doctor",),
]  # fmt: skip


@pytest.mark.parametrize("arguments", NO_STORE, ids=lambda arguments: arguments[0])
@pytest.mark.parametrize("place", ["missing", "empty"])
def test_a_command_that_makes_no_store_refuses_a_place_without_one(
    command: Command, path: Path, place: str, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CRUDJT_SECRET_KEY")
    if place == "empty":
        path.mkdir()
    result = command(*arguments)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "there is no store here" in result.stderr
    assert not path.exists() or not [*path.iterdir()]
    assert not (path.parent / "home").exists()


def test_a_backup_of_nothing_is_none(command: Command, path: Path, tmp_path: Path) -> None:
    assert command("backup", str(tmp_path / "copy")).exit_code == 3
    assert not path.exists()
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("arguments", [("--ttl", "0"), ("--max-reads", "0"), ("--subject", "")])
def test_create_checks_its_data_before_it_makes_a_store(
    command: Command, path: Path, arguments: tuple[str, ...]
) -> None:
    assert command("create", "{}", *arguments).exit_code == 2
    assert command("create", json.dumps({"a": "x" * 70_000})).exit_code == 2
    assert not path.exists()


def test_a_directory_that_others_can_write_to_needs_an_option(command: Command, path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)
    refused = command("create", "{}")
    assert refused.exit_code == 3
    assert "--allow-shared-directory" in refused.stderr
    assert command("--allow-shared-directory", "create", "{}").exit_code == 0


def test_the_path_option_comes_before_the_environment(
    command: Command, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    token = command("--store", "here", "create", "{}").stdout.strip()
    assert not path.exists()
    command("init")
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
