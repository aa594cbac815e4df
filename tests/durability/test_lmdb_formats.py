"""Files of LMDB 1.0, which crudjt does not read: none is made, and those that there are stay as they are."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lmdb
import msgspec
import pytest

import crudjt
from crudjt._backends.embedded.doctor.check import examine
from crudjt._backends.embedded.doctor.lmdb_pages import Tree
from crudjt._backends.embedded.doctor.repair import repair
from crudjt._backends.embedded.engine import lmdb_errors, manifest, view
from crudjt._backends.embedded.engine.lmdb_format import refuse_other_format
from crudjt._filesystem import contents
from tests.support.disks import all_files, bases, data_file
from tests.support.embedded import compact
from tests.support.project import ROOT

NEWER = 1  # for lib_version
SESSIONS = 300


@pytest.fixture
def newer(path: Path, secret_key: str, tmp_path: Path) -> Path:
    """A closed store whose base has the format of LMDB 1.0, and the checksum that the manifest notes."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=3600) as store:
        for number in range(SESSIONS):
            store.create({"n": number})
        assert compact(store)
    (base,) = bases(path)
    other = tmp_path / "other"
    with (
        lmdb.open(str(base), subdir=False, readonly=True, lock=False) as source,
        lmdb.open(str(other), subdir=False, map_size=2**30, lib_version=NEWER) as target,
        source.begin() as reading,
        target.begin(write=True) as writing,
    ):
        for key, value in reading.cursor():
            writing.put(key, value)
    other.replace(base)
    noted = manifest.load(path)
    assert noted.base is not None
    size, sha256 = contents.digest_file(base)
    described = msgspec.structs.replace(noted.base, size=size, sha256=sha256)
    msgspec.structs.replace(noted, base=described).save(path)
    (path / "control").unlink()  # the view is made again from the base
    return path


def test_a_base_in_the_format_of_lmdb_1_is_refused_at_opening(newer: Path, secret_key: str) -> None:
    before = bases(newer)[0].read_bytes()
    for _ in range(2):
        with pytest.raises(crudjt.StoreInaccessible, match=r"written by LMDB 1\.0.* use the crudjt that wrote it"):
            crudjt.open(newer, secret_key=secret_key)
    assert bases(newer)[0].read_bytes() == before


def test_the_doctor_names_the_format_and_does_not_repair_what_is_no_damage(newer: Path) -> None:
    report = examine(newer)
    assert not report.healthy
    (fault,) = (finding.text for finding in report.findings if "base" in finding.text)
    assert "written by LMDB 1.0" in fault
    assert "--repair" not in fault
    before = all_files(newer)
    with pytest.raises(crudjt.StoreInaccessible, match="written by LMDB 1"):
        repair(newer)
    assert all_files(newer) == before


def test_a_repair_gives_no_session_up_that_is_in_a_base_as_it_was_written(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reason is why this version does not find it there."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=3600) as store:
        token = store.create({})
        assert compact(store)
    (path / "control").unlink()
    monkeypatch.setattr(Tree, "leaves", lambda _tree: iter(()))
    before = all_files(path)
    with pytest.raises(crudjt.StoreCorrupt, match="nothing was changed"):
        repair(path)
    assert all_files(path) == before
    monkeypatch.undo()
    assert repair(path).healthy
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.read(token)


def test_a_view_in_the_format_of_lmdb_1_is_refused_as_such(tmp_path: Path) -> None:
    lmdb.open(str(tmp_path), lib_version=NEWER).close()
    with pytest.raises(crudjt.StoreInaccessible, match="written by LMDB 1"):
        view.View(tmp_path, 2**20)


def test_a_file_that_is_missing_or_damaged_is_not_taken_for_another_format(tmp_path: Path) -> None:
    refuse_other_format(tmp_path / "missing")
    (tmp_path / "damaged").write_bytes(bytes(8192))
    refuse_other_format(tmp_path / "damaged")


def test_a_store_has_the_same_format_where_the_environment_asks_for_another(path: Path, secret_key: str) -> None:
    """As a later py-lmdb may do by itself."""
    code = f"""
import crudjt
from tests.support.embedded import compact
with crudjt.open({str(path)!r}, secret_key={secret_key!r}) as store:
    store.create({{}})
    assert compact(store)
"""
    environment = {**os.environ, "LMDB_DEFAULT_LIB_VERSION": str(NEWER)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    for file in (data_file(path), *bases(path)):
        with lmdb.open(str(file), subdir=False, readonly=True, lock=False) as opened:
            assert opened.lib_version()[0] == 0
    assert examine(path).healthy


def test_an_lmdb_without_the_version_that_is_needed_is_refused_with_the_remedy(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was built with the system's LMDB 1.0."""
    missing: Any = 7
    monkeypatch.setattr(view, "LIB_VERSION", missing)
    monkeypatch.setattr(lmdb_errors, "LIB_VERSION", missing)
    with pytest.raises(crudjt.StoreInaccessible, match=r"built without LMDB 0\.9; install the wheel: pip install"):
        crudjt.open(path, secret_key=secret_key)
