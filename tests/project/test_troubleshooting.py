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

FAILURES = {"StoreBusy", "StoreFailed", "StoreFull", "StoreInaccessible", "StoreMoved", "StoreUnavailable"}
OTHERS = {"RuntimeError", "ImproperlyConfigured", "error", "warning", "warn"}  # their first argument is the message
ELSEWHERE = {"server/executor.py": "a fault of ours", "server/handlers.py": "clients get another message"}


@cache
def modules() -> dict[Path, ast.Module]:
    return {source.relative_to(SOURCES): ast.parse(source.read_text()) for source in SOURCES.rglob("*.py")}


def texts(node: ast.AST) -> Iterator[str]:
    """Yield the texts of a tree, with a gap where a value is put into one."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield re.sub(r"%[a-z]|%\.\df", GAP, node.value)
    else:
        for child in ast.iter_child_nodes(node):
            yield from texts(child)


def messages(call: ast.Call) -> Iterator[str]:
    """Yield the messages of a call that makes an error, or a record of the log."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    arguments = call.args[1:] if name in FAILURES else call.args[:1] if name in OTHERS else []
    for argument in arguments:
        yield from (text for text in texts(argument) if any(len(part) >= LEAST for part in text.split(GAP)))


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


def test_each_failure_is_on_the_page() -> None:
    known = [part for message in quoted() for part in parts(message)]
    missing = [
        f"{source}: {message}"
        for source, module in modules().items()
        if source.as_posix() not in ELSEWHERE
        for call in ast.walk(module)
        if isinstance(call, ast.Call)
        for message in messages(call)
        if not any(part in message for part in known)
    ]
    assert missing == []
