"""What runs the server elsewhere - image, units, manifests, workflows - says the same in all its places."""

import json
import re

import pytest

from tests.support.documents import blocks
from tests.support.project import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
MANIFESTS = [path.read_text() for path in sorted((ROOT / "deploy" / "kubernetes").iterdir())]
WORKFLOWS = [path.read_text() for path in sorted((ROOT / ".github" / "workflows").iterdir())]


@pytest.mark.parametrize(("page", "unit"), [("server", "crudjt"), ("deployment", "application")])
def test_the_unit_of_the_documents_is_the_one_in_the_repository(page: str, unit: str) -> None:
    (shown,) = blocks((ROOT / "docs" / f"{page}.md").read_text(), "ini")
    assert shown == (ROOT / "deploy" / "systemd" / f"{unit}.service").read_text()


def test_each_way_to_deploy_names_what_runs_it() -> None:
    rows = re.findall(
        r"^\| .* \| `((?:tests|docs)/[\w/.]+)` \|$", (ROOT / "docs" / "deployment.md").read_text(), re.MULTILINE
    )
    assert len(rows) > 6
    assert [row for row in rows if not (ROOT / row).exists()] == []


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_pod_runs_as_the_user_of_the_image_and_asks_for_health_as_the_image_does(manifest: str) -> None:
    user = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    check = re.search(r"^HEALTHCHECK .*\n +CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert user
    assert check
    assert f"runAsUser: {user[1]}\n        runAsGroup: {user[2]}\n        fsGroup: {user[2]}" in manifest
    probes = re.findall(r"exec: \{command: \[(.*)\]\}", manifest)
    assert probes
    for probe in probes:
        assert [part.strip('"') for part in probe.split(", ")] == json.loads(check[1])


IN_GATE = {"lint", "types"}


def test_the_workflows_call_the_gate_and_every_session_of_nox_but_those_of_one_python() -> None:
    text = "\n".join(WORKFLOWS)
    assert "- run: bash .ci/run\n" in text
    called = {name for line in re.findall(r"nox -s (.*)", text) for name in line.split()} - {"deploy)."}
    sessions = set(re.findall(r"^@nox.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text(), re.MULTILINE))
    assert called == (sessions - {"tests", "container", "lock", "oldest_frameworks", *IN_GATE}) | {"oldest"}


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_each_action_is_pinned_to_a_commit_and_its_version_is_named(workflow: str) -> None:
    used = re.findall(r"uses: (.*)", workflow)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
