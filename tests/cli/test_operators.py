"""What an operator does from the shell: look at sessions, end them, take them out and in, and drop old keys."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt.testing import FakeClock
from tests.cli.shell import TOKEN, UNKNOWN, Command, Shell
from tests.support.stores import read


def test_sessions_are_listed_newest_first_without_their_data(command: Command, live: crudjt.Store) -> None:
    handles = [read(live, live.create({"secret": n}, idle=60, subject=name)).id for n, name in enumerate("abc")]
    lines = command("list").stdout.splitlines()
    assert [line.split("\t")[:2] for line in lines] == [[handles[2], "c"], [handles[1], "b"], [handles[0], "a"]]
    for arguments in (("list",), ("list", "--json"), ("show", handles[0]), ("show", handles[0], "--json")):
        assert "secret" not in command(*arguments).stdout
    first = command("list", "--limit", "2")
    assert first.stderr == f"there are more sessions; to go on: --after {handles[1]}\n"
    rest = command("list", "--limit", "2", "--after", handles[1])
    assert (rest.stdout.split("\t")[0], rest.stderr) == (handles[0], "")
    [document] = map(json.loads, command("--json", "list", "--subject", "b", "--data").stdout.splitlines())
    assert (document["id"], document["data"]) == (handles[1], {"secret": 1})
    assert document["last_seen"] == document["created_at"]
    assert command("list", "--older-than", "1h").stdout == ""
    assert (command("count").stdout, command("count", "--subject", "c", "--json").stdout) == ("3\n", '{"sessions":1}\n')


def test_a_time_on_the_second_has_a_fraction_as_any_other(
    command: Command, environment: None, path: Path, secret_key: str
) -> None:
    """One session in a thousand begins so; a script that takes times apart must not fail then."""
    moment, end = "2096-10-02T07:06:40.000000Z", "2096-10-02T07:07:40.000000Z"
    with crudjt.open(path, secret_key=secret_key, clock=FakeClock(4_000_000_000)) as store:
        session = read(store, store.create({}, ttl=60, idle=60, subject="alice"))
        assert command("list").stdout.split("\t")[2:5] == [moment, moment, end]
        assert command("sessions", "alice").stdout.split("\t")[2:4] == [moment, end]
        assert command("events").stdout.startswith(f"{moment}\tbegun")
        shown = command("show", session.id)
        assert f"created_at: {moment}\nexpires_at: {end}\n" in shown.stdout
        assert json.loads(command("show", session.id, "--json").stdout)["created_at"] == moment


def test_a_session_is_shown_and_ended_by_its_handle(command: Command, live: crudjt.Store) -> None:
    token = live.create({"user_id": 42}, ttl=60, subject="alice")
    session = read(live, token)
    shown = command("show", session.id).stdout.splitlines()
    assert shown[:2] == [f"id: {session.id}", "subject: alice"]
    assert shown[-2:] == ["reads_left: unlimited", "last_seen: unknown"]
    assert command("show", session.id, "--data").stdout.splitlines()[-1] == 'data: {"user_id":42}'
    assert json.loads(command("show", session.id, "--json").stdout)["version"] == 1
    assert command("end", session.id, "--json").stdout == '{"ended":true}\n'
    assert live.read(token) is None
    for name in ("end", "show"):
        result = command(name, session.id)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "this handle is unknown" in result.stderr


def test_the_client_is_listed_by_its_address_and_shown_with_its_agent(command: Command, live: crudjt.Store) -> None:
    session = read(live, live.create({}, client=crudjt.Client("192.0.2.1", "Firefox/131")))
    live.create({})
    assert [line.split("\t")[-1] for line in command("list").stdout.splitlines()] == ["-", "192.0.2.1"]
    assert command("show", session.id).stdout.splitlines()[-1] == "client: 192.0.2.1, Firefox/131"


def test_what_users_and_clients_sent_cannot_control_the_terminal(command: Command, live: crudjt.Store) -> None:
    hostile = "\x1b[2J\t\n\x9b"
    live.create({hostile: hostile}, subject=hostile, client=crudjt.Client("192.0.2.1", hostile))
    [line] = command("list", "--data").stdout.splitlines()
    handle, subject, *_ = line.split("\t")
    assert subject == r"\x1b[2J\t\n\x9b"
    shown = command("show", handle, "--data").stdout
    printed = [line, shown, command("events").stdout, command("top", "--times", "1", "--interval", "0.01").stdout]
    printed.append(command("sessions", hostile).stdout)
    assert all(each.isprintable() or each in "\t\n" for text in printed for each in text)
    assert len(shown.splitlines()) == 10


@pytest.mark.parametrize("name", ["show", "end", "list"])
def test_a_token_in_the_place_of_a_handle_is_not_repeated(command: Command, live: crudjt.Store, name: str) -> None:
    token = live.create({})
    result = command(*((name, "--after") if name == "list" else (name,)), token)
    assert result.exit_code == 2
    assert token not in result.output
    assert live.read(token) is not None


def test_what_was_exported_is_imported_with_new_tokens(command: Command, live: crudjt.Store, tmp_path: Path) -> None:
    """Data, subject, number of reads and what is left of the lifetime; nothing exported is a token."""
    data = {"pair": (1, 2), 3: "three"}
    about: dict[str, Any] = {"client": crudjt.Client("192.0.2.1"), "bound_to": "A" * 43, "labels": ("sid:1",)}
    token = live.create(data, ttl=3600, max_reads=5, subject="alice", **about)
    live.create({}, subject="bob")
    exported = command("export").stdout
    assert token not in exported
    assert len(exported.splitlines()) == 2
    target = str(tmp_path / "other")
    file = tmp_path / "sessions.jsonl"
    file.write_text(exported)
    assert command("init", "--store", target).exit_code == 0
    result = command("import", str(file), "--store", target)
    tokens = result.stdout.split()
    assert len(tokens) == 2
    assert all(map(TOKEN.fullmatch, tokens))
    assert token not in tokens
    [document] = map(json.loads, command("export", "--subject", "alice", "--store", target).stdout.splitlines())
    assert document["data"] == {"$map": [["pair", {"$tuple": [1, 2]}], [3, "three"]]}
    assert document["reads_left"] == 5
    assert document["client"] == {"address": "192.0.2.1", "agent": None}
    assert (document["bound_to"], document["labels"]) == ("A" * 43, ["sid:1"])
    assert 3500 < document["expires_in"] < 3600


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"data": {}, "ttl": -1}', "line 2 of the file: ttl must be above 0"),
        ('{"data": [1]}', "line 2 of the file is no session in JSON"),
        ('{"token": "AAAAAAAAAAAAAAAAAAAAAA"}', "line 2 of the file is no session in JSON"),
        ('{"data": {"$uuid": "x"}}', "line 2 of the file: malformed"),
        ("{", "line 2 of the file is no session in JSON"),
    ],
)
def test_a_file_with_a_line_that_is_no_session_is_refused_as_a_whole(
    command: Command, live: crudjt.Store, line: str, problem: str
) -> None:
    result = command("import", "-", stdin='{"data": {}}\n' + line)
    assert (result.exit_code, result.stdout) == (2, "")
    assert problem in result.stderr
    assert UNKNOWN not in result.stderr
    assert live.count() == 0


def test_a_backup_is_restored_where_no_store_is(command: Command, live: crudjt.Store, tmp_path: Path) -> None:
    token = live.create({"n": 1})
    copy, place = tmp_path / "copy", tmp_path / "restored"
    assert command("backup", str(copy)).exit_code == 0
    result = command("restore", str(copy), "--store", str(place))
    assert (result.exit_code, result.stdout) == (0, "restored 1 sessions\n")
    assert command("read", token, "--store", str(place)).stdout == '{"n":1}\n'
    again = command("restore", str(copy))
    assert again.exit_code == 3
    assert "holds a store already" in again.stderr


def test_a_damaged_backup_is_not_restored(command: Command, live: crudjt.Store, tmp_path: Path) -> None:
    live.create({"n": 1})
    copy, place = tmp_path / "copy", tmp_path / "restored"
    command("backup", str(copy))
    [base] = (copy / "base").iterdir()
    with base.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    result = command("restore", str(copy), "--store", str(place))
    assert result.exit_code == 3
    assert "nothing was restored" in result.stderr
    assert not place.exists()


def test_keys_says_when_an_old_key_can_be_dropped(
    command: Command, path: Path, tmp_path: Path, secret_key: str
) -> None:
    new = crudjt.generate_secret_key()
    with crudjt.open(path, secret_key=secret_key) as store:
        timed, endless = store.create({}, ttl=3600, idle=60), store.create({})
    file = tmp_path / "keys"
    file.write_text(f"{secret_key}\n{new}\n")
    file.chmod(0o600)
    keys = ("--secret-key-file", str(file), "keys")
    first, second = (line.split("\t") for line in command(*keys).stdout.splitlines())
    assert first[1:] == ["2", "cannot be dropped: 1 have no lifetime (ttl), and end when they are rotated or ended"]
    assert second[1:] == ["0", "makes the new sessions"]
    with crudjt.open(path, secret_key=[secret_key, new]) as store:
        assert store.rotate(endless) is not None
        ends = read(store, timed).created_at + timedelta(seconds=3600)
    old, _ = (json.loads(line) for line in command(*keys, "--json").stdout.splitlines())
    assert (old["sessions"], old["endless"], old["droppable"]) == (1, 0, False)
    assert old["last_ends_at"] == ends.isoformat(timespec="microseconds").replace("+00:00", "Z")
    with crudjt.open(path, secret_key=[secret_key, new]) as store:
        store.delete(timed)
    assert command(*keys).stdout.splitlines()[0].split("\t")[1:] == ["0", "can be dropped now"]
    assert '"fingerprint":null,"sessions":1' in command("keys", "--json").stdout  # of the key that is not given


def test_options_of_the_group_may_follow_the_command(command: Command, path: Path, tmp_path: Path) -> None:
    """Also between its arguments; a value that looks like one is a value, and what follows -- is an argument."""
    other = str(tmp_path / "other")
    token = command("create", "--store", other, "{}", "--subject", "--store").stdout.strip()
    assert command("sessions", f"--store={other}", "--json", "--", "--store").stdout.startswith('{"data":{}')
    assert command("read", token, "--store", other).exit_code == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("lst",), "No such command 'lst'."),  # newer versions of click suggest one
        (("list", "--sbject", "x"), "--sbject'?. Did you mean '?--subject"),
        (("--stroe", "x", "list"), "--stroe'?. .*Did you mean.*--store"),
        (("update", "--if-versoin", "2"), "--if-versoin'?. Did you mean '?--if-version"),
    ],
)
def test_a_misspelled_name_is_answered_with_one_that_is_like_it(
    command: Command, arguments: tuple[str, ...], text: str
) -> None:
    result = command(*arguments)
    assert result.exit_code == 2
    assert re.search(text, result.stderr)


def test_h_shows_the_help(command: Command) -> None:
    assert command("-h").stdout == command("--help").stdout
    assert command("list", "-h").stdout.startswith("Usage: crudjt list")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"), [("crudjt exp", "plain,export"), ("crudjt list --su", "plain,--subject")]
)
def test_the_shell_completes_commands_and_options(words: str, expected: str) -> None:
    """As bash asks for it: docs/cli.md says how it is switched on."""
    environment = {
        **os.environ,
        "_CRUDJT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    result = subprocess.run(
        [sys.executable, "-c", "from crudjt.cli import main; main(prog_name='crudjt')"],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert result.stdout.splitlines() == [expected]


def test_events_are_printed_and_can_be_gone_on_behind(command: Command, live: crudjt.Store) -> None:
    token = live.create({"secret": 1}, subject="alice")
    handle = read(live, token).id
    live.delete(token)
    lines = [line.split("\t")[1:] for line in command("events").stdout.splitlines()]
    assert lines == [["begun", handle, "alice"], ["ended", handle, "alice"]]
    first, second = map(json.loads, command("events", "--json").stdout.splitlines())
    assert (first["kind"], first["exact"], second["exact"]) == ("begun", True, False)
    assert json.loads(command("events", "--json", "--after", first["position"]).stdout) == second
    result = command("events", "--after", token)
    assert (result.exit_code, result.stdout) == (2, "")
    assert token not in result.stderr


@pytest.mark.slow
def test_events_are_followed_until_the_command_is_interrupted(shell: Shell) -> None:
    assert shell("init").returncode == 0
    with shell.start("events", "--follow", "--json") as process:
        assert process.stdout is not None
        deadline = time.monotonic() + 60
        while not select.select([process.stdout], [], [], 0.2)[0] and time.monotonic() < deadline:
            shell("create", "{}", "--subject", "alice")
        assert json.loads(process.stdout.readline())["subject"] == "alice"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130


def test_top_shows_counters_and_what_happens_in_a_second(command: Command, live: crudjt.Store) -> None:
    live.create({"secret": 1}, subject="alice")
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.01):
            live.create({})

    thread = threading.Thread(target=work)
    thread.start()
    try:
        document = json.loads(command("top", "--times", "1", "--interval", "0.5", "--json").stdout)
    finally:
        stop.set()
        thread.join()
    assert document["sessions"] > 1
    assert document["a_second"]["begun"] > 1
    assert document["a_second"]["ended"] == 0
    text = command("top", "--times", "1", "--interval", "0.01").stdout
    assert "NEWEST SESSIONS" in text
    assert "\x1b" not in text
    assert "secret" not in text
