"""Check that code written as the pages of the frameworks and of backends show it passes mypy in strict mode."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.documents import blocks  # noqa: E402 - this file is run, not imported

OPTIONS = ["--strict", "--config-file=", "--python-version=3.10", "--follow-imports=silent"]


def main() -> int:
    """Return the exit status of mypy."""
    with tempfile.TemporaryDirectory() as directory:
        pages = sorted((ROOT / "docs" / "frameworks").glob("*.md"))
        modules = [Path(directory, f"{page.stem}_page.py") for page in pages]
        for page, module in zip(pages, modules, strict=True):
            module.write_text("\n\n".join(blocks(page.read_text())))
        modules.append(Path(directory, "backends_page.py"))
        modules[-1].write_text(blocks((ROOT / "docs" / "backends.md").read_text())[0])  # the store
        mypy = [sys.executable, "-m", "mypy", *OPTIONS, "--cache-dir", f"{directory}/cache", *map(str, modules)]
        return subprocess.run(mypy, cwd=ROOT / "src", check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
