"""Sources and documents are written in plain English."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TEXTS = sorted([*SOURCES, *(ROOT / "src").rglob("*.proto"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])

DATED = re.compile(r"\b(whom|anew|thrice|of\s+late|meanwhile|beforehand|nobody|somebody)\b", re.IGNORECASE)


def docstrings(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


@pytest.mark.parametrize("text", ["It begins\n  of\nlate.", "Whom it serves.", "made anew"])
def test_dated_words_are_found(text: str) -> None:
    assert DATED.search(text)


def test_no_source_and_no_document_has_a_dated_word() -> None:
    found = []
    for path in TEXTS:
        text = path.read_text()
        for match in DATED.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{path.relative_to(ROOT)}:{line}: {match[0]}")
    assert found == []


def test_no_docstring_begins_with_a_question_word() -> None:
    found = [
        f"{source.relative_to(ROOT)}: {docstring.splitlines()[0]}"
        for source in SOURCES
        for docstring in docstrings(source)
        if re.match(r"(what|whom|who)\b", docstring, re.IGNORECASE)
    ]
    assert found == []
