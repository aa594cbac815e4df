"""Runs the Python blocks of a document in order, in one namespace: ``python -m tests.support.documents PAGE``.

It runs in the working directory, which must be empty, and prints how many results it compared with what a comment says.
Blocks may be coroutines at their top level, as on a page about asyncio. A block that begins with ``# settings.py`` is
one of a Django project, which then serves a request.
"""

import ast
import asyncio
import doctest
import inspect
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import crudjt
from tests.support.ports import free_port
from tests.support.project import ROOT

SITE = "/var/lib/app"  # where the documents keep the files of an application
PORT = "50051"
SERVED = {"docs/remote.md", "docs/server.md"}  # these show clients of a server that runs
CLUSTER = "valkeys+cluster://cache-1.example.org:6379,cache-2.example.org:6379"  # runs here while a page shows it
SETTINGS = "# settings.py"

_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str = "python") -> list[str]:
    """Return the fenced blocks of one language, in order."""
    return [textwrap.dedent(block).strip() + "\n" for _, found, block in _BLOCK.findall(text) if found == language]


def section(name: str, heading: str) -> str:
    """Return the section of a page whose heading begins so, up to the next of its level; the name is as for `main`."""
    _, found, rest = (ROOT / name).read_text().partition(f"\n## {heading}")
    assert found, f"{name} has no section {heading!r}"
    return rest.partition("\n## ")[0]


def claim(line: str) -> list[Any]:
    """Return the result that a line says its expression has, if it ends with a comment that is a literal."""
    _, _, comment = line.partition("  # ")
    try:
        return [ast.literal_eval(comment)]
    except (SyntaxError, ValueError):
        return []


class Page:
    """A namespace, an event loop, and a count of the results that were compared."""

    def __init__(self, name: str) -> None:
        self.name = name
        module = sys.modules["page"] = ModuleType("page")  # frameworks look up the names in annotations there
        self.names: dict[str, Any] = vars(module)
        self.compared = 0
        self._loop = asyncio.new_event_loop()

    def run(self, block: str) -> None:
        """Run the statements of a block, and compare results with what comments say."""
        lines = block.splitlines()
        for statement in ast.parse(block).body:
            claimed = claim(lines[(statement.end_lineno or 1) - 1])
            if isinstance(statement, ast.Expr) and claimed:
                result = self._run(ast.Expression(statement.value), "eval")
                assert [result] == claimed, f"{ast.unparse(statement)} is {result!r}, not {claimed[0]!r}"
                self.compared += 1
            else:
                self._run(ast.Module([statement], []), "exec")

    def run_examples(self, docstring: str, name: str) -> None:
        """Run what a docstring shows of an interpreter's session."""
        test = doctest.DocTestParser().get_doctest(docstring, self.names, name, None, None)
        assert doctest.DocTestRunner().run(test).failed == 0
        self.compared += len(test.examples)

    def run_tests(self) -> None:
        """Run the tests that a page shows, and count them as results that were compared; fixtures need pytest."""
        for name in [name for name in self.names if name.startswith("test_")]:
            if not inspect.signature(self.names[name]).parameters:
                self.names[name]()
                self.compared += 1

    def close(self) -> None:
        """Close the stores that blocks have left open, and the event loop."""
        for name in ("store", "sessions"):
            closing = self.names[name].close() if name in self.names else None
            if inspect.isawaitable(closing):
                self._loop.run_until_complete(closing)
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _run(self, tree: ast.Module | ast.Expression, mode: str) -> Any:
        code = compile(ast.fix_missing_locations(tree), self.name, mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, self.names)
        return self._loop.run_until_complete(result) if code.co_flags & inspect.CO_COROUTINE else result


@contextmanager
def served(port: int) -> Iterator[None]:
    """Serve a store of the working directory on a port."""
    from crudjt.server.server import Server  # noqa: PLC0415 - not for pages that need no gRPC

    with crudjt.open("served") as store:
        server = Server(store, [f"127.0.0.1:{port}"])
        server.start()
        yield
        server.stop(0)


@contextmanager
def clustered(text: str) -> Iterator[str]:
    """Run a cluster for a page that shows one, and yield the page with its location."""
    if CLUSTER not in text:
        yield text
        return
    from tests.support.valkey_servers import Cluster, Tls  # noqa: PLC0415 - as above

    tls = Tls.issue(Path.cwd())
    Path("ca.pem").write_bytes(tls.authority.file.read_bytes())
    with Cluster(Path.cwd() / "cluster", tls=tls) as cluster:
        yield text.replace(CLUSTER, cluster.url())


def run_settings(block: str) -> None:
    """Configure Django with a block, and serve a request that begins a session and one that reads it."""
    import django  # noqa: PLC0415 - as above
    from django.conf import settings  # noqa: PLC0415
    from django.http import HttpRequest, HttpResponse  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.urls import path  # noqa: PLC0415

    def visit(request: HttpRequest) -> HttpResponse:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return HttpResponse(str(request.session["visits"]))

    others = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.admin"]
    names: dict[str, Any] = {"os": os, "INSTALLED_APPS": others}
    exec(compile(block, SETTINGS, "exec"), names)
    names["INSTALLED_APPS"] = [
        *others,
        *(app for app in names["INSTALLED_APPS"] if app is not ... and app not in others),
    ]
    settings.configure(
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
        ROOT_URLCONF=(path("", visit),),
        ALLOWED_HOSTS=["testserver"],
        **{name: value for name, value in names.items() if name.isupper()},
    )
    django.setup()
    client = Client()
    assert [client.get("/", secure=True).content for _ in range(2)] == [b"1", b"2"]


def main(name: str) -> int:
    """Run one document, whose name is relative to the project; return how many results were compared."""
    port = free_port()
    text = (ROOT / name).read_text().replace(SITE, str(Path.cwd())).replace(PORT, str(port))
    os.environ |= {"CRUDJT_SECRET_KEY": crudjt.generate_secret_key(), "CRUDJT_STORE": "default"}
    page = Page(name)
    with ExitStack() as stack:
        text = stack.enter_context(clustered(text))
        stack.callback(page.close)
        if name in SERVED:
            stack.enter_context(served(port))
        if name.endswith(".py"):
            module = name.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            page.names |= {name: value for name, value in vars(import_module(module)).items() if name[0] != "_"}
            docstrings = [ast.get_docstring(node) for node in ast.walk(ast.parse(text)) if isinstance(node, DOCUMENTED)]
            for docstring in filter(None, docstrings):
                page.run_examples(docstring, name)
            text = "\n".join(filter(None, docstrings))
        for block in blocks(text):
            if block.startswith(SETTINGS):
                run_settings(block)
            else:
                page.run(block)
        page.run_tests()
        check = CHECKS.get(name)
        if check is not None:
            check(page)
    return page.compared


DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _check_readme(page: Page) -> None:
    """Ask the application of the README who has a session."""
    from fastapi.testclient import TestClient  # noqa: PLC0415 - as above

    store = crudjt.open("sessions")
    token = store.create({"user_id": 42})
    client = TestClient(page.names["app"])
    assert client.get("/me", headers={"Authorization": f"Bearer {token}"}).json() == {"user_id": 42}
    assert client.get("/me").status_code == 401


CHECKS = {"README.md": _check_readme}

if __name__ == "__main__":
    print(main(*sys.argv[1:]))
