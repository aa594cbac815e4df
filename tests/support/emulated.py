"""A plugin of pytest for runs under qemu-user: ``-p tests.support.emulated``.

There 48 GiB of address space are not to be had.
"""

import pytest

from crudjt._backends.embedded.engine import opening


def pytest_configure() -> None:
    """Make smaller stores. The patch stays for the whole run."""
    patch = pytest.MonkeyPatch()
    patch.setattr(opening, "DEFAULT_MAX_SIZE", 256 * 1024**2)
