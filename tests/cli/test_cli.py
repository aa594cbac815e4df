"""The shell command: run as a process where that matters, called in this process where many small cases do."""

import json
import math
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import crudjt
from crudjt import _filesystem
from crudjt._backends.embedded.engine.segment import HEADER_BLOCK_BYTES
from crudjt._backends.embedded.store import EmbeddedStore
from crudjt.cli import (
    json_values,
    keys,
    main,
)
from crudjt.server.server import Server
from crudjt.server.services import store as store_service
from crudjt.testing import FakeClock
from tests.support.disks import (
    flip,
    log_end,
    segments,
)

UNKNOWN = "AAAAAAAAAAAAAAAAAAAAAA"
HANDLE = "0" * 32
TOKEN = re.compile(r"[\w-]{22}", re.ASCII)
NEW_KEY = "Made a new secret key"
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "cli.md"

Command = Callable[..., Result]

TOKEN_COMMANDS = [("read",), ("peek",), ("update", "{}"), ("touch",), ("rotate",), ("delete",)]
STORE_COMMANDS = [
    ("create", "{}"),
    *((name, UNKNOWN, *rest) for name, *rest in TOKEN_COMMANDS),
    ("sessions", "alice"),
    ("revoke", "alice"),
    ("revoke-id", HANDLE),
    ("stats",),
    ("sweep",),
]


class Shell:
    """Runs the command as a process of its own, in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            "PATH": os.defpath,
            "HOME": str(home),
            "PYTHONPATH": str(Path(crudjt.__file__).parents[1]),
            "CRUDJT_STORE": str(home / "data"),
        }
        self.secret_key_file = home / ".config" / "crudjt" / "secret_key"

    def start(self, *arguments: str, stdout: int = subprocess.PIPE) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "crudjt", *arguments],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        with self.start(*arguments) as process:
            stdout, stderr = process.communicate(stdin, timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


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


def own_key_file(directory: Path, text: str, mode: int = 0o600) -> Path:
    path = directory / "some.key"
    path.write_text(text)
    path.chmod(mode)
    return path


# The secret key


def test_the_first_run_makes_a_key_for_the_user_alone_and_says_so_once(shell: Shell) -> None:
    first = shell("create", "{}")
    assert first.returncode == 0
    assert stat.S_IMODE(shell.secret_key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(shell.secret_key_file.parent.stat().st_mode) == 0o700
    assert [each.name for each in shell.secret_key_file.parent.iterdir()] == ["secret_key"]
    assert str(shell.secret_key_file) in first.stderr
    assert "Back it up" in first.stderr
    assert shell.secret_key_file.read_text().strip() not in first.stdout + first.stderr
    second = shell("read", first.stdout.strip())
    assert (second.returncode, second.stdout, second.stderr) == (0, "{}\n", "")


def test_a_file_mode_creation_mask_that_gives_all_away_does_not_give_the_key_away(shell: Shell) -> None:
    old = os.umask(0)
    try:
        shell("create", "{}")
    finally:
        os.umask(old)
    assert stat.S_IMODE(shell.secret_key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(shell.secret_key_file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(("configured", "place"), [("{home}/settings", "settings"), ("relative", ".config")])
def test_the_made_key_lies_in_the_configuration_directory_of_the_user(
    shell: Shell, configured: str, place: str
) -> None:
    """A relative XDG_CONFIG_HOME is ignored, as its specification asks."""
    shell.environment["XDG_CONFIG_HOME"] = configured.format(home=shell.home)
    assert shell("create", "{}").returncode == 0
    assert (shell.home / place / "crudjt" / "secret_key").is_file()


def test_first_runs_at_once_agree_on_one_key(shell: Shell) -> None:
    processes = [shell.start("create", f'{{"n": {n}}}') for n in range(6)]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 6
    assert sum(NEW_KEY in stderr for _, stderr in results) == 1
    secret_key = shell.secret_key_file.read_text().strip()
    with crudjt.open(shell.environment["CRUDJT_STORE"], secret_key=secret_key) as store:
        sessions = store.read_many(stdout.strip() for stdout, _ in results)
    assert [session and session.data for session in sessions] == [{"n": n} for n in range(6)]


def test_a_key_that_another_process_made_in_the_meantime_is_used(
    command: Command, tmp_path: Path, path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "home" / ".config" / "crudjt" / "secret_key"

    def overtaken() -> str:
        own.write_text(secret_key)
        own.chmod(0o600)
        return crudjt.generate_secret_key()

    monkeypatch.delenv("CRUDJT_SECRET_KEY")
    monkeypatch.setattr(keys, "generate_secret_key", overtaken)
    result = command("create", '{"user_id": 42}')
    assert result.exit_code == 0
    assert NEW_KEY not in result.stderr
    assert own.read_text() == secret_key
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.read(result.stdout.strip()) is not None


def test_a_key_that_does_not_reach_the_disk_is_not_used(
    command: Command, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.delenv("CRUDJT_SECRET_KEY")
    monkeypatch.setattr(_filesystem, "sync_data", fail)
    result = command("create", "{}")
    assert result.exit_code == 2
    assert "Input/output error" in result.stderr
    assert list((tmp_path / "home" / ".config" / "crudjt").iterdir()) == []
    assert not path.exists()


def test_a_user_without_a_place_for_a_key_is_told_how_to_give_one(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.delenv("CRUDJT_SECRET_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    result = command("create", "{}")
    assert result.exit_code == 2
    assert "--secret-key-file" in result.stderr


def test_a_key_file_comes_before_the_environment_and_that_before_the_file_it_names(
    command: Command, tmp_path: Path, path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file, in_named_file = crudjt.generate_secret_key(), crudjt.generate_secret_key()
    key_file = own_key_file(tmp_path, in_file)
    named = tmp_path / "named.key"
    named.write_text(in_named_file)
    named.chmod(0o600)
    monkeypatch.setenv("CRUDJT_SECRET_KEY_FILE", str(named))

    def made_with(secret_key: str, *options: str) -> bool:
        token = command(*options, "create", "{}").stdout.strip()
        with crudjt.open(path, secret_key=secret_key) as store:
            return store.read(token) is not None

    assert made_with(in_file, "--secret-key-file", str(key_file))
    assert made_with(secret_key)
    monkeypatch.delenv("CRUDJT_SECRET_KEY")
    assert made_with(in_named_file)
    assert not (tmp_path / "home").exists()


def test_a_key_file_may_hold_several_keys_oldest_to_newest(
    command: Command, tmp_path: Path, live: crudjt.Store, secret_key: str
) -> None:
    token = live.create({"user_id": 42})
    key_file = own_key_file(tmp_path, f"{secret_key}\n{crudjt.generate_secret_key()}\n")
    assert command("--secret-key-file", str(key_file), "read", token).stdout == '{"user_id":42}\n'


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
@pytest.mark.parametrize("given", ["option", "variable"])
def test_a_key_file_that_others_can_read_gets_a_warning(
    command: Command,
    tmp_path: Path,
    secret_key: str,
    monkeypatch: pytest.MonkeyPatch,
    mode: int,
    warned: bool,
    given: str,
) -> None:
    key_file = own_key_file(tmp_path, secret_key, mode)
    monkeypatch.delenv("CRUDJT_SECRET_KEY")
    if given == "variable":
        monkeypatch.setenv("CRUDJT_SECRET_KEY_FILE", str(key_file))
        result = command("create", "{}")
    else:
        result = command("--secret-key-file", str(key_file), "create", "{}")
    assert result.exit_code == 0
    assert TOKEN.fullmatch(result.stdout.strip())
    assert ("Warning" in result.stderr and str(key_file) in result.stderr) is warned


@pytest.mark.parametrize("content", [None, "", "  \n", "c2hvcnQ=", "no Base64 at all!", "\ud800"])
def test_a_key_file_without_a_key_is_bad_input_and_is_named(
    command: Command, tmp_path: Path, path: Path, content: str | None
) -> None:
    key_file = tmp_path / "some.key"
    if content is not None:
        key_file.write_bytes(content.encode(errors="surrogatepass"))
        key_file.chmod(0o600)
    result = command("--secret-key-file", str(key_file), "create", "{}")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert str(key_file) in result.stderr
    assert "secret_key" in result.stderr
    assert not (content or "").strip() or content not in result.stderr  # type: ignore[operator] # None ends before
    assert not path.exists()


def test_keygen_prints_a_new_key_each_time_and_stores_nothing(shell: Shell) -> None:
    first, second = shell("keygen"), shell("keygen", "--json")
    assert (first.returncode, first.stderr) == (0, "")
    first_key, second_key = first.stdout.strip(), json.loads(second.stdout)["secret_key"]
    assert first_key != second_key
    assert list(shell.home.iterdir()) == []
    with crudjt.open(shell.home / "data", secret_key=[first_key, second_key]):
        pass


# The life of a session


def test_a_session_lives_from_create_to_delete(shell: Shell) -> None:
    token = shell("create", '{"user_id": 42}', "--ttl", "1h", "--subject", "alice").stdout.strip()
    assert TOKEN.fullmatch(token)
    assert shell("read", token).stdout == '{"user_id":42}\n'
    updated = shell("update", token, '{"user_id": 42, "role": "é"}')
    assert (updated.returncode, updated.stdout, updated.stderr) == (0, "", "")
    assert shell("peek", token).stdout == '{"user_id":42,"role":"é"}\n'
    touched = shell("touch", token, "--ttl", "2h")
    assert (touched.returncode, touched.stdout, touched.stderr) == (0, "", "")
    rotated = shell("rotate", token)
    assert rotated.returncode == 0
    fresh = rotated.stdout.strip()
    assert fresh != token
    assert shell("read", token).returncode == 1
    session = json.loads(shell("--json", "read", fresh).stdout)
    assert session["version"] == 2
    assert 7000 < session["expires_in"] <= 7200
    deleted = shell("delete", fresh)
    assert (deleted.returncode, deleted.stdout, deleted.stderr) == (0, "", "")
    assert shell("read", fresh).returncode == 1


def test_the_group_and_each_command_take_json_to_print_documents(command: Command, live: crudjt.Store) -> None:
    token = live.create({"user_id": 42}, ttl=3600, max_reads=7, subject="alice")
    for arguments in (("--json", "read", token), ("read", token, "--json")):
        result = command(*arguments)
        document = json.loads(result.stdout)
        assert list(document) == [
            "data", "id", "subject", "version", "created_at", "expires_at", "expires_in", "reads_left",
        ]  # fmt: skip
    assert document["data"] == {"user_id": 42}
    assert document["subject"] == "alice"
    assert document["version"] == 1
    assert document["reads_left"] == 5
    assert 3500 < document["expires_in"] <= 3600
    peeked = live.peek(token)
    assert peeked is not None
    assert document["id"] == peeked.id
    assert msgspec.convert(document["created_at"], datetime) == peeked.created_at
    assert msgspec.convert(document["expires_at"], datetime) == peeked.expires_at


def test_a_session_without_limits_has_null_for_each_of_them_in_json(command: Command, live: crudjt.Store) -> None:
    document = json.loads(command("--json", "peek", live.create({})).stdout)
    assert {document[name] for name in ("subject", "expires_at", "expires_in", "reads_left")} == {None}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("update", "TOKEN", "{}"), {"updated": True}),
        (("touch", "TOKEN"), {"touched": True}),
        (("delete", "TOKEN"), {"deleted": True}),
        (("revoke", "alice"), {"revoked": 1}),
        (("revoke-id", "HANDLE"), {"revoked": True}),
        (("sweep",), {"swept": 0}),
        (("backup", "COPY"), {"backup": "COPY"}),
    ],
)
def test_json_says_what_was_done(
    command: Command, live: crudjt.Store, tmp_path: Path, arguments: Sequence[str], expected: dict[str, Any]
) -> None:
    token = live.create({}, subject="alice")
    session = live.peek(token)
    assert session is not None
    names = {"TOKEN": token, "HANDLE": session.id, "COPY": str(tmp_path / "copy")}
    result = command("--json", *(names.get(each, each) for each in arguments))
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {key: names.get(item, item) for key, item in expected.items()}


def test_json_of_create_and_rotate_is_the_token(command: Command) -> None:
    token = json.loads(command("--json", "create", "{}").stdout)["token"]
    fresh = json.loads(command("--json", "rotate", token).stdout)["token"]
    assert command("read", fresh).exit_code == 0


def test_reading_counts_and_peeking_does_not(command: Command) -> None:
    token = command("create", "{}", "--max-reads", "2").stdout.strip()
    commands = ("peek", "read", "peek", "peek", "read", "peek", "read")
    assert [command(each, token).exit_code for each in commands] == [0, 0, 0, 0, 0, 1, 1]


def test_update_keeps_limits_that_are_not_given_and_removes_those_set_to_none(
    command: Command, live: crudjt.Store
) -> None:
    token = command("create", "{}", "--ttl", "1h", "--max-reads", "5", "--idle", "2h").stdout.strip()

    def limits() -> tuple[bool, int | None]:
        session = live.peek(token)
        assert session is not None
        return session.expires_at is not None, session.reads_left

    assert command("update", token, '{"a": 1}').exit_code == 0
    assert limits() == (True, 5)
    assert command("update", token, "{}", "--max-reads", "9").exit_code == 0
    assert limits() == (True, 9)
    assert command("update", token, "{}", "--max-reads", "none", "--ttl", "none").exit_code == 0
    assert limits() == (True, None)
    assert command("update", token, "{}", "--idle", "none").exit_code == 0
    assert limits() == (False, None)


def test_touch_sets_and_removes_limits_and_leaves_data_and_version(command: Command, live: crudjt.Store) -> None:
    token = live.create({"user_id": 42}, ttl=60)
    assert command("touch", token, "--ttl", "none", "--idle", "1h").exit_code == 0
    session = live.peek(token)
    assert session is not None
    assert session.expires_in is not None
    assert 3500 < session.expires_in <= 3600
    assert command("touch", token, "--idle", "none").exit_code == 0
    session = live.peek(token)
    assert session is not None
    assert (session.expires_at, session.data, session.version) == (None, {"user_id": 42}, 1)


def test_update_refuses_another_version_than_the_one_named(command: Command, live: crudjt.Store) -> None:
    token = live.create({"a": 1})
    assert command("update", token, '{"a": 2}', "--if-version", "1").exit_code == 0
    result = command("update", token, '{"a": 3}', "--if-version", "1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "version 2, not 1" in result.stderr
    session = live.peek(token)
    assert session is not None
    assert session.data == {"a": 2}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("1.5h", 5400), ("30d", 2_592_000), ("0.5", 0.5), ("none", None)],
)
def test_durations_are_seconds_or_have_a_unit(
    command: Command, live: crudjt.Store, text: str, seconds: float | None
) -> None:
    token = command("create", "{}", "--ttl", text).stdout.strip()
    session = next(iter(live.read_many([token])))
    if seconds is None:
        assert session is not None
        assert session.expires_at is None
    elif session is not None:  # half a second may be over
        assert session.expires_at is not None
        assert (session.expires_at - session.created_at).total_seconds() == seconds
    else:
        assert seconds < 1


# Subjects


def test_sessions_lists_handles_that_revoke_id_takes_and_no_tokens(command: Command, live: crudjt.Store) -> None:
    tokens = [
        live.create({"text": "a\tb\nc"}, subject="alice"),
        live.create({}, subject="alice", ttl=60, max_reads=3),
        live.create({}, subject="bob"),
    ]
    result = command("sessions", "alice")
    assert (result.exit_code, result.stderr) == (0, "")
    assert not any(token in result.stdout for token in tokens)
    # Sessions of one millisecond come in any order.
    lines = sorted(result.stdout.splitlines(), key=lambda line: "unlimited" not in line)
    first, second = (line.split("\t") for line in lines)
    assert [len(first), len(second)] == [6, 6]
    assert first[1] == "1"
    assert first[3:] == ["never", "unlimited", '{"text":"a\\tb\\nc"}']
    assert second[4] == "3"
    assert msgspec.convert(second[3], datetime) > datetime.now(timezone.utc)
    documents = [json.loads(line) for line in command("--json", "sessions", "alice").stdout.splitlines()]
    assert {document["id"]: document["data"] for document in documents} == {
        first[0]: {"text": "a\tb\nc"},
        second[0]: {},
    }
    assert command("revoke-id", first[0]).exit_code == 0
    assert [live.peek(token) is not None for token in tokens] == [False, True, True]


def test_a_subject_without_sessions_lists_nothing_and_that_is_no_error(command: Command) -> None:
    command("sweep")
    for option in ((), ("--json",)):
        result = command(*option, "sessions", "nobody")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_revoke_ends_the_sessions_of_a_subject_and_prints_how_many(command: Command, live: crudjt.Store) -> None:
    tokens = [live.create({}, subject=subject) for subject in ("alice", "alice", "alice", "bob")]
    assert command("revoke", "alice", "--keep", tokens[1]).stdout == "2\n"
    assert [live.peek(token) is not None for token in tokens] == [False, True, False, True]
    assert command("revoke", "alice").stdout == "1\n"
    none_left = command("revoke", "alice")
    assert (none_left.exit_code, none_left.stdout) == (0, "0\n")


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


# doctor


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


# Exit codes


@pytest.mark.parametrize("arguments", TOKEN_COMMANDS, ids=lambda arguments: arguments[0])
@pytest.mark.parametrize("token", [UNKNOWN, "-" + UNKNOWN[1:], "--" + UNKNOWN[2:], "short", "é" * 22, ""])
@pytest.mark.parametrize("option", [(), ("--json",)], ids=["text", "json"])
def test_a_missing_token_exits_1_with_a_message_that_does_not_repeat_it(
    command: Command, live: crudjt.Store, arguments: tuple[str, ...], token: str, option: tuple[str, ...]
) -> None:
    name, *rest = arguments
    result = command(*option, name, token, *rest)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: no such session: this token is unknown, or its session has ended\n"


def test_a_missing_handle_exits_1(command: Command, live: crudjt.Store) -> None:
    result = command("revoke-id", HANDLE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: no such session: this handle is unknown, or its session has ended\n"


def test_a_token_that_begins_with_a_hyphen_is_a_token(command: Command, live: crudjt.Store) -> None:
    """One in 64 does, and among 3000 one surely."""
    token = next(each for each in live.create_many([{}] * 3000, subject="alice") if each.startswith("-"))
    assert command("peek", token).exit_code == 0
    assert command("update", token, '{"a": 1}', "--ttl", "1h").exit_code == 0
    assert command("touch", "--ttl", "2h", token).exit_code == 0
    assert command("read", token).stdout == '{"a":1}\n'
    assert command("revoke", "alice", "--keep", token).stdout == "2999\n"
    assert command("rotate", token).exit_code == 0
    assert command("delete", token).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("create",), "JSON"),
        (("create", ""), "JSON"),
        (("create", "{"), "JSON"),
        (("create", "{'a': 1}"), "JSON"),
        (("create", '{"a": NaN}'), "JSON"),
        (("create", '{"a": 1} {}'), "JSON"),
        (("create", '{"a": "\udc80"}'), "JSON"),
        (("create", "[" * 5000 + "]" * 5000), "nested"),
        (("create", '{"a": {"$bytes": "?"}}'), "$bytes"),
        (("create", '{"a": {"$bytes": 5}}'), "$bytes"),
        (("create", '{"a": {"$timestamp": "2026-01-31T12:00:00"}}'), "$timestamp"),
        (("create", '{"a": {"$float": []}}'), "$float"),
        (("create", '{"a": {"$ext": [1000, ""]}}'), "$ext"),
        (("create", '{"$map": {"ab": 1}}'), "$map"),
        (("create", '{"$map": [[{}, 1]]}'), "$map"),
        (("create", "[]"), "data"),
        (("create", "42"), "data"),
        (("create", '{"a": 99999999999999999999}'), "data"),
        (("create", json.dumps({"a": "x" * 5000})), "data"),
        (("create", "{}", "--ttl", "0"), "ttl"),
        (("create", "{}", "--ttl", "-5"), "--ttl"),
        (("create", "{}", "--ttl", "soon"), "--ttl"),
        (("create", "{}", "--ttl", "1e3"), "--ttl"),
        (("create", "{}", "--ttl", "5 m"), "--ttl"),
        (("create", "{}", "--ttl", "99999d" * 2), "--ttl"),
        (("create", "{}", "--ttl", "9999999d"), "ttl"),
        (("create", "{}", "--ttl"), "--ttl"),
        (("create", "{}", "--idle", "1w"), "--idle"),
        (("create", "{}", "--max-reads", "0"), "max_reads"),
        (("create", "{}", "--max-reads", "1.5"), "--max-reads"),
        (("create", "{}", "--max-reads", "-1"), "--max-reads"),
        (("create", "{}", "--subject", ""), "subject"),
        (("create", "{}", "--sujbect", "alice"), "--sujbect"),
        (("create", "{}", "{}"), "extra"),
        (("update", UNKNOWN, "["), "JSON"),
        (("update", UNKNOWN, "{}", "--if-version", "0"), "if_version"),
        (("update", UNKNOWN, "{}", "--if-version", "none"), "--if-version"),
        (("update", UNKNOWN, "{}", "--max-reads", "many"), "--max-reads"),
        (("update", UNKNOWN), "JSON"),
        (("read",), "TOKEN"),
        (("read", "--jsno"), "--jsno"),
        (("read", "--jsno", UNKNOWN), "--jsno"),
        (("touch", "--tll=5", UNKNOWN), "--tll"),
        (("touch", UNKNOWN, "--tll", "5"), "--tll"),
        (("revoke-id", "x"), "id"),
        (("sessions", ""), "subject"),
        (("revoke", "a" * 1025), "subject"),
        (("backup", ""), "PATH"),
        (("--store", "", "stats"), "--store"),
        (("--secret-key-file", "", "stats"), "--secret-key-file"),
        (("reed", UNKNOWN), "reed"),
        (("--no-such-option", "stats"), "--no-such-option"),
    ],
)
def test_bad_input_exits_2_with_a_message_that_names_the_parameter(
    command: Command, arguments: Sequence[str], named: str
) -> None:
    result = command(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr
    assert "Traceback" not in result.stderr


def test_no_command_at_all_shows_the_help_and_exits_2(command: Command) -> None:
    result = command()
    assert result.exit_code == 2
    assert "Commands:" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("TOKEN",),
        ("TOKEN", "read"),
        ("read", "TOKEN", "TOKEN"),
        ("reed", "TOKEN"),
        ("read", "--jsno", "TOKEN"),
        ("read", "--TOKEN"),
        ("update", "TOKEN", "TOKEN"),
        ("update", "TOKEN", "{}", "--ttl", "TOKEN"),
        ("update", "TOKEN", "{}", "--if-version", "TOKEN"),
        ("create", "TOKEN"),
        ("create", '{"token": "TOKEN"'),
        ("create", "{}", "--max-reads", "TOKEN"),
        ("create", "{}", "--TOKEN"),
        ("revoke-id", "TOKEN"),
        ("sessions", "alice", "TOKEN"),
        ("stats", "TOKEN"),
        ("--json=TOKEN", "stats"),
    ],
)
def test_no_error_repeats_a_token(command: Command, live: crudjt.Store, arguments: Sequence[str]) -> None:
    token = live.create({})
    result = command(*(each.replace("TOKEN", token) for each in arguments))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr
    assert token.lstrip("-") not in result.stderr


@pytest.mark.parametrize("arguments", STORE_COMMANDS, ids=lambda arguments: arguments[0])
def test_a_store_that_cannot_be_opened_exits_3(command: Command, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    result = command("--store", str(tmp_path / "file"), *arguments)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == f"Error: {tmp_path / 'file'}: is a file, or lies in one; a store is a directory\n"


@pytest.mark.parametrize("arguments", [("backup", "copy"), ("doctor",), ("doctor", "--repair")], ids=" ".join)
def test_a_path_that_is_a_file_exits_3(command: Command, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    result = command("--store", str(tmp_path / "file"), *arguments)
    assert (result.exit_code, result.stdout) == (3, "")
    assert str(tmp_path / "file") in result.stderr


def test_a_damaged_store_exits_3_and_points_to_doctor(shell: Shell) -> None:
    data = shell.home / "data"
    secret_key = crudjt.generate_secret_key()
    shell.environment["CRUDJT_SECRET_KEY"] = secret_key
    with crudjt.open(data, secret_key=secret_key) as store:
        token = store.create({})
    (data / "manifest").write_bytes(b"nothing of the kind")
    result = shell("read", token)
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.startswith("Error: ")
    assert "crudjt doctor" in result.stderr
    assert "Traceback" not in result.stderr


def test_output_that_cannot_be_written_exits_3_without_a_trace(shell: Shell) -> None:
    with Path("/dev/full").open("w") as full, shell.start("keygen", stdout=full.fileno()) as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "Traceback" not in stderr


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(shell: Shell) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with shell.start("keygen", stdout=writing) as process:
        os.close(writing)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (141, "")


def test_an_interrupted_command_exits_130(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not 1, which a script would take for a missing session."""

    def interrupt(_store: crudjt.Store) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(EmbeddedStore, "stats", interrupt)
    assert command("stats").exit_code == 130


# Standard input


def test_a_hyphen_takes_a_token_or_json_from_standard_input(shell: Shell) -> None:
    """Where the list of processes shows neither."""
    token = shell("create", "-", stdin='{"user_id":\n42}\n').stdout.strip()
    assert shell("read", "-", stdin=token).stdout == '{"user_id":42}\n'
    assert shell("update", token, "-", stdin='{"a": 1}').returncode == 0
    assert shell("update", "-", '{"a": 2}', stdin=f"{token}\n").returncode == 0
    assert shell("update", "-", "-", stdin=f'{token}\n{{"a": 3}}\n').returncode == 0
    assert shell("peek", "-", stdin=f" {token} \r\n").stdout == '{"a":3}\n'


@pytest.mark.parametrize(
    "arguments", [*((name, "-", *rest) for name, *rest in TOKEN_COMMANDS), ("revoke", "alice", "--keep", "-")]
)
def test_every_token_may_come_from_standard_input(
    command: Command, live: crudjt.Store, arguments: Sequence[str]
) -> None:
    token = live.create({}, subject="alice")
    assert command(*arguments, stdin=f"{token}\n").exit_code == 0
    assert (live.peek(token) is None) is (arguments[0] in {"rotate", "delete"})


@pytest.mark.parametrize("stdin", ["", "\n", " \n"])
@pytest.mark.parametrize("arguments", [("read", "-"), ("create", "-"), ("revoke", "alice", "--keep", "-")])
def test_an_empty_standard_input_is_bad_input(command: Command, arguments: Sequence[str], stdin: str) -> None:
    """Above all for `revoke`, which would spare no session."""
    result = command(*arguments, stdin=stdin)
    assert (result.exit_code, result.stdout) == (2, "")


def test_standard_input_that_is_no_text_is_no_token_and_no_json(command: Command, live: crudjt.Store) -> None:
    assert command("read", "-", stdin=b"\xff\xfe\n").exit_code == 1
    assert command("create", "-", stdin=b'{"a": "\xff"}').exit_code == 2


# A store on a server


@pytest.fixture
def url(live: crudjt.Store, tmp_path: Path) -> Iterator[str]:
    """Serve the store that the command would use, so that what it does can be seen there."""
    server = Server(live, [f"unix:{tmp_path}/socket"], services={store_service.NAME: store_service.METHODS})
    server.start()
    yield f"unix://{tmp_path}/socket"
    server.stop(0)


@pytest.mark.parametrize("arguments", STORE_COMMANDS, ids=lambda arguments: arguments[0])
def test_every_command_asks_the_server_of_a_url(
    command: Command, url: str, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]
) -> None:
    """As it would the directory, which it needs as little as the key."""
    expected = command(*arguments)
    monkeypatch.setenv("CRUDJT_STORE", "/nowhere")
    monkeypatch.delenv("CRUDJT_SECRET_KEY")
    result = command("--store", url, *arguments)
    assert (result.exit_code, result.stderr) == (expected.exit_code, expected.stderr)


def test_what_a_command_does_on_a_server_is_done_there(
    command: Command, live: crudjt.Store, url: str, tmp_path: Path
) -> None:
    token = command("--store", url, "create", '{"a": 1}', "--ttl", "60", "--subject", "alice").stdout.strip()
    session = live.peek(token)
    assert session is not None
    assert (session.data, session.subject) == ({"a": 1}, "alice")
    assert json.loads(command("--store", url, "read", token).stdout) == {"a": 1}
    assert command("--store", url, "backup", str(tmp_path / "copy")).exit_code == 0
    assert (tmp_path / "copy").is_dir()


def test_a_server_that_does_not_answer_is_a_failure_of_the_store(command: Command, tmp_path: Path) -> None:
    result = command("--store", f"unix://{tmp_path}/nobody", "read", UNKNOWN)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "nobody" in result.stderr


def test_the_access_token_comes_from_its_file(command: Command, live: crudjt.Store, tmp_path: Path) -> None:
    (tmp_path / "right").write_text("hunter2" * 8 + "\n")
    (tmp_path / "wrong").write_text("hunter3" * 8 + "\n")
    services = {store_service.NAME: store_service.METHODS}
    server = Server(live, [f"unix:{tmp_path}/socket"], services=services, access_tokens=["hunter2" * 8])
    server.start()
    try:
        for file, exit_code in (("right", 0), ("wrong", 3), ("missing", 2)):
            result = command("--store", f"unix:{tmp_path}/socket", "--access-token-file", str(tmp_path / file), "stats")
            assert result.exit_code == exit_code
            assert "hunter" not in result.output
    finally:
        server.stop(0)


def test_another_host_is_connected_to_without_tls_where_it_is_allowed(command: Command) -> None:
    """The name does not exist (RFC 6761), so no host is asked."""
    refused, tried = (command("--store", "grpc://host.invalid", *flag, "stats") for flag in ([], ["--allow-plaintext"]))
    assert (refused.exit_code, tried.exit_code) == (2, 3)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--store", "unix:///socket", "keygen"),
        ("--store", "unix:///socket", "doctor"),
        ("--url", "unix:///socket", "--store", "store", "stats"),
        ("--url", "unix:///socket", "--path", "store", "stats"),
        ("--store", "unix:/socket", "serve"),
        ("--store", "redis://host", "stats"),
        ("--store", "unix:socket", "stats"),
        ("--store", "data", "health"),
        ("--store", "unix:///socket", "--secret-key-file", "key", "stats"),
        ("--url", "/a/directory", "stats"),
        ("--url", "http://host", "stats"),
        ("--url", "", "stats"),
        ("--url", "grpc://", "stats"),
        ("--url", "unix:///socket", "--tls-ca", "file", "stats"),
        ("--access-token-file", "file", "stats"),
        ("--store", "grpc://192.0.2.1", "stats"),
        ("--allow-plaintext", "stats"),
        ("--tls-ca", "file", "stats"),
        ("--tls-cert", "file", "stats"),
        ("--tls-key", "file", "stats"),
    ],
    ids=" ".join,
)
def test_options_that_contradict_each_other_are_bad_input(
    command: Command, path: Path, arguments: Sequence[str]
) -> None:
    result = command(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert not path.exists()


@pytest.mark.parametrize("location", ["redis://host", "unix:socket", "grpc://host/path", "~nobody-here/x"])
def test_a_location_that_cannot_be_meant_makes_neither_a_store_nor_a_key(shell: Shell, location: str) -> None:
    before = sorted(shell.home.rglob("*"))
    assert shell("--store", location, "create", "{}").returncode == 2
    shell.environment["CRUDJT_STORE"] = location
    assert shell("create", "{}").returncode == 2
    assert sorted(shell.home.rglob("*")) == before


def test_the_older_spellings_name_the_same_store(
    command: Command, live: crudjt.Store, url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = live.create({"a": 1})
    monkeypatch.setenv("CRUDJT_STORE", "/nowhere")
    for spelling in (("--path", str(path)), ("--url", url), ("--store", str(path)), ("--store", url)):
        assert command(*spelling, "peek", token).stdout == '{"a":1}\n'
    monkeypatch.delenv("CRUDJT_STORE")
    monkeypatch.setenv("CRUDJT_PATH", str(path))
    assert command("peek", token).stdout == '{"a":1}\n'


# Values that JSON has no word for


def test_what_json_cannot_carry_is_printed_as_documented(command: Command, live: crudjt.Store) -> None:
    data = {
        "bytes": b"\x00\x01\x02",
        "moment": datetime(2026, 1, 31, 12, tzinfo=timezone.utc),
        "numbers": [float("nan"), float("inf"), float("-inf"), 2**64 - 1],
        "ext": msgspec.msgpack.Ext(5, b"\x00\x01\x02"),
        "map": {1: "one", b"": None},
        "lookalike": {"$bytes": "AAEC"},
    }
    expected = {
        "bytes": {"$bytes": "AAEC"},
        "moment": {"$timestamp": "2026-01-31T12:00:00Z"},
        "numbers": [{"$float": "NaN"}, {"$float": "Infinity"}, {"$float": "-Infinity"}, 2**64 - 1],
        "ext": {"$ext": [5, "AAEC"]},
        "map": {"$map": [[1, "one"], [{"$bytes": ""}, None]]},
        "lookalike": {"$map": [["$bytes", "AAEC"]]},
    }
    token = live.create(data)
    assert json.loads(command("read", token).stdout) == expected
    assert json.loads(command("read", "--json", token).stdout)["data"] == expected


def test_what_read_prints_update_takes_without_loss(command: Command, live: crudjt.Store) -> None:
    token = live.create({1: b"\x00", "when": datetime(2026, 1, 31, tzinfo=timezone.utc), "nested": {(1, 2): [{}]}})
    before = live.peek(token)
    assert command("update", token, "-", stdin=command("read", token).stdout).exit_code == 0
    after = live.peek(token)
    assert before is not None
    assert after is not None
    assert (after.data, after.version) == (before.data, 2)


@pytest.mark.parametrize("depth", [257, 5000])
def test_data_that_is_nested_too_deeply_is_refused_in_words(command: Command, live: crudjt.Store, depth: int) -> None:
    """Whether the reader of JSON or the store finds out, which depends on the interpreter."""
    result = command("create", "-", stdin='{"":' * depth + "1" + "}" * depth)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nested" in result.stderr


def test_data_that_is_nested_as_deeply_as_is_allowed_can_be_printed(command: Command, live: crudjt.Store) -> None:
    nested: dict[Any, Any] = {}
    for _ in range(127):
        nested = {1: nested}
    result = command("peek", live.create(nested))
    assert result.exit_code == 0
    assert result.stdout.count("$map") == 127


_KEYS = st.text(max_size=3) | st.sampled_from(["$bytes", "$map"]) | st.integers(-9, 9) | st.binary(max_size=3)
_SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.just(math.nan)
    | st.text() | st.binary() | st.datetimes(timezones=st.just(timezone.utc))
)  # fmt: skip
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4))


@given(_VALUES)
def test_every_value_survives_the_way_through_json(value: Any) -> None:
    text = msgspec.json.encode(json_values.to_json(value))
    assert msgspec.msgpack.encode(json_values.parse(text)) == msgspec.msgpack.encode(value)


# Help and documentation


def test_every_command_has_help_that_fits_its_line_and_explains_its_options(command: Command) -> None:
    summary = command("--help").stdout
    assert "..." not in summary.partition("Commands:")[2]
    for name, each in main.commands.items():
        assert name in summary
        result = command(name, "--help")
        assert result.exit_code == 0
        assert each.help
        for parameter in each.params:
            assert not isinstance(parameter, click.Option) or parameter.help or parameter.hidden


def test_the_version_is_shown(command: Command) -> None:
    result = command("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("crudjt ")


def test_every_command_and_option_is_documented_in_its_section() -> None:
    pattern = re.compile(r"^#+ (.*?)\n(.*?)(?=^#|\Z)", re.DOTALL | re.MULTILINE)
    sections = dict(pattern.findall(DOCUMENTATION.read_text()))
    commands: dict[str, click.Command] = {"Options of the group": main, **main.commands}
    assert set(commands) <= set(sections)
    for name, each in commands.items():
        for parameter in each.params:
            if parameter.name == "json" and each is not main:
                continue  # explained once, for all
            wanted = (
                parameter.opts[0]
                if isinstance(parameter, click.Option)
                else parameter.make_metavar(click.Context(each))
            )
            assert wanted in sections[name], f"docs/cli.md does not explain {wanted} of {name}"
