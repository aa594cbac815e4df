"""Hosts whose kernel does not release the locks of a killed process: a store is refused rather than left to hang."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import crudjt
from crudjt._filesystem import host
from tests.support.project import ROOT

EMULATOR = f"qemu-{os.uname().machine}-static"
REFUSED = "does not release the locks of a process that is killed"


def test_a_store_is_refused_where_locks_are_not_robust(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "has_robust_locks", lambda: False)
    with pytest.raises(crudjt.StoreInaccessible, match=REFUSED):
        crudjt.open(path, secret_key=secret_key)
    assert not path.exists()


def test_this_kernel_has_robust_locks() -> None:
    assert host.has_robust_locks()


@pytest.mark.skipif(shutil.which(EMULATOR) is None, reason=f"needs {EMULATOR} (Debian: qemu-user-static)")
@pytest.mark.slow
def test_a_process_under_qemu_is_refused_with_the_remedy(path: Path, secret_key: str) -> None:
    code = f"import crudjt; crudjt.open({str(path)!r}, secret_key={secret_key!r})"
    done = subprocess.run(
        [EMULATOR, os.path.realpath(sys.executable), "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert REFUSED in done.stderr
    assert "use an image for the processor of this host" in done.stderr
    assert not path.exists()
