"""The files of the project, for tests of what they say."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def texts() -> Iterator[tuple[str, str]]:
    """Yield name and content of every text file of the project."""
    places = [*ROOT.glob("*.*"), *(ROOT / ".ci").iterdir()]
    for name in ("src", "tests", "docs", "benchmarks", "tools", "examples"):
        places += (ROOT / name).rglob("*")
    for path in places:
        parts = path.relative_to(ROOT).parts
        if path.is_file() and not {"__pycache__", "node_modules", ".git"} & set(parts):
            content = path.read_bytes()
            if b"\0" not in content:
                yield "/".join(parts), content.decode()
