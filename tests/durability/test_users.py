"""Stores that several users of the host meet: the owner, root, a group that shares it, and strangers."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import crudjt
from crudjt._backends.embedded.doctor.check import examine
from crudjt._backends.embedded.doctor.repair import repair
from crudjt.cli import main
from tests.support.embedded import compact
from tests.support.processes import Fork

pytestmark = pytest.mark.root

OWNER, STRANGER, GROUP = 65_534, 54_321, 54_322


def as_user(user: int, groups: list[int], work: Callable[..., Any], *arguments: Any) -> Any:
    """Do some work in a process of another user; return its result."""

    def child() -> Any:
        os.setgroups(groups)
        os.setgid(user)
        os.setuid(user)
        return work(*arguments)

    return Fork(child).wait().result


def write(path: Path, key: str) -> str:
    with crudjt.open(path, secret_key=key) as store:
        return store.create({"user": "alice"}, subject="alice")


def refusal(path: Path, key: str, **options: Any) -> str:
    """Return why the store cannot be opened; "" if it can."""
    try:
        crudjt.open(path, secret_key=key, **options).close()
    except crudjt.StoreInaccessible as error:
        return error.reason
    return ""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a directory that every user can reach, with a directory of the application's user in it."""
    for above in tmp_path.parents:
        if not above.stat().st_mode & stat.S_IXOTH:
            above.chmod(stat.S_IMODE(above.stat().st_mode) | 0o011)
    tmp_path.chmod(0o755)
    owned = tmp_path / "sessions"
    owned.mkdir(mode=0o700)
    os.chown(owned, OWNER, OWNER)
    return owned


def users(path: Path) -> set[tuple[int, int]]:
    return {(each.stat().st_uid, each.stat().st_gid) for each in (path, *path.rglob("*"))}


def modes(path: Path) -> set[int]:
    return {stat.S_IMODE(each.stat().st_mode) for each in (path, *path.rglob("*"))}


def test_what_root_makes_belongs_to_the_owner_of_the_directory(home: Path, secret_key: str) -> None:
    write(home, secret_key)
    assert users(home) == {(OWNER, OWNER)}
    assert modes(home) == {0o600, 0o700}
    assert as_user(OWNER, [], write, home, secret_key)


@pytest.mark.parametrize("mode", [0o700, 0o2770])
@pytest.mark.slow
def test_a_process_of_root_that_is_killed_leaves_nothing_that_locks_the_owner_out(
    home: Path, secret_key: str, mode: int
) -> None:
    """It dies before it gives the first file or directory to the owner, then before the second, and so on."""

    def write_and_die(path: Path, before: int) -> None:
        give, given = os.fchown, 0

        def give_or_die(*arguments: Any) -> None:
            nonlocal given
            given += 1
            if given == before:
                os.kill(os.getpid(), signal.SIGKILL)
            give(*arguments)

        os.fchown = give_or_die  # type: ignore[assignment] # this process ends with the function
        write(path, secret_key)

    def directory(number: int) -> Path:
        path = home / str(number)
        path.mkdir()
        os.chown(path, OWNER, OWNER)
        path.chmod(mode)
        return path

    deaths = 0
    while Fork(write_and_die, path := directory(deaths), deaths + 1).wait().killed:
        assert as_user(OWNER, [], write, path, secret_key)
        (path / "control").unlink()  # the next opening recovers, and removes what was left
        assert as_user(OWNER, [], write, path, secret_key)
        left = {each for each in path.rglob("*.tmp") if each.name.partition(".")[0] != "lock"}
        assert left == set()
        deaths += 1
    assert deaths > 5


def test_root_recovers_and_compacts_for_the_owner(home: Path, secret_key: str) -> None:
    token = as_user(OWNER, [], write, home, secret_key)
    (home / "control").unlink()
    with crudjt.open(home, secret_key=secret_key) as store:
        assert compact(store)
        assert store.peek(token) is not None
    assert [*(home / "base").iterdir()]
    assert users(home) == {(OWNER, OWNER)}
    assert as_user(OWNER, [], write, home, secret_key)


def test_a_repair_by_root_leaves_a_store_of_the_owner(home: Path, secret_key: str) -> None:
    as_user(OWNER, [], write, home, secret_key)
    log = next(home.rglob("*.log"))
    content = bytearray(log.read_bytes())
    content[len(bytes(content).rstrip(b"\0")) - 20] ^= 0xFF
    log.write_bytes(content)
    (home / "manifest").unlink()
    repair(home)
    assert users(home) == {(OWNER, OWNER)}
    assert as_user(OWNER, [], write, home, secret_key)


def test_another_user_is_refused_with_the_owner_and_the_remedy(home: Path, secret_key: str) -> None:
    as_user(OWNER, [], write, home, secret_key)
    home.chmod(0o755)
    reason = as_user(STRANGER, [], refusal, home, secret_key)
    assert f"uid {OWNER}" in reason
    assert f"uid {STRANGER}" in reason
    assert "run it as the owner" in reason


def test_files_of_root_are_named_with_their_owner(home: Path, secret_key: str) -> None:
    """As an older version, or a copy that root made, leaves them."""
    as_user(OWNER, [], write, home, secret_key)
    os.chown(home / "manifest", 0, 0)
    reason = as_user(OWNER, [], refusal, home, secret_key)
    assert "manifest belongs to root (uid 0)" in reason
    assert "chown" in reason


def test_the_doctor_names_the_owner(home: Path, secret_key: str) -> None:
    as_user(OWNER, [], write, home, secret_key)
    home.chmod(0o755)

    def check() -> str:
        try:
            examine(home)
        except crudjt.StoreInaccessible as error:
            return error.reason
        return ""

    assert f"uid {OWNER}" in as_user(STRANGER, [], check)


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strict_umask")
def test_a_group_shares_a_store_whose_directory_says_so(home: Path, secret_key: str) -> None:
    os.chown(home, OWNER, GROUP)
    home.chmod(0o2770)
    tokens = [as_user(user, [GROUP], write, home, secret_key) for user in (OWNER, STRANGER, OWNER)]
    (home / "control").unlink()
    tokens.append(as_user(STRANGER, [GROUP], write, home, secret_key))
    tokens.append(write(home, secret_key))
    with crudjt.open(home, secret_key=secret_key) as store:
        assert compact(store)
    assert {group for _, group in users(home)} == {GROUP}
    assert modes(home) == {0o660, 0o2770}
    assert 0 not in {user for user, _ in users(home)}

    def found() -> int:
        with crudjt.open(home, secret_key=secret_key) as store:
            return len([*store.sessions("alice")])

    assert as_user(OWNER, [GROUP], found) == len(tokens)
    assert "no permission" in as_user(STRANGER, [], refusal, home, secret_key)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o720])
def test_a_directory_that_others_can_write_is_refused_unless_it_is_allowed(
    home: Path, secret_key: str, mode: int
) -> None:
    home.chmod(mode)
    before = [*home.iterdir()]
    assert "can write to it" in as_user(OWNER, [], refusal, home, secret_key)
    assert [*home.iterdir()] == before
    assert as_user(OWNER, [], lambda: refusal(home, secret_key, allow_shared_directory=True)) == ""


def test_a_directory_of_another_user_is_refused_unless_it_is_allowed(home: Path, secret_key: str) -> None:
    home.chmod(0o755)
    assert f"belongs to nobody (uid {OWNER})" in as_user(STRANGER, [], refusal, home, secret_key)
    os.chown(home, 0, STRANGER)
    home.chmod(0o2775)
    assert as_user(STRANGER, [STRANGER], refusal, home, secret_key) == ""


def test_root_follows_no_link_that_the_owner_has_planted(home: Path, tmp_path: Path, secret_key: str) -> None:
    as_user(OWNER, [], write, home, secret_key)
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    for name in ("lock", "control", "manifest", "view/data.mdb", "view/lock.mdb"):
        (home / name).rename(home / "kept")
        (home / name).symlink_to(precious)
        reason = refusal(home, secret_key)
        assert reason == "" or "link" in reason
        assert precious.read_text() == "keep me"
        assert precious.stat().st_uid == 0
        (home / "kept").rename(home / name)
    (home / "log").rename(home / "moved")
    (home / "log").symlink_to("moved")
    assert "log is a link" in refusal(home, secret_key)


@pytest.mark.slow
def test_another_pid_namespace_is_refused_in_words_while_the_store_is_open(path: Path, secret_key: str) -> None:
    script = (
        "import sys, crudjt\n"
        "from crudjt._backends.embedded.engine import opening\n"
        "opening._WAIT_SECONDS = 1.0\n"
        "crudjt.open(sys.argv[1], secret_key=sys.argv[2]).create({})\n"
    )
    command = ["unshare", "--fork", "--pid", sys.executable, "-c", script, str(path), secret_key]
    with crudjt.open(path, secret_key=secret_key) as store:
        other = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert "StoreBusy" in other.stderr
        assert "PID namespace" in other.stderr
        store.create({})
    subprocess.run(command, check=True, timeout=60)
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.stats().sessions == 2


def fill(path: Path, key: str) -> None:
    with crudjt.open(path, secret_key=key) as store:
        for n in range(40):
            store.create({"n": n}, subject="alice")
            if n == 20:
                assert compact(store)


def test_a_read_only_file_system_can_be_examined_and_backed_up(tmp_path: Path, secret_key: str) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", place], check=True)
    try:
        Fork(fill, place / "store", secret_key).wait()  # whose maps end with it
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        assert examine(place / "store").healthy
        copied = CliRunner().invoke(main, ["--store", str(place / "store"), "backup", str(tmp_path / "copy")])
        assert (copied.exit_code, copied.output) == (0, "")
        with pytest.raises(crudjt.StoreInaccessible, match="Read-only"):
            crudjt.open(place / "store", secret_key=secret_key)
    finally:
        subprocess.run(["umount", "-l", place], check=True)
    with crudjt.open(tmp_path / "copy", secret_key=secret_key) as store:
        assert store.revoke("alice") == 40
