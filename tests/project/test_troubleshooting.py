"""The page of messages: each that it quotes is in the code, and each that says what a user has to do is on the page."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.project import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SOURCES = ROOT / "src" / "crudjt"
GAP = "…"
LEAST = 8  # characters of a part of a message that says which it is

# Errors whose remedy is not in the code that raises them, so that the page has to explain them.
EXPLAINED = {"StoreBusy", "StoreFailed", "StoreFull", "StoreMoved"}
ELSEWHERE = {  # what a page of its own explains, or a state that only a fault of ours could make
    "_backends/moving": "docs/moving.md",
    "_backends/valkey/manifest.py": "as above",
    "_backends/embedded/doctor": "docs/operations.md",
    "_backends/grpc/store.py": "a backup",
}


@cache
def modules() -> dict[Path, ast.Module]:
    return {source.relative_to(SOURCES): ast.parse(source.read_text()) for source in SOURCES.rglob("*.py")}


def texts(node: ast.AST) -> Iterator[str]:
    """Yield the texts of a tree, with a gap where a value is put into one, and parts of one text joined."""
    for each in ast.walk(node):
        if isinstance(each, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in each.values)
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield re.sub(r"%[a-z]|%\.\df", GAP, each.value)


def parts(message: str) -> list[str]:
    return [part for part in message.split(GAP) if len(part) >= LEAST] or [message.strip(GAP)]


def quoted() -> list[str]:
    """Return the messages in the first columns of the tables."""
    return re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)


def test_each_message_that_the_page_quotes_is_in_the_code() -> None:
    code = "\n".join(text for module in modules().values() for text in texts(module))
    code = code.lower()  # a check begins its message with a capital letter
    missing = {message: part for message in quoted() for part in parts(message) if part.lower() not in code}
    assert len(quoted()) > 70
    assert missing == {}


def test_each_failure_that_needs_explaining_is_on_the_page() -> None:
    known = [part for message in quoted() for part in parts(message)]
    missing = [
        f"{source}: {message}"
        for source, module in modules().items()
        if not any(source.is_relative_to(Path(place)) for place in ELSEWHERE)
        for call in ast.walk(module)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in EXPLAINED
        for argument in call.args[1:]
        for message in texts(argument)
        if len(message) >= LEAST and not any(part in message for part in known)
    ]
    assert missing == []
