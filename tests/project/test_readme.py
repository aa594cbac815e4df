"""The README: its Python blocks run in order, and what it says they return is what they return."""

import ast
import operator
import re
from pathlib import Path
from typing import Any

import pytest

import crudjt
import crudjt.aio
import crudjt.contrib
import crudjt.testing
from crudjt.cli import main

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def claim(line: str) -> list[Any]:
    """Return what a line says its expression gives, if it ends with a comment that is a literal."""
    _, _, comment = line.partition("  # ")
    try:
        return [ast.literal_eval(comment)]
    except (SyntaxError, ValueError):
        return []


def test_the_python_blocks_run_in_order_and_return_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    checked = 0
    for block in blocks("python"):
        lines = block.splitlines()
        for statement in ast.parse(block).body:
            claimed = claim(lines[statement.lineno - 1])
            if isinstance(statement, ast.Expr) and claimed:
                result = eval(compile(ast.Expression(statement.value), str(README), "eval"), names)
                assert [result] == claimed, ast.unparse(statement)
                checked += 1
            else:
                exec(compile(ast.Module([statement], []), str(README), "exec"), names)
    assert checked > 10


def test_the_names_it_mentions_exist() -> None:
    text = README.read_text()
    code = "\n".join([*blocks("python"), *blocks("py"), *re.findall(r"`([^`\n]+)`", text)])
    missing = {name for name in re.findall(r"\bcrudjt\.([A-Za-z]\w*)", code) if not hasattr(crudjt, name)}
    missing |= {name for name in re.findall(r"\bstore\.(\w+)\(", code) if not hasattr(crudjt.Store, name)}
    for names in re.findall(r"\bCRUDJT\.([\w.]+)\(", code):
        operator.attrgetter(names)(crudjt.CRUDJT)
    assert missing == set()


def test_the_blocks_that_need_a_server_are_python() -> None:
    for block in blocks("py"):
        compile(block, str(README), "exec")


def test_the_shell_commands_it_mentions_exist() -> None:
    mentioned = re.findall(r"^\$ crudjt (?:--\S+ \S+ )*([a-z-]+)", "\n".join(blocks("console")), re.MULTILINE)
    mentioned += re.findall(r"`crudjt ([a-z-]+)", README.read_text())
    assert len(mentioned) > 5
    assert set(mentioned) - main.commands.keys() == set()
