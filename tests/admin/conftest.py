"""The page over a store, a client that is signed in, and the audit log."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

import crudjt
from tests.admin.page import Page, signed_in


@pytest.fixture
def page(store: crudjt.Store) -> Page:
    return Page(store)


@pytest.fixture
def client(page: Page) -> Iterator[TestClient]:
    yield from signed_in(page)


@pytest.fixture
def audited(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the records of the audit log, to which later ones are added."""
    found: list[dict[str, Any]] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(vars(record)["audit"])

    caplog.set_level(logging.INFO, "crudjt.audit")
    logger, handler = logging.getLogger("crudjt.audit"), Handler()
    logger.addHandler(handler)
    return found
