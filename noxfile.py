"""What needs other environments than `.ci/run`, which is the gate: other Pythons, frameworks, containers, the package.

`nox --list` shows the sessions; `nox -s NAME` runs one. Each makes environments of its own, under `.nox`.
"""

import os
import re
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["oldest", "fastapi", "django", "package", "deploy"]

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)  # those of the classifiers
NOT_SLOW = ("-q", "-n", "2", "--dist", "worksteal", "-m", "not slow")
# Old versions warn of newer dependencies.
OLD = ("-q", "-n", "2", "-p", "no:cacheprovider", "-o", "filterwarnings=default")
PINNED = ("--require-hashes", "-r")
WEB_TESTS = (
    *("gunicorn", "httpx", "httpx2", "hypothesis", "jinja2", "playwright", "pytest", "pytest-timeout", "pytest-xdist"),
    *("trio", "uvicorn", "websockets"),
    *("authlib", "cachelib", "flask-login", "flask-session", "pyjwt[crypto]", "redis", "starsessions"),
    *("opentelemetry-instrumentation-grpc", "opentelemetry-sdk"),
)


def lowest(requirements: list[str]) -> list[str]:
    """Return the oldest versions that requirements allow."""
    pinned = (re.match(r"([a-z0-9-]+(?:\[[a-z,]+\])?)>=([0-9.]+)", each) for each in requirements)
    return [f"{found[1]}=={found[2]}" for found in pinned if found]


def oldest(extra: str) -> list[str]:
    """Return the oldest versions that an extra allows."""
    return lowest(PROJECT["project"]["optional-dependencies"][extra])


def install_tests(session: nox.Session) -> None:
    """Install crudjt and what its tests need."""
    session.install(*PINNED, "requirements/test.txt")
    session.install("--no-deps", "-e", ".")


@nox.session
def lock(session: nox.Session) -> None:
    """Write requirements/, for all Pythons and systems; `-- --upgrade` takes newer versions."""
    session.install("uv>=0.9")
    compile_all = ["uv", "pip", "compile", "-q", "--universal", "--python-version", "3.10", "--generate-hashes"]
    compile_all += ["--no-annotate", "--custom-compile-command", "nox -s lock", "--no-emit-package", "crudjt-store"]
    checkout = Path(session.create_tmp(), "checkout.in")
    checkout.write_text(f"-e {Path.cwd()}\n")  # for the extras that the groups name
    files = {"test": ["test"], "docs": ["docs"], "checks": ["lint", "release", "tools"], "server": ["server"]}
    for name, groups in files.items():
        named = [part for group in groups for part in ("--group", group)]
        same = [] if name == "test" else ["-c", "requirements/test.txt"]
        target = ["-o", f"requirements/{name}.txt"]
        session.run(*compile_all, str(checkout), *named, *same, *target, *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the fast part of the tests, or what is named, on every Python that the classifiers name."""
    install_tests(session)
    session.run("python", "-m", "pytest", *(session.posargs or NOT_SLOW))


@nox.session
def dependencies(session: nox.Session) -> None:
    """Run the contract with the oldest versions of what a store needs."""
    core = lowest(PROJECT["project"]["dependencies"])
    servers = [*oldest("grpc"), *oldest("valkey")]
    session.install("-e", ".[grpc,valkey]", "hypothesis", "pytest", "pytest-timeout", "pytest-xdist", *core, *servers)
    session.run("python", "-m", "pytest", *OLD, "tests/contract", "-k", "embedded and not model")


@nox.session
def portable(session: nox.Session) -> None:
    """Run the contract and the processes as on macOS, over an LMDB that is compiled with the locks of macOS."""
    session.install(*PINNED, "requirements/test.txt")
    session.install("--no-deps", "-e", ".")
    compiled = ("--force-reinstall", "--no-deps", "--no-cache-dir", "--no-binary", "lmdb", "lmdb")
    session.install(*compiled, env={"CFLAGS": "-DMDB_USE_POSIX_SEM=1"})
    tests = ["tests/contract", "tests/concurrency/test_races.py", "tests/durability/test_writer_guard.py"]
    chosen = session.posargs or [*tests, "-k", "(embedded and not model) or races or guard"]
    places = [str(Path("tests", "support", "portable").resolve()), str(Path("src").resolve())]
    session.run("python", "-m", "pytest", "-q", "-n", "2", *chosen, env={"PYTHONPATH": os.pathsep.join(places)})


@nox.session(name="oldest")
def oldest_frameworks(session: nox.Session) -> None:
    """Run the tests of the adapters with the oldest frameworks that are allowed."""
    frameworks = [
        each for extra in ("dpop", "flask", "litestar", "rest-framework", "starlette") for each in oldest(extra)
    ]
    session.install("-e", ".[grpc,valkey]", *WEB_TESTS, "fastapi", *frameworks)
    newer = "not allauth and not channels"  # recipe and example of packages that need a newer Django
    session.run("python", "-m", "pytest", *OLD, "tests/frameworks", "-k", newer)


@nox.session
def fastapi(session: nox.Session) -> None:
    """Run the tests of FastAPI with the oldest that is allowed, which needs another Starlette."""
    session.install("-e", ".[grpc,valkey]", *WEB_TESTS, *oldest("dpop"), *oldest("fastapi"))
    own = [f"tests/frameworks/test_fastapi{part}.py" for part in ("", "_dpop", "_tokens")]
    session.run("python", "-m", "pytest", *OLD, *own)


@nox.session
def django(session: nox.Session) -> None:
    """Run the tests of Django with the one that gets fixes longest."""
    session.install("-e", ".[grpc,valkey]", *WEB_TESTS, "django==5.2.*", "djangorestframework", "joserfc")
    session.run("python", "-m", "pytest", *OLD, "tests/frameworks/django")


@nox.session
def upstream(session: nox.Session) -> None:
    """Run the tests of other projects with our sessions."""
    install_tests(session)
    session.run("python", "-m", "tests.upstream", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site with no more than its host installs."""
    session.install(*PINNED, "requirements/docs.txt")
    session.run("mkdocs", "build", "--strict", "--site-dir", str(Path(session.create_tmp(), "site")))


@nox.session(python=False)
def container(session: nox.Session) -> None:
    """Build the image and run it; `-- --debootstrap` makes the base of Debian's packages."""
    session.run("bash", "tools/test-container", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Build both files of a release and check them, then install the wheel and use it without the checkout."""
    session.install(*PINNED, "requirements/checks.txt")
    place = Path(session.create_tmp())
    session.run("bash", "tools/check-package", str(place / "dist"), external=True)
    (wheel,) = map(str, (place / "dist").glob("*.whl"))
    session.install("--force-reinstall", wheel)
    session.chdir(place)
    session.run("crudjt", "--version")
    code = "import crudjt, tempfile as t; s = crudjt.open(t.mkdtemp(), secret_key=crudjt.generate_secret_key())"
    session.run("python", "-c", f"{code}; print(s.read(s.create({{'user': 7}})).data)")


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style of all code, and which modules import which, as `.ci/run` does."""
    session.install(*PINNED, "requirements/checks.txt")
    session.install("--no-deps", "-e", ".")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-logo")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of all code, as `.ci/run` does."""
    install_tests(session)
    session.install(*PINNED, "requirements/checks.txt")
    session.run("bash", "tools/check-types", "python", external=True)


@nox.session
def deploy(session: nox.Session) -> None:
    """Check the units, the manifests, the compose file and the workflows."""
    session.install(*PINNED, "requirements/checks.txt")
    session.run("bash", "tools/check-deploy", external=True)
