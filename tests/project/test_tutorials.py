"""The tutorials lead from an empty folder to what they promise, with real servers and a client that keeps cookies."""

from pathlib import Path

import pytest

from tests.support.project import ROOT
from tests.support.tutorial import follow

PAGES = sorted(page.relative_to(ROOT).as_posix() for page in (ROOT / "docs" / "tutorial").glob("*.md"))
USUAL = {"django", "fastapi", "flask"}  # the others run with -m long only: they are like these
LEAST = 6


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow if Path(page).stem in USUAL else pytest.mark.long) for page in PAGES],
)
def test_a_tutorial_leads_to_what_it_promises(page: str, tmp_path: Path) -> None:
    assert follow(page, tmp_path) >= LEAST


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES)
def test_a_tutorial_installs_all_that_it_needs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert follow(page, tmp_path, installs=True) >= LEAST
