"""Write docs/licences.md: each package that crudjt needs at run time, its range and its licence.

Ranges and licences are those of the installed packages: run it on CPython 3.11, with all extras.
"""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

PAGE = Path(__file__).parents[1] / "docs" / "licences.md"
DISTRIBUTION = "crudjt-store"
# Packages that do not state an SPDX expression state one of these.
SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: MIT License": "MIT",
    "MIT License": "MIT",
}
HEAD = """\
# Licences of dependencies

crudjt has the MIT licence. `tools/list_licences.py` makes this page of the metadata of the packages that the tests
install, on Linux and CPython 3.11. Other interpreters and systems need some small packages more. No licence is copyleft
but that of certifi, MPL-2.0, which covers the files of certifi alone.

## What crudjt needs

| package | versions | needed by | licence |
| --- | --- | --- | --- |
"""
BROUGHT = """
## What these need

| package | licence |
| --- | --- |
"""


def licence_of(package: str) -> str:
    """Return the licence of an installed package as an SPDX expression.

    Raises:
        LookupError: the package states none that is known here.

    """
    found = metadata.metadata(package)
    fields = [*(found.get_all("License-Expression") or []), *(found.get_all("License") or [])]
    stated: list[str] = [str(each).partition("\n")[0] for each in fields]
    stated += [each for each in found.get_all("Classifier") or [] if each.startswith("License ::")]
    for each in stated:
        if each in SPDX or re.fullmatch(r"[\w.-]+( (AND|OR) [\w.-]+)*", each):
            return SPDX.get(each, each)
    raise LookupError(f"{package} states no licence that tools/list_licences.py knows: {stated}")


def direct() -> Iterator[tuple[Requirement, str]]:
    """Yield each requirement of crudjt, and the extra that has it, or "" for the core."""
    for text in metadata.requires(DISTRIBUTION) or []:
        requirement = Requirement(text)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", str(requirement.marker or ""))
        yield requirement, extra[1] if extra else ""


def brought() -> set[NormalizedName]:
    """Return the packages that the requirements of crudjt bring to this interpreter."""
    own = {canonicalize_name(requirement.name) for requirement, _ in direct()}
    waiting = [requirement for requirement, _ in direct()]
    seen = set[str]()
    while waiting:
        parent = waiting.pop()
        for text in metadata.requires(parent.name) or []:
            child = Requirement(text)
            if child.marker and not any(child.marker.evaluate({"extra": each}) for each in ("", *parent.extras)):
                continue
            if str(child) not in seen:
                seen.add(str(child))
                waiting.append(child)
    return {canonicalize_name(Requirement(each).name) for each in seen} - own


def page() -> str:
    """Return the text of docs/licences.md."""
    rows = [
        f"| {each.name} | `{each.specifier}` | {f'`{extra}`' if extra else 'the core'} | {licence_of(each.name)} |"
        for each, extra in direct()
    ]
    others = [f"| {package} | {licence_of(package)} |" for package in sorted(brought())]
    return HEAD + "\n".join(rows) + "\n" + BROUGHT + "\n".join(others) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
