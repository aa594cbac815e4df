"""Two runs of the tests at once do not touch each other's files, and one that was killed leaves nothing for long."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.run_directory import RunDirectory


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_a_run_keeps_its_files_while_others_begin_and_end() -> None:
    first = RunDirectory()
    (first.path / "file").touch()
    second = RunDirectory()
    second.remove()
    RunDirectory().remove()
    assert (first.path / "file").exists()
    assert not second.path.exists()
    first.remove()
    assert not first.path.exists()


def test_what_a_failed_or_killed_run_has_left_is_removed_by_the_next() -> None:
    failed = RunDirectory()
    (failed.path / "file").touch()
    failed.close()  # as the kernel does for a process that is killed
    assert (failed.path / "file").exists()
    RunDirectory().remove()
    assert not failed.path.exists()


@pytest.mark.root
def test_what_a_killed_test_has_mounted_is_unmounted() -> None:
    run = RunDirectory()
    point = run.path / "disk"
    point.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "none", point], check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(mounted.stderr.strip())
    run.remove()
    assert not run.path.exists()
    assert os.fsencode(point) not in Path("/proc/self/mounts").read_bytes()
