"""The page of each framework: its Python runs from top to bottom, and the tests that it shows pass."""

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

from tests.support.django_project import urlpatterns
from tests.support.documents import blocks
from tests.support.project import ROOT

PAGES = ["django", "fastapi", "flask", "litestar", "starlette"]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_of_a_framework_runs(
    page: str, tmp_path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert urlpatterns  # Django is set up
    monkeypatch.setenv("CRUDJT_SECRET_KEY", secret_key)
    text = (ROOT / "docs" / "frameworks" / f"{page}.md").read_text().replace("/var/lib/app", str(tmp_path))
    names: dict[str, Any] = {"__name__": page}
    for block in blocks(text):
        exec(compile(block, page, "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert tests or page == "django"
    for test in tests:
        test()
    for opened in ("store", "sessions"):
        if opened in names:
            closing = names[opened].close()
            if inspect.isawaitable(closing):
                asyncio.run(_wait(closing))


async def _wait(closing: Any) -> None:
    await closing
