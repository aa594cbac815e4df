"""The comparison of sessions in web requests runs: each site answers each row, and each server serves it."""

import pytest

from benchmarks.sites import catalogue
from benchmarks.sites.catalogue import FRAMEWORKS, SESSIONS, Framework, versions_of
from benchmarks.work.web import in_process_turn, served_turn

AT_ONCE = {"Flask", "Starlette"}  # one on WSGI and one on ASGI
ROWS = {"anonymous", "read", "write", "login", "idle"}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("framework", "sessions"),
    [
        # Each framework once, and each kind of sessions.
        pytest.param(
            framework,
            sessions,
            id=f"{framework.name}-{sessions}",
            marks=() if at % len(SESSIONS) == number else pytest.mark.long,
        )
        for at, framework in enumerate(FRAMEWORKS)
        for number, sessions in enumerate(SESSIONS)
    ],
)
def test_every_site_answers_every_row_in_process(framework: Framework, sessions: str) -> None:
    costs = in_process_turn(framework, sessions, 64, 32 if sessions == catalogue.OURS else 1, 0.0)
    assert costs.keys() == ROWS | {f"{row}, processor" for row in ROWS}
    assert min(costs.values()) > 0


@pytest.mark.parametrize(
    "framework",
    [pytest.param(each, id=each.name, marks=() if each.name in AT_ONCE else pytest.mark.long) for each in FRAMEWORKS],
)
def test_every_server_serves_our_sessions(framework: Framework) -> None:
    costs = served_turn(framework, catalogue.OURS, 4, 0.05, 0.0)
    assert {key.partition(" p")[0].partition(",")[0] for key in costs} == ROWS
    assert all(costs[f"{row} p99, ms"] >= costs[f"{row} p50, ms"] > 0 for row in ROWS)


def test_the_versions_of_all_packages_are_known() -> None:
    assert "starsessions" in versions_of(FRAMEWORKS)
