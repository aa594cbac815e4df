"""The order of the modules: each imports only lower ones, and each dependency has one home."""

import ast
import sys
from pathlib import Path

import pytest

import crudjt

ROOT = Path(crudjt.__file__).parent

# Lowest first. `crudjt.engine` itself is a docstring.
LAYERS = [
    "errors",
    "clock",
    "bites",
    "options",
    "limits",
    "randomness",
    "xaes",
    "packing",
    "tokens",
    "keyring",
    "records",
    "engine",
    "engine.files",
    "engine.control",
    "engine.log",
    "engine.mapped",
    "engine.manifest",
    "engine.view",
    "engine.reading",
    "engine.live_log",
    "engine.engine",
    "engine.cache",
    "engine.recovery",
    "engine.opening",
    "engine.maintenance",
    "engine.caretaker",
    "engine.registry",
    "engine.salvage",
    "engine.contents",
    "engine.standstill",
    "engine.moment",
    "engine.doctor",
    "engine.repair",
    "finding",
    "sessions",
    "stats",
    "store",
    "proto",
    "proto.token_pb2",
    "proto.v1",
    "proto.v1.store_pb2",
    "original",
    "wire",
    "parts",
    "locations",
    "batching",
    "connection",
    "calls",
    "copies",
    "remote",
    "server",
    "server.method",
    "server.token_service",
    "server.store_service",
    "server.batch",
    "server.dispatch",
    "server.addresses",
    "server.access",
    "server.binding",
    "server.crew",
    "server.health",
    "server.serving",
    "server.logs",
    "server.metrics",
    "opening",
    "aio.store",
    "aio.remote",
    "aio",
    "server.worker",
    "server.supervisor",
    "token_client",
    "compat",
    "testing",
    "cli.values",
    "cli.parameters",
    "cli.keys",
    "cli.group",
    "cli.results",
    "cli.running",
    "cli.serve",
    "cli.commands",
    "cli",
    "__main__",
    "__init__",
    "contrib",
    "contrib._merge",
    "contrib._asgi",
    "contrib._cookie",
    "contrib.starlette",
    "contrib.fastapi",
    "contrib.litestar",
    "contrib._saving",
    "contrib._settings",
    "contrib.django._store",
    "contrib.django._backend",
    "contrib.django._users",
    "contrib.django",
    "contrib.django.checks",
    "contrib.django.apps",
    "contrib.django.management",
    "contrib.django.management.commands",
    "contrib.django.management.commands.crudjt_sessions",
    "contrib.flask",
]

PUBLIC = {"__init__", "aio", "testing"}

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}

HOMES = {
    "lmdb": "engine.view",
    "click": "cli",
    "prometheus_client": "server.metrics",
    "django": "contrib.django",
    "flask": "contrib.flask",
    "starlette": "contrib.starlette",
    "fastapi": "contrib.fastapi",
    "litestar": "contrib.litestar",
}


def imports(module: str) -> set[str]:
    """Return the full names of what a module imports, at its top or within a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own(name: str) -> str | None:
    """Return the module of crudjt that an imported name lies in."""
    parts = name.split(".")
    if parts[0] != "crudjt":
        return None
    for end in range(len(parts), 1, -1):
        module = ".".join(parts[1:end])
        if module in MODULES and module != "engine":
            return module
    return "engine" if parts[1:2] == ["engine"] else "__init__"


def adapter(module: str) -> str:
    """Return which adapter a module belongs to; what the adapters share is `contrib` itself."""
    name = module.split(".")[1] if "." in module else "_"
    return "contrib" if name.startswith("_") else f"contrib.{name}"


def test_every_module_has_its_layer() -> None:
    assert MODULES.keys() - set(LAYERS) == set()
    assert len(LAYERS) == len(set(LAYERS))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_lower_ones(module: str) -> None:
    layer = LAYERS.index(module)
    too_high = {lower for lower in map(own, imports(module)) if lower is not None and LAYERS.index(lower) >= layer}
    assert too_high == set()


@pytest.mark.parametrize("package", HOMES)
def test_each_dependency_has_one_home(package: str) -> None:
    importers = {module for module in MODULES if any(name.split(".")[0] == package for name in imports(module))}
    home = HOMES[package]
    assert {module for module in importers if module != home and not module.startswith(f"{home}.")} == set()


def test_the_engine_knows_no_face_of_the_store() -> None:
    """No command line, no network, no framework, nor anything else but these."""
    allowed = {"crudjt", "lmdb", "msgspec", *sys.stdlib_module_names}
    for module in MODULES:
        if module.startswith("engine"):
            assert {name.split(".")[0] for name in imports(module)} <= allowed


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("contrib")])
def test_an_adapter_knows_the_public_face_and_no_other_adapter(module: str) -> None:
    for lower in filter(None, map(own, imports(module))):
        assert lower in PUBLIC or adapter(lower) in {"contrib", adapter(module)}


@pytest.mark.parametrize("module", MODULES)
def test_no_import_is_optional(module: str) -> None:
    """One in a try block would hide what an installation really needs."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Try):
            assert not any(isinstance(each, ast.Import | ast.ImportFrom) for each in node.body)
