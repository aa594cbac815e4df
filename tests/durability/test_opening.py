"""Opening a store: where it lies, where its key comes from, and places that cannot hold one."""

import logging
import os
import stat
import tempfile
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt import opening
from crudjt._filesystem import host
from crudjt._filesystem.platform import linux

NOBODY = 65_534


@pytest.fixture(autouse=True)
def _an_environment_that_says_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No variable of ours is set, the system's location cannot be made, and the working directory is empty."""
    for name in ("CRUDJT_PATH", "CRUDJT_SECRET_KEY", "CRUDJT_SECRET_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    empty = tmp_path_factory.mktemp("working")
    monkeypatch.chdir(empty)
    monkeypatch.setattr(opening, "SYSTEM_LOCATION", empty / "missing" / "store_jt")


def keys(count: int) -> list[str]:
    return [crudjt.generate_secret_key() for _ in range(count)]


def opens(path: Path, key: str, token: str) -> bool:
    """Tell whether a key reads a token of the store at `path`."""
    with crudjt.open(path, secret_key=key) as store:
        return store.peek(token) is not None


# The secret key


def test_the_parameter_comes_before_the_environment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, of_variable = keys(2)
    monkeypatch.setenv("CRUDJT_SECRET_KEY", of_variable)
    with crudjt.open(path, secret_key=given) as store:
        token = store.create({})
    assert opens(path, given, token)
    assert not opens(path, of_variable, token)


def test_the_variable_comes_before_the_key_file(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_variable, of_file = keys(2)
    (tmp_path / "key").write_text(of_file)
    monkeypatch.setenv("CRUDJT_SECRET_KEY", of_variable)
    monkeypatch.setenv("CRUDJT_SECRET_KEY_FILE", str(tmp_path / "key"))
    with crudjt.open(path) as store:
        token = store.create({})
    assert opens(path, of_variable, token)
    assert not opens(path, of_file, token)


@pytest.mark.parametrize("variable", [None, "", "  \n"])
def test_the_key_file_is_read_where_the_variable_says_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    [key] = keys(1)
    (tmp_path / "key").write_text(f"{key}\n")
    monkeypatch.setenv("CRUDJT_SECRET_KEY_FILE", str(tmp_path / "key"))
    if variable is not None:
        monkeypatch.setenv("CRUDJT_SECRET_KEY", variable)
    with crudjt.open(path) as store:
        token = store.create({})
    assert opens(path, key, token)


@pytest.mark.parametrize("place", ["variable", "file"])
def test_several_keys_of_the_environment_are_oldest_to_newest(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    old, new = keys(2)
    with crudjt.open(path, secret_key=old) as store:
        old_token = store.create({})
    if place == "variable":
        monkeypatch.setenv("CRUDJT_SECRET_KEY", f"{old} {new}")
    else:
        (tmp_path / "keys").write_text(f"{old}\n{new}\n")
        monkeypatch.setenv("CRUDJT_SECRET_KEY_FILE", str(tmp_path / "keys"))
    with crudjt.open(path) as store:
        assert store.peek(old_token) is not None
        new_token = store.create({})
    assert opens(path, new, new_token)
    assert not opens(path, old, new_token)


def test_without_a_key_the_error_says_where_one_may_stand(path: Path) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open(path)
    assert caught.value.parameter == "secret_key"
    for hint in ("CRUDJT_SECRET_KEY", "CRUDJT_SECRET_KEY_FILE", "crudjt keygen"):
        assert hint in str(caught.value)
    assert not path.exists()


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe\x00", b"not a key"])
def test_a_key_file_that_is_missing_or_holds_no_key_is_refused(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    monkeypatch.setenv("CRUDJT_SECRET_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open(path)
    assert caught.value.parameter == "secret_key"
    assert "not a key" not in str(caught.value)
    assert not path.exists()


def test_a_key_file_that_is_a_directory_is_refused(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUDJT_SECRET_KEY_FILE", str(tmp_path))
    with pytest.raises(crudjt.InvalidParameter, match="Is a directory"):
        crudjt.open(path)


@pytest.mark.parametrize("bad", [5, 1.5, True, b"bytes", [], ["short"], [None], object()])
def test_a_secret_key_that_is_none_is_refused_by_name(path: Path, bad: Any) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open(path, secret_key=bad)
    assert caught.value.parameter == "secret_key"
    assert not path.exists()


def test_a_key_that_never_wrote_the_store_is_warned_of(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Most often it is a mistake: every session seems to be gone."""
    first, second = keys(2)
    with caplog.at_level(logging.WARNING, "crudjt"):
        for ring in (first, first, [first, second], second):
            with crudjt.open(path, secret_key=ring) as store:
                store.create({})
        assert caplog.messages == []
        other = keys(1)[0]
        for _ in range(2):
            with crudjt.open(path, secret_key=other) as store:
                assert not [*store.sessions("alice")]
                assert store.read("A" * 22) is None
                assert not store.delete("A" * 22)
    assert len(caplog.messages) == 2
    assert str(path) in caplog.messages[0]
    assert "its sessions are not found" in caplog.messages[0]


def test_a_directory_without_a_store_is_refused_where_none_is_to_be_made(path: Path, secret_key: str) -> None:
    with pytest.raises(crudjt.StoreInaccessible, match="there is no store here"):
        crudjt.open(path, secret_key=secret_key, create=False)
    assert not path.exists()
    path.mkdir()
    with pytest.raises(crudjt.StoreInaccessible, match="there is no store here"):
        crudjt.open(path, secret_key=secret_key, create=False)
    assert not [*path.iterdir()]
    crudjt.open(path, secret_key=secret_key).close()
    crudjt.open(path, secret_key=secret_key, create=False).close()


@pytest.mark.parametrize("content", ["manage.py", "log/access.log", ".git"])
def test_a_directory_that_holds_something_else_is_refused(path: Path, secret_key: str, content: str) -> None:
    (path / content).parent.mkdir(parents=True)
    (path / content).touch()
    (path / "other").touch()
    before = sorted(path.rglob("*"))
    with pytest.raises(crudjt.StoreInaccessible, match="holds something else"):
        crudjt.open(path, secret_key=secret_key)
    assert sorted(path.rglob("*")) == before


def test_the_root_of_a_file_system_is_an_empty_directory(path: Path, secret_key: str) -> None:
    (path / "lost+found").mkdir(parents=True)
    crudjt.open(path, secret_key=secret_key).close()


@pytest.mark.parametrize("name", ["manifest", "lock", "control", "view/data.mdb"])
def test_a_file_that_is_a_fifo_is_refused_at_once(path: Path, secret_key: str, name: str) -> None:
    crudjt.open(path, secret_key=secret_key).close()
    (path / name).unlink()
    os.mkfifo(path / name)
    with pytest.raises(crudjt.StoreInaccessible, match="no regular file"):
        crudjt.open(path, secret_key=secret_key)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604])
def test_a_key_file_that_others_may_use_is_warned_of(
    path: Path, tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "key").write_text(keys(1)[0])
    (tmp_path / "key").chmod(mode)
    monkeypatch.setenv("CRUDJT_SECRET_KEY_FILE", str(tmp_path / "key"))
    with caplog.at_level(logging.WARNING, "crudjt"):
        crudjt.open(path).close()
    assert [f"mode {mode:04o}" in message for message in caplog.messages] == [True] * (mode != 0o600)


def test_a_key_file_in_the_store_is_refused(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crudjt.open(path, secret_key=keys(1)[0]).close()
    (path / "key").write_text(keys(1)[0])
    (tmp_path / "link").symlink_to(path / "key")
    for name in (path / "key", tmp_path / "link"):
        monkeypatch.setenv("CRUDJT_SECRET_KEY_FILE", str(name))
        with pytest.raises(crudjt.InvalidParameter, match="lies in the store"):
            crudjt.open(path)


@pytest.mark.root
def test_a_key_file_may_be_a_link_unless_another_user_made_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes mounts secrets as links of root."""
    (tmp_path / "key").write_text(keys(1)[0])
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "link").symlink_to("key")
    monkeypatch.setenv("CRUDJT_SECRET_KEY_FILE", str(tmp_path / "link"))
    crudjt.open(path).close()
    os.chown(tmp_path / "link", NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(crudjt.InvalidParameter, match="is a link"):
        crudjt.open(path)


# The location


def test_the_location_that_is_given_comes_first(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret_key: str
) -> None:
    monkeypatch.setenv("CRUDJT_PATH", str(tmp_path / "variable"))
    crudjt.open(path, secret_key=secret_key).close()
    assert path.is_dir()
    assert not (tmp_path / "variable").exists()


def test_the_variable_comes_before_the_system_location(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret_key: str
) -> None:
    monkeypatch.setattr(opening, "SYSTEM_LOCATION", tmp_path / "system")
    monkeypatch.setenv("CRUDJT_PATH", str(tmp_path / "variable"))
    crudjt.open(secret_key=secret_key).close()
    assert (tmp_path / "variable").is_dir()
    assert not (tmp_path / "system").exists()


@pytest.mark.parametrize("exists", [True, False])
def test_the_system_location_comes_before_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret_key: str, exists: bool
) -> None:
    monkeypatch.setattr(opening, "SYSTEM_LOCATION", tmp_path / "system")
    if exists:
        (tmp_path / "system").mkdir()
    crudjt.open(secret_key=secret_key).close()
    assert (tmp_path / "system" / "manifest").exists()
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("variable", [None, ""])
def test_the_working_directory_is_the_last_resort(
    monkeypatch: pytest.MonkeyPatch, secret_key: str, variable: str | None
) -> None:
    if variable is not None:
        monkeypatch.setenv("CRUDJT_PATH", variable)
    crudjt.open(secret_key=secret_key).close()
    assert [each.name for each in Path.cwd().iterdir()] == ["store_jt"]


def test_the_system_location_is_that_of_the_original_engine() -> None:
    """Read from the source: every test of this module replaces the attribute."""
    assert 'SYSTEM_LOCATION = Path("/var/lib/store_jt")' in Path(opening.__file__).read_text()


def test_a_relative_location_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret_key: str
) -> None:
    started = Path.cwd()
    with crudjt.open("here", secret_key=secret_key) as store:
        monkeypatch.chdir(tmp_path)
        token = store.create({})
        store.backup(tmp_path / "copy")
    assert opens(started / "here", secret_key, token)


def test_missing_parents_of_the_location_are_made(path: Path, secret_key: str) -> None:
    crudjt.open(path / "a" / "b", secret_key=secret_key).close()
    assert (path / "a" / "b" / "manifest").exists()


def test_a_directory_that_another_process_makes_meanwhile_is_used(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worker processes that start together find no directory, and all make it."""
    mkdir = Path.mkdir

    def late(directory: Path, *arguments: Any, **options: Any) -> None:
        if directory == path and not path.exists():
            mkdir(path, 0o700)
        mkdir(directory, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", late)
    crudjt.open(path, secret_key=secret_key).close()
    assert (path / "manifest").exists()


def test_a_location_may_be_text_or_a_path(path: Path, secret_key: str) -> None:
    with crudjt.open(str(path), secret_key=secret_key) as one, crudjt.open(path, secret_key=secret_key) as other:
        assert other.read(one.create({})) is not None


def test_one_directory_under_two_names_is_one_store(tmp_path: Path, path: Path, secret_key: str) -> None:
    """LMDB must not open a file twice in one process."""
    path.mkdir()
    link = tmp_path / "link"
    link.symlink_to(path)
    with (
        crudjt.open(path, secret_key=secret_key) as one,
        crudjt.open(link, secret_key=secret_key) as other,
        crudjt.open(path / ".." / path.name, secret_key=secret_key) as third,
    ):
        token = one.create({})
        assert other.read(token) is not None
        assert third.delete(token)
        assert one.read(token) is None


@pytest.mark.parametrize("bad", ["", 5, 1.5, True, b"bytes", [], object(), "null\x00byte"])
def test_a_location_that_is_no_path_is_refused_by_name(bad: Any, secret_key: str) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open(bad, secret_key=secret_key)
    assert caught.value.parameter == "location"


def test_a_store_is_for_its_owner_alone(path: Path, secret_key: str) -> None:
    before = os.umask(0)
    try:
        with crudjt.open(path, secret_key=secret_key) as store:
            store.create({})
            modes = {
                str(each.relative_to(path)): stat.S_IMODE(each.stat().st_mode) for each in [path, *path.rglob("*")]
            }
    finally:
        os.umask(before)
    assert len(modes) > 6
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


# Places that cannot hold a store


def test_a_path_that_is_a_file_is_inaccessible_and_stays_as_it_is(path: Path, secret_key: str) -> None:
    path.write_text("precious")
    for location in (path, path / "inside"):
        with pytest.raises(crudjt.StoreInaccessible) as caught:
            crudjt.open(location, secret_key=secret_key)
        assert caught.value.path == location
        assert "file" in str(caught.value)
    assert path.read_text() == "precious"


def test_a_dangling_link_is_inaccessible(path: Path, secret_key: str) -> None:
    path.symlink_to(path.parent / "nowhere")
    with pytest.raises(crudjt.StoreInaccessible):
        crudjt.open(path, secret_key=secret_key)


def test_a_name_that_is_too_long_is_a_store_error(path: Path, secret_key: str) -> None:
    path.mkdir()
    with pytest.raises(crudjt.StoreError):
        crudjt.open(path / ("x" * 300), secret_key=secret_key)


def as_another_user(action: Callable[[], object]) -> str:
    """Run `action` in a child without root's power over permissions; return the name of the error that it raised."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "nothing"
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            action()
        except crudjt.CrudjtError as error:
            answer = type(error).__name__
        except BaseException:  # noqa: BLE001 - told to the parent, whose test fails with it
            answer = traceback.format_exc()
        finally:
            os.write(writing, answer.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that every user can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="crudjt-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory
        for each in (directory, *directory.rglob("*")):
            if each.is_dir():
                each.chmod(0o755)


def test_another_user_can_be_played(open_to_all: Path) -> None:
    """Else the tests below would prove nothing."""
    open_to_all.chmod(0o555)
    assert "PermissionError" in as_another_user((open_to_all / "made").mkdir)


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o555])
def test_a_directory_without_permission_is_inaccessible(open_to_all: Path, secret_key: str, mode: int) -> None:
    place = open_to_all / "place"
    place.mkdir()
    place.chmod(mode)
    for location in (place, place / "inside"):
        answer = as_another_user(partial(crudjt.open, location, secret_key=secret_key))
        assert answer == "StoreInaccessible"


def test_a_store_of_another_user_is_inaccessible(open_to_all: Path, secret_key: str) -> None:
    if os.geteuid() == 0:
        crudjt.open(open_to_all / "store", secret_key=secret_key).close()
    else:  # nobody to be but ourselves: what another user would meet
        (open_to_all / "store").mkdir(mode=0)
    answer = as_another_user(lambda: crudjt.open(open_to_all / "store", secret_key=secret_key))
    assert answer == "StoreInaccessible"


def test_an_unwritable_system_location_gives_way_to_the_working_directory(
    open_to_all: Path, monkeypatch: pytest.MonkeyPatch, secret_key: str
) -> None:
    """Also where it may not even be searched."""
    system, working = open_to_all / "system", open_to_all / "working"
    system.mkdir()
    working.mkdir()
    working.chmod(0o777)
    monkeypatch.chdir(working)
    for mode in (0o555, 0o000):
        system.chmod(mode)
        for location in (system, system / "inside"):
            monkeypatch.setattr(opening, "SYSTEM_LOCATION", location)
            assert as_another_user(lambda: crudjt.open(secret_key=secret_key).close()) == "nothing"
            assert (working / "store_jt" / "manifest").exists()


def test_a_key_file_without_permission_is_refused_by_name(
    open_to_all: Path, monkeypatch: pytest.MonkeyPatch, secret_key: str
) -> None:
    (open_to_all / "key").write_text(secret_key)
    (open_to_all / "key").chmod(0)
    monkeypatch.setenv("CRUDJT_SECRET_KEY_FILE", str(open_to_all / "key"))
    assert as_another_user(lambda: crudjt.open(open_to_all / "store")) == "InvalidParameter"


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "fuse.sshfs"])
def test_a_network_file_system_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, secret_key: str, kind: str
) -> None:
    monkeypatch.setattr(host, "file_system", lambda _path: kind)
    with pytest.raises(crudjt.StoreInaccessible) as caught:
        crudjt.open(path, secret_key=secret_key)
    assert f"network file system ({kind})" in str(caught.value)
    assert "gRPC" in str(caught.value)


@pytest.mark.parametrize("kind", ["btrfs", "zfs", "overlay", ""])
def test_file_systems_that_cannot_allocate_ahead_work_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch, secret_key: str, kind: str
) -> None:
    monkeypatch.setattr(host, "file_system", lambda _path: kind)
    with crudjt.open(path, secret_key=secret_key) as store:
        tokens = store.create_many([{"n": number} for number in range(100)])
        assert all(store.read(token) for token in tokens)
    assert opens(path, secret_key, tokens[0])


def test_the_file_system_of_a_directory_is_known(tmp_path: Path) -> None:
    assert host.file_system(tmp_path) in {
        line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()
    }


@pytest.mark.parametrize("name", [b"M\xfcnchen", b"\xe2\x80\xa8", b"\x0c", b"\r", b"\x85", b"\xc2\xa0"])
def test_it_is_known_whatever_other_file_systems_are_mounted_as(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes
) -> None:
    """The name of a mount point may be no UTF-8, and hold any byte but those that the kernel escapes."""
    known, file = host.file_system(tmp_path), tmp_path / "mountinfo"
    other = b"99 1 0:999 / /media/" + name + b"/x rw - vfat /dev/sdb1 rw\n"
    file.write_bytes(other + linux._MOUNTS.read_bytes() + other)
    monkeypatch.setattr(linux, "_MOUNTS", file)
    assert host.file_system(tmp_path) == known


def test_a_failed_opening_leaves_nothing_open(path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(host, "file_system", lambda _path: "nfs")
        with pytest.raises(crudjt.StoreInaccessible):
            crudjt.open(path, secret_key=secret_key)
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.read(store.create({})) is not None
