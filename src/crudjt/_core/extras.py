"""Optional dependencies: the packages that each extra of the distribution brings."""

from importlib.util import find_spec
from typing import Literal, NamedTuple

from crudjt.errors import MissingDependency

Extra = Literal[
    "grpc",
    "metrics",
    "django",
    "dpop",
    "fastapi",
    "flask",
    "litestar",
    "rest-framework",
    "starlette",
    "valkey",
    "admin",
    "otel",
    "oidc",
]


class _Requirement(NamedTuple):
    name: str
    modules: tuple[str, ...]


_REQUIREMENTS: dict[Extra, _Requirement] = {
    "grpc": _Requirement("gRPC", ("grpc", "google.protobuf", "grpc_health", "grpc_reflection")),
    "metrics": _Requirement("prometheus-client", ("prometheus_client",)),
    "django": _Requirement("Django", ("django",)),
    "dpop": _Requirement("joserfc", ("joserfc",)),
    "fastapi": _Requirement("FastAPI", ("fastapi",)),
    "flask": _Requirement("Flask", ("flask",)),
    "litestar": _Requirement("Litestar", ("litestar",)),
    "rest-framework": _Requirement("Django REST framework", ("django", "rest_framework")),
    "starlette": _Requirement("Starlette", ("starlette",)),
    "valkey": _Requirement("valkey-py", ("valkey", "libvalkey")),
    "otel": _Requirement("OpenTelemetry's API", ("opentelemetry.metrics",)),
    "oidc": _Requirement("PyJWT", ("jwt",)),
    "admin": _Requirement("Starlette with Jinja2 and uvicorn", ("anyio", "jinja2", "starlette", "uvicorn")),
}


def require_extra(extra: Extra) -> None:
    """Check that the packages of an extra are installed. Call this before importing a module that needs them.

    It looks for the packages and does not import them, so a package that is damaged raises its own error later.

    Raises:
        MissingDependency: at least one is not installed.

    """
    name, modules = _REQUIREMENTS[extra]
    if not all(map(_is_installed, modules)):
        raise MissingDependency(name, extra)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is missing
        return False
