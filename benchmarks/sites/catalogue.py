"""Which sessions are compared in which framework, without importing any."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version

NONE = "none"
OURS = "crudjt"
SIGNED_COOKIE = "own cookie"
REDIS = "Redis"

SESSIONS = (NONE, OURS, SIGNED_COOKIE, REDIS)


@dataclass(frozen=True)
class Framework:
    """A framework, and who keeps its sessions in Redis.

    Attributes:
        name: in tables.
        opens: the function that makes the application, as ``module:function``.
        asynchronous: whether that is an ASGI application, else WSGI.
        redis: what people use to keep sessions in Redis.
        packages: whose versions are part of the result.

    """

    name: str
    opens: str
    asynchronous: bool
    redis: str
    packages: tuple[str, ...]

    def column(self, sessions: str) -> str:
        """Return the heading of a column."""
        return f"{self.redis} on Redis" if sessions == REDIS else sessions


FRAMEWORKS = (
    Framework(
        "Django",
        "benchmarks.sites.django_site:open_site",
        asynchronous=False,
        redis="cache backend",
        packages=("Django",),
    ),
    Framework(
        "Flask",
        "benchmarks.sites.flask_site:open_site",
        asynchronous=False,
        redis="Flask-Session",
        packages=("Flask", "Flask-Session"),
    ),
    Framework(
        "Starlette",
        "benchmarks.sites.starlette_site:open_starlette",
        asynchronous=True,
        redis="starsessions",
        packages=("starlette", "starsessions"),
    ),
    Framework(
        "FastAPI",
        "benchmarks.sites.starlette_site:open_fastapi",
        asynchronous=True,
        redis="starsessions",
        packages=("fastapi",),
    ),
    Framework(
        "Litestar",
        "benchmarks.sites.litestar_site:open_site",
        asynchronous=True,
        redis="server-side sessions",
        packages=("litestar",),
    ),
)

COMMON = ("redis", "hiredis", "itsdangerous", "gunicorn", "uvicorn")
"""Packages that all of them use."""


def versions_of(frameworks: Iterable[Framework]) -> str:
    """Return the versions of the packages that the comparison of some frameworks rests on."""
    packages = dict.fromkeys(package for each in frameworks for package in (*each.packages, *COMMON))
    return ", ".join(f"{package} {version(package)}" for package in packages)
