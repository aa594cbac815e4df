"""The page on other backends: its code makes backends that keep the published contract."""

import re
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import crudjt
from crudjt import _registry
from crudjt.testing import StoreContract

PAGE = Path(__file__).parents[2] / "docs" / "backends.md"
TESTS = [name for name in dir(StoreContract) if name.startswith("test_")]


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret_key: str) -> dict[str, Any]:
    """What the blocks of the page define, with the entry point that it shows."""
    module = ModuleType("our_tenants")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRUDJT_SECRET_KEY", secret_key)
    monkeypatch.setitem(sys.modules, "our_tenants", module)
    [(scheme, value)] = re.findall(r'"crudjt\.backends"\]\n(\w+) = "(\w+)"', PAGE.read_text())
    entry_points = EntryPoints([EntryPoint(scheme, value, _registry.ENTRY_POINTS)])
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: entry_points)
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), vars(module))
    return vars(module)


@pytest.mark.parametrize("backend", ["TestMemory", "TestTenants"])
@pytest.mark.parametrize("test", TESTS)
def test_its_backends_keep_the_contract(names: dict[str, Any], backend: str, test: str) -> None:
    getattr(names[backend](), test)()


def test_its_backend_refuses_what_it_says(names: dict[str, Any]) -> None:
    for location in ("tenant:../other", "tenant:"):
        with pytest.raises(crudjt.InvalidParameter, match="tenant:"):
            crudjt.open(location)
    with pytest.raises(crudjt.InvalidParameter, match="timeout"):
        crudjt.open("tenant:acme", timeout=1)
    assert list(Path.cwd().iterdir()) == []
    assert names
