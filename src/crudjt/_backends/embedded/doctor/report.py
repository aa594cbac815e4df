"""The result of a check: findings about the files of a store."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Finding(NamedTuple):
    """One result of the check; `offset` in bytes, if there is one."""

    healthy: bool
    path: Path
    offset: int | None
    text: str


@dataclass(frozen=True)
class Report:
    """The findings about the files of a store."""

    findings: list[Finding]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.healthy for finding in self.findings)


def size_text(size: int) -> str:
    """Return a number of bytes for a reader, from one MiB on in MiB."""
    return f"{size:,} bytes" if size < 1024**2 else f"{size / 1024**2:,.1f} MiB"
