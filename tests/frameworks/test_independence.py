"""An adapter loads its own framework and no other, and the package itself loads none."""

import subprocess
import sys

import pytest

FRAMEWORKS = {"django", "flask", "starlette", "fastapi", "litestar"}


@pytest.mark.parametrize(
    ("module", "own"),
    [
        ("crudjt", set[str]()),
        ("crudjt.aio", set[str]()),
        ("crudjt.contrib.django.apps", {"django"}),
        ("crudjt.contrib.flask", {"flask"}),
        ("crudjt.contrib.starlette", {"starlette"}),
        ("crudjt.contrib.fastapi", {"fastapi", "starlette"}),  # it is built on it
        ("crudjt.contrib.fastapi_dpop", {"fastapi", "starlette"}),
        ("crudjt.contrib.back_channel_logout", set[str]()),
        ("crudjt.contrib.litestar", {"litestar"}),
    ],
)
@pytest.mark.slow
def test_a_module_loads_only_its_own_framework(module: str, own: set[str]) -> None:
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60)
    assert set(done.stdout.split()) & FRAMEWORKS == own
