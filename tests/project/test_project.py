"""The files around the code: what they say of each other holds, and nothing ties them to one machine."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.documents import blocks
from tests.support.project import ROOT, texts

CI = ROOT / ".ci" / "run"

# Home directories but that of the documents' Alice, scratch directories, and whatever a package comes from. Put
# together here, so that this file does not name them.
ONE_MACHINE = re.compile(
    "|".join(
        [
            "/" + r"home/(?!alice)\w+",
            "/" + r"root/",
            "/" + r"work/",
            "/" + r"tmp/wt",
            r"pypi\." + "org",
            r"pythonhosted\." + "org",
            r"npmjs\." + "(?:org|com)",
            r"deb\." + r"debian\.org",
            r"proxy\.golang\." + "org",
        ]
    )
)


def test_ci_runs_the_tests_as_the_readme_does() -> None:
    commands = re.findall(r"^```sh\n(.*tools/test.*)\n```$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 1
    assert commands[0] in CI.read_text().splitlines()


@pytest.mark.parametrize("script", [CI, ROOT / "tools" / "test"], ids=["CI", "tests"])
def test_a_script_is_strict_and_can_be_run(script: Path) -> None:
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_ci_checks_what_contributing_says() -> None:
    (check,) = [block for block in blocks((ROOT / "CONTRIBUTING.md").read_text(), "sh") if "ruff check" in block]
    assert set(re.split(r" && |\n", check.strip())) <= set(CI.read_text().splitlines())


def test_no_file_names_a_place_of_one_machine_or_a_registry() -> None:
    found = [f"{name}: {hit[0]}" for name, text in texts() for hit in ONE_MACHINE.finditer(text)]
    assert found == []


def test_the_documents_link_to_what_exists() -> None:
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_contributing_has_every_layer_of_imports_from_the_highest_to_the_lowest() -> None:
    layers = re.search(r"^layers = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert layers
    expected = [set(line.split(" | ")) for line in re.findall(r'"(.*?)"', layers[1])]
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("| part | what it holds |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert [{re.sub(r"/$|\.py$", "", part) for part in re.findall(r"`([^`]+)`", row)} for row in rows] == expected


def test_the_package_shows_few_entries() -> None:
    """So that a reader can take them in at a glance. Directories that Git has left empty of source do not count."""
    given = {"__init__.py", "__main__.py", "py.typed"}
    paths = (ROOT / "src" / "crudjt").iterdir()
    entries = {path.name for path in paths if path.is_file() or any(path.glob("*.py"))} - given
    assert len(entries) <= 18, sorted(entries)
