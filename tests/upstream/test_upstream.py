"""The tests of other projects pass with our sessions, but for those that are named with a reason."""

import pytest

from tests.upstream.projects import PROJECTS
from tests.upstream.running import run


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name, project in PROJECTS.items() if project.short])
def test_the_tests_of_a_project_differ_only_as_it_is_written_down(name: str) -> None:
    project = PROJECTS[name]
    outcome = run(project)
    assert outcome.failed == project.differences.keys(), outcome.output[-10_000:]
    assert outcome.passed >= project.least, outcome.output[-10_000:]
