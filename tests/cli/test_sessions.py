"""Sessions from the shell: their lives, and those of a subject."""

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

import crudjt
from tests.cli.shell import TOKEN, Command, Shell

# The life of a session


@pytest.mark.slow
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
            "last_seen",
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
    command("init")
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


@pytest.mark.parametrize("subject", ["-9abc", "--label=app", "-".ljust(22, "A"), "-h"])
def test_a_subject_that_begins_with_a_hyphen_is_given_behind_two(
    command: Command, live: crudjt.Store, subject: str
) -> None:
    live.create({}, subject=subject)
    live.create({}, subject="alice", labels=("app",))
    assert len(command("sessions", "--", subject).stdout.splitlines()) == 1
    assert command("revoke", "--", subject).stdout == "1\n"
    assert live.count() == 1


def test_revoke_ends_the_sessions_with_a_label(command: Command, live: crudjt.Store) -> None:
    """Of a subject, or of all; one of both has to be named."""
    labels = ("--label", "sid:1", "--label", "app")
    tokens = [command("create", "{}", "--subject", subject, *labels).stdout.strip() for subject in ("alice", "bob")]
    shown = json.loads(command("peek", tokens[0], "--json").stdout)
    assert shown["labels"] == ["sid:1", "app"]
    assert "label: sid:1\nlabel: app\n" in command("show", shown["id"]).stdout
    assert command("revoke", "alice", "--label", "sid:1").stdout == "1\n"
    assert [live.peek(token) is not None for token in tokens] == [False, True]
    assert command("revoke").exit_code == 2
    assert command("revoke", "--label", "app", "--json").stdout == '{"revoked":1}\n'
    assert command("create", "{}", "--label", "").exit_code != 0
