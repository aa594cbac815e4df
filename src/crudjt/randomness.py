"""Random bytes, drawn from the operating system in pages and handed out in chunks.

A chunk is handed out once: `list.pop` is atomic, so threads never share one, and a forked child drops what it
inherited, so processes never do.
"""

import os

CHUNK_BYTES = 12
_CHUNKS_PER_PAGE = 512

_pool: list[bytes] = []


def random_chunk() -> bytes:
    """Return 12 bytes from the operating system's CSPRNG (OWASP ASVS 5.0, 11.5.1)."""
    try:
        return _pool.pop()
    except IndexError:
        page = os.urandom(CHUNK_BYTES * _CHUNKS_PER_PAGE)
        _pool.extend(page[at : at + CHUNK_BYTES] for at in range(CHUNK_BYTES, len(page), CHUNK_BYTES))
        return page[:CHUNK_BYTES]


os.register_at_fork(after_in_child=_pool.clear)
