"""The result of a check: findings about the parts of a store."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

REPAIR = "stop the processes that use the store and run: crudjt doctor --repair"
"""The remedy of most faults in files."""


class Finding(NamedTuple):
    """One result of the check, about a file or a location; `offset` in bytes, if there is one."""

    healthy: bool
    path: Path | str
    offset: int | None
    text: str


class Findings(list[Finding]):
    """Findings in the order in which they were made."""

    def ok(self, path: Path | str, text: str) -> None:
        """Add what is as it should be."""
        self.append(Finding(True, path, None, text))  # noqa: FBT003 - the field is named in the class

    def fault(self, path: Path | str, offset: int | None, text: str) -> None:
        """Add a fault."""
        self.append(Finding(False, path, offset, text))  # noqa: FBT003 - as above


@dataclass(frozen=True)
class Report:
    """The findings about a store."""

    findings: list[Finding]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.healthy for finding in self.findings)


def counted(number: int, name: str, plural: str = "") -> str:
    """Return a number of things for a reader; `plural` is for names that do not just get an s."""
    return f"{number:,} {name if number == 1 else plural or name + 's'}"


def size_text(size: int) -> str:
    """Return a number of bytes for a reader, from one MiB on in MiB."""
    return f"{size:,} bytes" if size < 1024**2 else f"{size / 1024**2:,.1f} MiB"
