"""Records of logs keep no more alive than their text."""

import ast

from tests.support.project import ROOT

LEVELS = {"debug", "info", "warning", "error", "critical"}
SOURCE = ROOT / "src" / "crudjt"


def test_no_log_call_is_given_an_exception() -> None:
    """A handler that keeps its records would keep its frames: the engine of a store, the data of a session."""
    found = [
        f"{file.relative_to(SOURCE)}:{call.lineno}"
        for file in SOURCE.rglob("*.py")
        for handler in ast.walk(ast.parse(file.read_text()))
        if isinstance(handler, ast.ExceptHandler) and handler.name
        for call in ast.walk(handler)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in LEVELS
        for argument in call.args
        if isinstance(argument, ast.Name) and argument.id == handler.name
    ]
    assert found == []
