"""The list of licences: it is what its tool makes of the installed packages, and has no licence that binds users."""

import re
import sys

import pytest

from tests.support.project import ROOT
from tools import list_licences

PERMISSIVE = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MIT-0", "OLDAP-2.8", "PSF-2.0"}
EXCEPTIONS = {"certifi": "MPL-2.0"}  # as the page says


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="other interpreters need other packages")
def test_the_list_of_licences_is_what_the_tool_makes() -> None:
    assert list_licences.PAGE.read_text() == list_licences.page()


def test_no_dependency_has_a_licence_that_binds_its_users() -> None:
    rows = re.findall(r"^\| ([\w-]+) \|.* ([\w. -]+) \|$", list_licences.PAGE.read_text(), re.MULTILINE)
    licences = {package: set(re.split(" AND | OR ", licence)) for package, licence in rows if licence[0] != "-"}
    del licences["package"]
    assert len(licences) > 20
    unknown = {package: each - PERMISSIVE for package, each in licences.items() if each - PERMISSIVE}
    assert unknown == {package: {licence} for package, licence in EXCEPTIONS.items()}


def test_a_package_without_a_known_licence_stops_the_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_licences, "SPDX", {})
    with pytest.raises(LookupError, match="blinker states no licence"):
        list_licences.licence_of("blinker")


def test_every_requirement_of_pyproject_is_in_the_list() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    core = text.partition("dependencies = [\n")[2].partition("]\n\n")[0]
    extras = text.partition("[project.optional-dependencies]\n")[2].partition("\n[dependency-groups]")[0]
    named = set(re.findall(r'"([a-z0-9-]+)(?:\[\w+\])?>=', core + extras))
    assert len(named) > 10
    assert named == {requirement.name for requirement, _ in list_licences.direct()}
