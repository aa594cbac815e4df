"""The documents: every Python block runs, returns what its comments say, and names what exists."""

import ast
import operator
import re
import subprocess
import sys
from pathlib import Path

import pytest

import crudjt
import crudjt.aio
import crudjt.contrib
import crudjt.server
import crudjt.testing
from crudjt.cli import main
from tests.support.documents import blocks
from tests.support.project import ROOT

README = "README.md"
PAGES = [README, *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "src" / "crudjt").rglob("*.py"))
SECONDS = 120


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def has_code(name: str) -> bool:
    """Tell whether a page has code that runs in one namespace; a tutorial's is in files, which another test writes."""
    if name.startswith("docs/tutorial/"):
        return False
    text = text_of(name)
    return bool(blocks(text)) or (name.endswith(".py") and ">>> " in text)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == README else pytest.mark.slow)
        for name in (*PAGES, *MODULES)
        if has_code(name)
    ],
)
def test_the_python_blocks_run_in_order_and_return_what_they_say(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.support.documents", name],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) > (10 if name == README else -1)


def test_no_page_has_python_that_does_not_run() -> None:
    """A block of another language is not run, so these are the only ones."""
    languages = {language for name in PAGES for language in re.findall(r"^ *```(\w+)$", text_of(name), re.MULTILINE)}
    assert languages <= {"python", "sh", "console", "ini", "hex", "text", "toml"}


def test_the_names_that_the_readme_mentions_exist() -> None:
    text = text_of(README)
    code = "\n".join([*blocks(text), *re.findall(r"`([^`\n]+)`", text)])
    missing = {name for name in re.findall(r"\bcrudjt\.([A-Za-z]\w*)", code) if not hasattr(crudjt, name)}
    missing |= {name for name in re.findall(r"\bstore\.(\w+)\(", code) if not hasattr(crudjt.Store, name)}
    for names in re.findall(r"\bCRUDJT\.([\w.]+)\(", code):
        operator.attrgetter(names)(crudjt.CRUDJT)
    assert missing == set()


def test_the_first_block_of_the_readme_takes_eight_lines() -> None:
    assert len(blocks(text_of(README))[0].splitlines()) <= 8


def test_the_shell_commands_that_the_readme_mentions_exist() -> None:
    consoles = "\n".join(blocks(text_of(README), "console"))
    mentioned = re.findall(r"^\$ crudjt (?:--\S+ \S+ )*([a-z-]+)", consoles, re.MULTILINE)
    mentioned += re.findall(r"`crudjt ([a-z-]+)", text_of(README))
    assert len(mentioned) > 5
    assert set(mentioned) - main.commands.keys() == set()


def test_every_python_block_is_python() -> None:
    for name in PAGES:
        for block in blocks(text_of(name)):
            compile(block, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
