"""Debian's Chromium, and axe, which checks pages for accessibility."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.project import ROOT
from tests.support.waiting import PATIENCE

SCREENSHOTS = ROOT / "build" / "screenshots"  # they stay there, for people to look at
MILLISECONDS = int(PATIENCE * 1000)
_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
_AXE = ROOT / "tests" / "admin" / "browser"
_INSTALLATION_SECONDS = 120
_SERIOUS = {"serious", "critical"}


@contextmanager
def launched() -> Iterator[Browser]:
    """Run a browser beside the block."""
    assert _CHROMIUM, "the tests need Debian's chromium"
    expect.set_options(timeout=MILLISECONDS)
    options = ["--no-sandbox"] if os.geteuid() == 0 else []  # it refuses to run as root with one
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=options)
        yield browser
        browser.close()


def axe_script(directory: Path) -> str:
    """Return the script that checks accessibility, installed into a directory that is made."""
    shutil.copytree(_AXE, directory)
    npm = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--no-update-notifier"]
    subprocess.run(npm, check=True, cwd=directory, timeout=_INSTALLATION_SECONDS, capture_output=True)
    return (directory / "node_modules" / "axe-core" / "axe.min.js").read_text()


def problems(page: Page, axe: str) -> list[str]:
    """Return what axe finds serious on a page."""
    page.evaluate(axe)
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in _SERIOUS]
