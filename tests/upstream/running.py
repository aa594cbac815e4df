"""Download the source of a project, and run its tests."""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import crudjt
from tests.upstream.projects import Project

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crudjt-upstream"
ENGINES = Path(__file__).parent / "engines"
PATIENCE = 900

_FAILED = re.compile(r"^(?:FAILED|ERROR) ([^\s(]\S*)|^(?:FAIL|ERROR): \S+ \((\S+)\)$", re.MULTILINE)
_PASSED = re.compile(r"(\d+) passed|Ran (\d+) tests")


class Outcome(NamedTuple):
    """What a run has shown."""

    passed: int
    failed: set[str]
    output: str


class Unavailable(Exception):
    """A package cannot be downloaded."""


def run(project: Project) -> Outcome:
    """Run the tests of a project.

    Raises:
        Unavailable: its source, or what its tests import, cannot be downloaded.

    """
    source = _source(project)
    with tempfile.TemporaryDirectory() as scratch:
        paths = [str(ENGINES), *_required(project), *filter(None, sys.path), str(source)]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONWARNINGS": "",
            "CRUDJT_STORE": f"{scratch}/store",
            "CRUDJT_SECRET_KEY": crudjt.generate_secret_key(),
            "TMPDIR": scratch,
        }
        ended = subprocess.run(
            [sys.executable, *project.command],
            cwd=source / project.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    output = ended.stdout + ended.stderr
    failed = {first or second for first, second in _FAILED.findall(output)}
    ran = [int(passed or ran) for passed, ran in _PASSED.findall(output)]
    return Outcome(ran[-1] if ran else 0, failed, output)


def _source(project: Project) -> Path:
    """Return the unpacked source of a project."""
    number = project.version or version(project.package)
    place = CACHE / f"{project.package}-{number}"
    if not place.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            _pip("download", "--no-deps", "--no-binary", ":all:", "-d", scratch, f"{project.package}=={number}")
            [archive] = Path(scratch).glob("*.tar.gz")
            with tarfile.open(archive) as packed:
                packed.extractall(scratch, filter="data")
            [unpacked] = [each for each in Path(scratch).iterdir() if each.is_dir()]
            unpacked.rename(place)
    return place


def _required(project: Project) -> list[str]:
    """Return where the packages are that the tests of a project import."""
    if not project.requires:
        return []
    place = CACHE / f"{project.package}-{project.version}-requires"
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            kept = f"django=={version('django')}"
            _pip("install", "--target", f"{scratch}/all", kept, *project.requires)
            Path(scratch, "all").rename(place)
    return [str(place)]


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if ended.returncode != 0:
        raise Unavailable(ended.stderr[-2000:])
