"""Backups over the network."""

import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.server.services.store import METHODS
from crudjt.testing import FakeClock
from tests.support.remote_server import Serve


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the server keeps its copies for as long as it needs them."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def test_a_backup_opens_as_a_store_with_all_that_was_in_it(
    store: crudjt.Store, remote: crudjt.Store, tmp_path: Path, secret_key: str, clock: FakeClock, temporary: Path
) -> None:
    tokens = store.create_many([{"n": n, "x": bytes(3000)} for n in range(1000)], ttl=60, subject="x")
    remote.backup(tmp_path / "copy")
    later = store.create({})
    assert list(temporary.iterdir()) == []
    with crudjt.open(tmp_path / "copy", secret_key=secret_key, clock=clock) as copy:
        assert [session and session.data["n"] for session in copy.read_many(tokens)] == list(range(1000))
        assert copy.read(later) is None
        assert copy.delete(tokens[0])
    assert store.read(tokens[0]) is not None


def test_a_backup_is_for_its_owner_alone(remote: crudjt.Store, tmp_path: Path) -> None:
    remote.backup(tmp_path / "copy")
    for path in (tmp_path / "copy", *(tmp_path / "copy").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_a_backup_does_not_overwrite(remote: crudjt.Store, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "precious").touch()
    (tmp_path / "file").touch()
    for target in (tmp_path / "copy", tmp_path / "file"):
        with pytest.raises(crudjt.StoreInaccessible) as caught:
            remote.backup(target)
        assert caught.value.path == target
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["precious"]


def test_a_backup_goes_to_an_empty_directory(remote: crudjt.Store, tmp_path: Path, secret_key: str) -> None:
    (tmp_path / "copy").mkdir()
    remote.backup(tmp_path / "copy")
    crudjt.open(tmp_path / "copy", secret_key=secret_key).close()


def test_a_backup_to_where_nothing_can_be_written_says_so(remote: crudjt.Store, tmp_path: Path) -> None:
    with pytest.raises(crudjt.StoreInaccessible) as caught:
        remote.backup(tmp_path / "missing" / "copy")
    assert caught.value.path == tmp_path / "missing" / "copy"


def answering(*steps: pb.BackupResponse) -> dict[str, Any]:
    return {**METHODS, "Backup": METHODS["Backup"]._replace(call=lambda _store, _request: iter(steps))}


@pytest.mark.parametrize("name", ["../evil", "/evil", "base/../../evil", "", ".", "a\0b"])
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_server_cannot_write_outside_the_copy(serve: Serve, tmp_path: Path, kind: str, name: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    step = pb.BackupResponse(file=name) if kind == "file" else pb.BackupResponse(directory=name)
    location = serve(answering(step, pb.BackupResponse(content=b"x")))
    with crudjt.open(location) as remote, pytest.raises(crudjt.StoreInaccessible):
        remote.backup(place / "copy")
    assert list(place.iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_a_backup_that_breaks_off_leaves_nothing(serve: Serve, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()

    def break_off(_store: crudjt.Store, _request: Any) -> Any:
        yield pb.BackupResponse(directory="base")
        yield pb.BackupResponse(file="base/1")
        yield pb.BackupResponse(content=b"x")
        raise crudjt.StoreFailed(Path("there"), "the disk refused")

    location = serve({**METHODS, "Backup": METHODS["Backup"]._replace(call=break_off)})
    with crudjt.open(location) as remote, pytest.raises(crudjt.StoreFailed):
        remote.backup(place / "copy")
    assert list(place.iterdir()) == []


def test_the_server_keeps_no_copy_of_a_backup_that_nobody_finishes(store: crudjt.Store, temporary: Path) -> None:
    """Its files have no name any more when the first byte is sent, so not even a killed server leaves them."""
    steps = METHODS["Backup"].call(store, pb.BackupRequest())
    next(steps)
    assert list(temporary.iterdir()) == []
    steps.close()
