"""Each adapter for an asynchronous framework needs that framework, and none of the others."""

import subprocess
import sys

import pytest

OTHERS = {
    "crudjt.contrib.starlette": ["fastapi", "litestar", "django", "flask", "itsdangerous", "grpc"],
    "crudjt.contrib.fastapi": ["litestar", "django", "flask", "itsdangerous", "grpc"],
    "crudjt.contrib.litestar": ["starlette", "fastapi", "django", "flask", "grpc"],
    "crudjt.aio": ["starlette", "fastapi", "litestar", "django", "flask", "grpc"],
}


@pytest.mark.parametrize("module", OTHERS)
def test_an_adapter_imports_nothing_of_the_others(module: str) -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({OTHERS[module]!r})); import {module}"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
