"""Tests that stop a process at many places: at some of them always, at more of them with ``-m long``."""

import pytest


def every(step: int, *, long: int) -> pytest.MarkDecorator:
    """Run a test at every so many places, as its argument `step` says: `step`, and `long` in the long form."""
    return pytest.mark.parametrize(
        "step", [pytest.param(step, id="some"), pytest.param(long, id="many", marks=pytest.mark.long)]
    )
