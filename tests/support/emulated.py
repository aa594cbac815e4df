"""A plugin of pytest for runs under qemu-user: ``-p tests.support.emulated``.

There a store is refused, and 48 GiB of address space are not to be had. A test that kills no process can do without.
"""

import pytest

from crudjt._backends.embedded.engine import opening
from crudjt._filesystem import host


def pytest_configure() -> None:
    """Open stores all the same, and smaller ones. The patches stay for the whole run."""
    patch = pytest.MonkeyPatch()
    patch.setattr(host, "has_robust_locks", lambda: True)
    patch.setattr(opening, "DEFAULT_MAX_SIZE", 256 * 1024**2)
