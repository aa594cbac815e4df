"""The projects, how their tests are run, and the tests that differ."""

from collections.abc import Mapping
from dataclasses import dataclass, field

PYTEST = ("-m", "pytest", "-q", "-rfE", "-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:xdist")
DJANGO = ("runtests.py", "--settings=settings_of_django", "--parallel=1")


@dataclass(frozen=True)
class Project:
    """A published package whose tests are run.

    Attributes:
        package: its name; the version is the one that is installed here.
        command: arguments of Python.
        least: how many tests pass at least, so that none are left out unseen.
        directory: of the package, where the command runs.
        version: for a package that is not installed here.
        requires: what else its tests import.
        short: whether it takes less than half a minute.
        differences: tests that fail with our sessions, and why they may.

    """

    package: str
    command: tuple[str, ...]
    least: int
    directory: str = "."
    version: str | None = None
    requires: tuple[str, ...] = ()
    short: bool = False
    differences: Mapping[str, str] = field(default_factory=dict)


PROJECTS = {
    "starlette": Project(
        "starlette",
        (*PYTEST, "-p", "starlette_sessions", "tests/middleware/test_session.py"),
        least=29,
        short=True,
    ),
    "flask": Project(
        "flask",
        (*PYTEST, "-p", "flask_sessions", "tests"),
        least=478,
        short=True,
        differences={
            "tests/test_basic.py::test_session_using_samesite_attribute": "no SameSite means Lax",
            "tests/test_basic.py::test_missing_session": "sessions need no SECRET_KEY",
            "tests/test_basic.py::test_session_secret_key_fallbacks": "nothing is signed with SECRET_KEY",
            "tests/test_testing.py::test_session_transactions_no_null_sessions": "sessions need no SECRET_KEY",
            "tests/test_reqctx.py::test_bad_environ_raises_bad_request": "so it is without us, with a new Werkzeug",
        },
    ),
    "django-sessions": Project(
        "django",
        (*DJANGO, "crudjt_engine", "sessions_tests"),
        least=600,
        directory="tests",
        short=True,
        differences={
            "sessions_tests.tests.SessionMiddlewareTests.test_empty_session_saved": "it looks into Django's own table",
        },
    ),
    "django-auth": Project(
        "django",
        (*DJANGO, "auth_tests"),
        least=800,
        directory="tests",
        differences={
            "auth_tests.test_views.LoginTest.test_session_key_flushed_on_login_after_password_change": (
                "each login gets a new key, also that of the user who is logged in"
            ),
        },
    ),
    "django-axes": Project(
        "django-axes",
        (*PYTEST, "--ds=settings_of_axes", "tests"),
        least=350,
        version="8.3.1",
        requires=("django-axes==8.3.1", "pytest-django", "django-ipware"),
    ),
    "django-allauth": Project(
        "django-allauth",
        (*PYTEST, "--ds=settings_of_allauth", "tests/apps/usersessions", "tests/apps/headless"),
        least=400,
        version="65.21.1",
        requires=(
            "django-allauth[headless,headless-spec,idp-oidc,mfa,openid,saml,socialaccount,steam]==65.21.1",
            "django-ninja",
            "djangorestframework",
            "pytest-asyncio",
            "pytest-django",
        ),
        differences={
            "tests/apps/headless/internal/test_authkit.py::test_purge_request_user_cache": (
                "it logs in after the middleware has answered, when no cookie can be sent"
            ),
            **{
                f"tests/apps/headless/tokens/test_jwttokenstrategy.py::test_access_token_query_counts[{case}-True-2]": (
                    "it counts queries of the database, and sessions need none"
                )
                for case in ("app-url0", "app-/headless/ninja/resource")
            },
        },
    ),
}
