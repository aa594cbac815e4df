"""What the documentation site adds to MkDocs: every page in the navigation, and no link that leaves the site."""

import posixpath
import re
from pathlib import Path
from typing import Any

# In this order where they exist. Whatever else is in docs/ follows.
SECTIONS = {
    "Use": ["index.md", "asyncio.md", "cli.md", "remote.md", "server.md", "original.md"],
    "Frameworks": [
        *("frameworks/django.md", "frameworks/flask.md", "frameworks/starlette.md"),
        *("frameworks/fastapi.md", "frameworks/litestar.md"),
    ],
    "Rely on": ["security.md", "guarantees.md", "format.md", "decisions.md"],
    "Reference": ["reference/store.md", "reference/asyncio.md", "reference/contrib.md"],
}
MORE = "More"

_LINK = re.compile(r"\[([^\]\n]+)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """Make the navigation from the pages that exist."""
    root = Path(config.docs_dir)
    pages = {path.relative_to(root).as_posix() for path in root.rglob("*.md")}
    sections = {title: [page for page in listed if page in pages] for title, listed in SECTIONS.items()}
    sections[MORE] = sorted(pages.difference(*sections.values()))
    config.nav = [{title: listed} for title, listed in sections.items() if listed]
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to files of the repository beside docs/ into their text: the site does not hold these files."""
    here = posixpath.dirname(page.file.src_uri)

    def within(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(here, link[2]))
        return link[1] if target.startswith("../") else link[0]

    return _LINK.sub(within, markdown)
