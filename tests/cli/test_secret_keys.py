"""The secret key of the command: made once for the user, or found where it is said to be."""

import json
import os
import stat
from pathlib import Path

import pytest

import crudjt
from crudjt import _filesystem
from crudjt.cli import keys
from tests.cli.shell import NEW_KEY, STORE_COMMANDS, TOKEN, UNKNOWN, Command, Shell, own_key_file


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


@pytest.mark.slow
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
        token = command("--new-key", *options, "create", "{}").stdout.strip()
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


# The key of another store


@pytest.fixture
def alice(path: Path, secret_key: str) -> str:
    """Return the token of a session in a store that an application has made with its key."""
    with crudjt.open(path, secret_key=secret_key) as store:
        return store.create({}, subject="alice")


@pytest.mark.parametrize("arguments", [each for each in STORE_COMMANDS if each[0] not in {"stats", "sweep"}])
def test_a_command_with_a_key_that_never_wrote_to_the_store_exits_3_every_time(
    command: Command, alice: str, path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (path / "manifest").read_bytes()
    monkeypatch.setenv("CRUDJT_SECRET_KEY", crudjt.generate_secret_key())
    for _ in range(2):
        result = command(*(alice if each == UNKNOWN else each for each in arguments))
        assert (result.exit_code, result.stdout) == (3, "")
        assert "--secret-key-file" in result.stderr
        assert (path / "manifest").read_bytes() == before


def test_a_command_that_needs_no_key_leaves_no_trace_of_one(
    command: Command, alice: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (path / "manifest").read_bytes()
    monkeypatch.setenv("CRUDJT_SECRET_KEY", crudjt.generate_secret_key())
    for arguments in (("stats",), ("sweep",), ("backup", str(tmp_path / "copy")), ("init",)):
        assert command(*arguments).exit_code == 0
    assert (path / "manifest").read_bytes() == before


def test_a_new_key_has_to_be_announced(
    command: Command, alice: str, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRUDJT_SECRET_KEY", crudjt.generate_secret_key())
    assert command("--new-key", "sessions", "alice").exit_code == 0
    assert command("sessions", "alice").exit_code == 3  # to look is not to write
    token = command("--new-key", "create", "{}").stdout.strip()
    assert command("read", token).exit_code == 0
    monkeypatch.setenv("CRUDJT_SECRET_KEY", secret_key)
    assert command("read", alice).exit_code == 0


@pytest.mark.parametrize("arguments", STORE_COMMANDS)
def test_no_key_is_made_for_a_store_that_exists(
    command: Command, alice: str, tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CRUDJT_SECRET_KEY")
    result = command(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--secret-key-file" in result.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("arguments", [("init",), ("create", "{}"), ("stats",)], ids=lambda arguments: arguments[0])
@pytest.mark.parametrize("place", ["file", "other"])
def test_no_key_is_made_for_a_place_that_cannot_be_a_store(
    shell: Shell, place: str, arguments: tuple[str, ...]
) -> None:
    (shell.home / "file").touch()
    (shell.home / "other").mkdir()
    (shell.home / "other" / "letter").touch()
    assert shell("--store", place, *arguments).returncode == 3
    assert not shell.secret_key_file.exists()
