"""The distribution: its name wherever it is installed from, and what the wheel does with the core dependencies only."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT, texts

INSTALLATION_SECONDS = 240

REQUIREMENT = re.compile(r"(?<![\w./-])crudjt(?=\[\w|[=<>~!]=|@)")
INSTALLED = re.compile(r"\bpip3? install [^\n`]*?(?<![\w./-])crudjt(?![\w-])")
WITH_EXTRAS = re.compile(r"\bcrudjt-store\[([\w, -]+)\]")
ORIGINAL = {  # these install or describe the original engine, whose distribution is named crudjt
    "benchmarks/peers/catalogue.py",
    "docs/decisions.md",
    "tests/original/conftest.py",
}

# What needs an extra, as a statement, and the extra.
WITHOUT_EXTRAS = {
    "crudjt.open('grpc://127.0.0.1:1')": "grpc",
    "crudjt.open('unix:///socket')": "grpc",
    "import crudjt.aio; crudjt.aio.open('grpcs://127.0.0.1:1')": "grpc",
    "crudjt.CRUDJT.Config.start_master(secret_key=crudjt.generate_secret_key(), store_jt_path='master')": "grpc",
    "crudjt.CRUDJT.Config.connect_to_master()": "grpc",
    "import crudjt.server": "grpc",
    "import crudjt.server.server": "grpc",
    "import crudjt.metrics": "metrics",
    "import crudjt.admin": "admin",
    "import crudjt.contrib.django": "django",
    "import crudjt.contrib.back_channel_logout": "oidc",
    "import crudjt.contrib.dpop": "dpop",
    "import crudjt.contrib.fastapi": "fastapi",
    "import crudjt.contrib.fastapi_dpop": "fastapi",
    "import crudjt.contrib.fastapi_tokens": "fastapi",
    "import crudjt.contrib.flask": "flask",
    "import crudjt.contrib.litestar": "litestar",
    "import crudjt.contrib.opentelemetry": "otel",
    "import crudjt.contrib.rest_framework": "rest-framework",
    "import crudjt.contrib.starlette": "starlette",
}
PYTEST = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments", "exceptiongroup", "tomli")


def line_of(extra: str) -> str:
    """Return the command that a message must have."""
    return f"install it with: pip install 'crudjt-store[{extra}]'"


def test_no_file_installs_the_original_engine_by_mistake() -> None:
    found = [
        f"{name}: {hit[0]}"
        for name, text in texts()
        if name not in ORIGINAL and name != "tests/project/test_distribution.py"
        for pattern in (REQUIREMENT, INSTALLED)
        for hit in pattern.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    "wrong", ["pip install crudjt", "pip install -q 'crudjt[django]'", "crudjt>=2", "crudjt[grpc]"]
)
def test_a_wrong_name_is_noticed(wrong: str) -> None:
    assert REQUIREMENT.search(wrong) or INSTALLED.search(wrong)


@pytest.mark.parametrize(
    "right", ["pip install 'crudjt-store[grpc]'", "pip install '/srv/crudjt[grpc]'", "pip uninstall crudjt"]
)
def test_a_right_name_is_not_refused(right: str) -> None:
    assert not REQUIREMENT.search(right)
    assert not INSTALLED.search(right)


def test_every_extra_that_a_file_names_exists() -> None:
    section = (
        (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    )
    extras = set(re.findall(r"^([\w-]+) = \[", section, re.MULTILINE))
    named = {extra.strip() for _, text in texts() for group in WITH_EXTRAS.findall(text) for extra in group.split(",")}
    assert {"grpc", "metrics", "django", "flask", "starlette", "fastapi", "litestar"} <= named <= extras


def run(*command: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command that may find nothing of this checkout."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd)},
        capture_output=True,
        text=True,
        check=check,
        timeout=INSTALLATION_SECONDS,
    )


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that holds the wheel and the core dependencies, and nothing else."""
    place = tmp_path_factory.mktemp("core")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", place, ROOT], check=True, timeout=INSTALLATION_SECONDS)
    (wheel,) = place.glob("crudjt_store-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "venv"], check=True)
    python = place / "venv" / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", wheel], check=True, timeout=INSTALLATION_SECONDS)
    return python.parent


@pytest.mark.slow
@pytest.mark.timeout(2 * INSTALLATION_SECONDS)
def test_the_readme_of_the_package_has_no_link_into_the_repository(core: Path, tmp_path: Path) -> None:
    code = "from importlib.metadata import metadata; print(metadata('crudjt-store').get_payload())"
    readme = run(core / "python", "-c", code, cwd=tmp_path).stdout
    assert readme.startswith("# ")
    assert re.findall(r"\]\((?!https?://)[^)]*\)", readme) == []
    assert "![" not in readme


@pytest.mark.slow
@pytest.mark.timeout(2 * INSTALLATION_SECONDS)
def test_the_core_alone_keeps_sessions_in_a_directory(core: Path, tmp_path: Path) -> None:
    code = (
        "import crudjt, crudjt.aio, crudjt.testing\n"
        "with crudjt.open('sessions', secret_key=crudjt.generate_secret_key()) as store:\n"
        "    print(store.read(store.create({'user_id': 42})).data)\n"
    )
    assert run(core / "python", "-c", code, cwd=tmp_path).stdout == "{'user_id': 42}\n"
    installed = run(core / "python", "-c", "import grpc", cwd=tmp_path, check=False)
    assert "ModuleNotFoundError" in installed.stderr


@pytest.mark.slow
@pytest.mark.timeout(2 * INSTALLATION_SECONDS)
def test_the_core_alone_has_the_shell_command(core: Path, tmp_path: Path) -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert run(core / "crudjt", "--version", cwd=tmp_path).stdout == f"crudjt {version[1]}\n"
    token = run(core / "crudjt", "--store", "sessions", "create", '{"user_id": 42}', cwd=tmp_path).stdout.strip()
    assert run(core / "crudjt", "--store", "sessions", "read", token, cwd=tmp_path).stdout == '{"user_id":42}\n'
    assert "serve" in run(core / "crudjt", "--help", cwd=tmp_path).stdout


@pytest.mark.slow
@pytest.mark.timeout(2 * INSTALLATION_SECONDS)
@pytest.mark.parametrize(("statement", "extra"), WITHOUT_EXTRAS.items())
def test_what_lacks_an_extra_says_how_to_install_it(core: Path, tmp_path: Path, statement: str, extra: str) -> None:
    code = f"import crudjt\ntry:\n    {statement}\nexcept crudjt.MissingDependency as error:\n    print(error)"
    done = run(core / "python", "-c", code, cwd=tmp_path)
    assert done.stdout.strip().endswith(line_of(extra))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(2 * INSTALLATION_SECONDS)
@pytest.mark.parametrize("command", [["serve"], ["health"], ["--store", "grpc://127.0.0.1:1", "stats"]], ids=" ".join)
def test_a_command_that_lacks_an_extra_says_how_to_install_it(core: Path, tmp_path: Path, command: list[str]) -> None:
    done = run(core / "crudjt", *command, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"Error: gRPC is not installed; {line_of('grpc')}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(2 * INSTALLATION_SECONDS)
def test_pytest_finds_the_fixtures_where_nothing_else_is_installed(core: Path, tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    for name in PYTEST:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            place = Path(spec.origin)
            place = place.parent if place.name == "__init__.py" else place
            (aside / place.name).symlink_to(place)
    (tmp_path / "test_it.py").write_text(
        "def test_it(crudjt_store, crudjt_clock):\n    crudjt_store.create({}, ttl=60)\n"
    )
    code = f"import sys; sys.path.append({str(aside)!r}); import pytest; sys.exit(pytest.main(['-q', 'test_it.py']))"
    done = run(core / "python", "-c", code, cwd=tmp_path, check=False)
    assert "1 passed" in done.stdout, done.stderr
