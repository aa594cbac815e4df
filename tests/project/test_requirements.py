"""The pinned requirements: they fit pyproject.toml on every interpreter, and each has its hashes and no address."""

import re
from importlib import metadata

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.project import ROOT

PINNED = {name: (ROOT / "requirements" / f"{name}.txt").read_text() for name in ("test", "docs", "checks", "server")}
PROJECT = (ROOT / "pyproject.toml").read_text()
VERSIONS = ["3.10", "3.12", "3.14"]


def group(name: str) -> list[Requirement]:
    """Return the requirements of a dependency group, with those of the groups that it includes."""
    lines = PROJECT.partition(f"\n{name} = [\n")[2].partition("\n]")[0]
    included = [each for other in re.findall(r'include-group = "(\w+)"', lines) for each in group(other)]
    return [*map(Requirement, re.findall(r'^    "(.+?)",', lines, re.MULTILINE)), *included]


def pins(text: str, version: str) -> dict[str, str]:
    """Return each package with the version that a Python on Linux gets."""
    environment = {name: str(value) for name, value in default_environment().items()}
    environment |= {"python_version": version, "python_full_version": f"{version}.9"}
    lines = [Requirement(line.rstrip(" \\")) for line in re.findall(r"^[a-z].*", text, re.MULTILINE)]
    here = [each for each in lines if each.marker is None or each.marker.evaluate(environment)]
    found = {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in here}
    assert len(found) == len(here), "a package is pinned twice"
    return {str(name): pin for name, pin in found.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_requirement_of_the_project_has_a_pin_that_it_allows(version: str) -> None:
    own = [Requirement(re.split(r"; extra|;? *extra ==", text)[0]) for text in metadata.requires("crudjt-store") or []]
    for name, groups in {"test": ["test"], "docs": ["docs"], "checks": ["lint", "release", "tools"]}.items():
        found = pins(PINNED[name], version)
        wanted = [each for one in groups for each in group(one) if each.name != "crudjt-store"]
        assert len(wanted) > 2
        for each in [*wanted, *(own if name == "test" else [])]:
            if each.marker is None or each.marker.evaluate({"python_version": version}):
                assert each.specifier.contains(found[canonicalize_name(each.name)]), f"{each} on {version}"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_image_gets_all_that_a_server_needs(version: str) -> None:
    found = pins(PINNED["server"], version)
    for text in metadata.requires("crudjt-store") or []:
        needed, _, extra = re.sub(r"[\"' ]", "", text).partition("extra==")
        if extra in {"", "grpc", "metrics", "valkey"}:
            each = Requirement(needed.partition(";")[0])
            assert each.specifier.contains(found[canonicalize_name(each.name)]), f"{each} on {version}"


@pytest.mark.parametrize("version", VERSIONS)
def test_all_can_be_installed_together(version: str) -> None:
    tests, *others = (pins(text, version) for text in PINNED.values())
    for each in others:
        assert {name for name in tests.keys() & each.keys() if tests[name] != each[name]} == set()


@pytest.mark.parametrize("name", PINNED)
def test_each_pin_has_hashes_and_no_address(name: str) -> None:
    blocks = re.findall(r"^[a-z][^\n]*\\\n(?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", PINNED[name], re.MULTILINE)
    assert len(blocks) > 15
    assert "".join(blocks) == re.sub(r"^#.*\n", "", PINNED[name], flags=re.MULTILINE)
    assert "://" not in PINNED[name]
