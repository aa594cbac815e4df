"""The check of `crudjt doctor`, on request: it reads all files of a store, or all keys in servers."""

from collections.abc import Callable
from typing import TypeAlias

import anyio
import anyio.to_process
from starlette.requests import Request
from starlette.responses import Response

from crudjt._core.report import Report
from crudjt.admin.pages import Pages

Examine: TypeAlias = Callable[[], Report]
"""Checks the store. It is called in another process, and so must be picklable."""


class Check:
    """Runs the check and shows its findings."""

    def __init__(self, examine: Examine, pages: Pages) -> None:
        """Take what checks the store, and what shows the findings."""
        self._examine = examine
        self._pages = pages
        self._one_at_a_time = anyio.Lock()

    async def run(self, request: Request) -> Response:
        """Check the store in a process of its own: one that has LMDB's files open twice loses its locks."""
        async with self._one_at_a_time:
            report = await anyio.to_process.run_sync(self._examine, cancellable=True)
        findings = [(finding.healthy, finding.text) for finding in report.findings]
        return self._pages.show(request, "check", healthy=report.healthy, findings=findings)
