"""The documentation site: it builds in strict mode, holds every page, and says of settings and tests what is so."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crudjt.contrib._settings import OPEN, OURS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NOWHERE = "http://127.0.0.1:1"  # a proxy that nobody is
ELSEWHERE = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="?(?:https?:)?//[^">\s]+""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built where nothing can be fetched."""
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", target],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE},
        check=True,
        timeout=240,
    )
    return target


def test_every_page_is_in_the_site_and_its_navigation(site: Path) -> None:
    start = (site / "index.html").read_text()
    for page in DOCS.rglob("*.md"):
        built = page.relative_to(DOCS).with_suffix(".html")
        assert (site / built).exists()
        if built.name != "index.html":
            assert re.search(rf'href="?{re.escape(built.as_posix())}["\s>]', start), f"{built} is not in the navigation"


def test_the_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 5
    for page in pages:
        assert ELSEWHERE.findall(page.read_text()) == [], page.name


def test_the_reference_explains_the_public_face(site: Path) -> None:
    text = (site / "reference" / "store.html").read_text()
    for name in ("open", "Store.rotate", "Store.revoke", "Session.expires_in", "errors.StoreFull", "testing.FakeClock"):
        assert f'id="crudjt.{name}"' in text
    text = (site / "reference" / "asyncio.html").read_text()
    for name in (
        *("aio.open", "aio.AsyncStore.create_many", "contrib.starlette.SessionMiddleware"),
        *(
            "contrib.starlette.BrowserSession.rotate",
            "contrib.fastapi.require_session",
            "contrib.litestar.SessionMiddleware",
        ),
    ):
        assert f'id="crudjt.{name}"' in text
    text = (site / "reference" / "contrib.html").read_text()
    for name in ("django.SessionStore", "django.revoke_user", "flask.Sessions", "flask.revoke_user"):
        assert f'id="crudjt.contrib.{name}"' in text


@pytest.mark.parametrize(
    ("page", "own"), [("django", set[str]()), ("flask", {"CRUDJT_SUBJECT_KEY", "CRUDJT_COOKIE_SECURE"})]
)
def test_the_page_of_a_framework_has_its_settings_and_no_others(page: str, own: set[str]) -> None:
    text = (DOCS / "frameworks" / f"{page}.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `CRUDJT_")]
    settings = {*OPEN, *OURS, *own}
    assert set(re.findall(r"CRUDJT_\w+", " ".join(rows))) == settings
    assert set(re.findall(r"CRUDJT_[A-Z_]+[A-Z]", text)) - settings <= {"CRUDJT_STORE", "CRUDJT_SECRET_KEY_FILE"}


def test_each_test_that_security_names_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (DOCS / "security.md").read_text())
    assert len(named) > 40
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(), f"{file}::{test}"


def test_each_row_of_security_names_a_test_or_says_whose_it_is() -> None:
    rows = [line for line in (DOCS / "security.md").read_text().splitlines() if line.startswith("| ")]
    tables = [row for row in rows if row.count(" | ") == 3 and not row.startswith(("| requirement", "| ---"))]
    assert len(tables) > 40
    assert [row for row in tables if "::test_" not in row] == []
