"""Tests share code through ``tests.support`` only, and one module of it reaches into the engine of a store."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import ROOT

pytestmark = pytest.mark.slow  # it reads all tests

TESTS = ROOT / "tests"
ENGINES = TESTS / "upstream" / "engines"  # these run in other projects, whose tests are a package of the same name
INSIDE = TESTS / "support" / "embedded.py"


def imported(module: ast.Module) -> Iterator[str]:
    """Yield the modules of the tests that a module imports."""
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def is_shared(file: Path, name: str) -> bool:
    """Tell whether a file may import a name: of its own directory, or of the support."""
    _, directory, *rest = name.split(".")
    return directory in {"support", file.relative_to(TESTS).parts[0]} and "conftest" not in rest


def test_tests_import_from_their_own_directory_and_from_support_only() -> None:
    found = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in TESTS.rglob("*.py")
        if file.parent != ENGINES
        for name in imported(ast.parse(file.read_text()))
        if name.startswith("tests.") and not is_shared(file, name)
    ]
    assert found == []


def test_one_module_reaches_into_the_engine_of_a_store() -> None:
    found = {
        file
        for file in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "_engine" and file.parent.name != "typing"
    }
    assert found == {INSIDE}
