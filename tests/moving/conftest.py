"""A store in a directory, opened as the source of a move."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crudjt import opening
from crudjt._backends.embedded.move_source import EmbeddedSource


@pytest.fixture
def open_source(path: Path, secret_key: str) -> Iterator[Callable[..., EmbeddedSource]]:
    """Open the store of the test so that it meets marks."""
    opened: list[EmbeddedSource] = []

    def open_it(**options: object) -> EmbeddedSource:
        given: opening.OpenOptions = {"secret_key": secret_key, **options}  # type: ignore[typeddict-item]
        opened.append(EmbeddedSource(opening.parse(path, given).place))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()
