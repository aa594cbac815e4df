"""Room in a file by zeros, where the system cannot allocate it otherwise."""

import os
from collections.abc import Callable

_CHUNK = bytes(64 * 1024)


def write_zeros(write: Callable[[int, bytes, int], int], descriptor: int, offset: int, size: int) -> None:
    """Make a file reach to the end of a range. What is in it already stays."""
    end = offset + size
    at = os.fstat(descriptor).st_size
    while at < end:
        at += write(descriptor, _CHUNK[: end - at], at)
