"""Makes a store of every process work as on macOS: ``PYTHONPATH=tests/support/portable:src``.

No writable map, the log written by calls, and the guard of the write lock. What macOS has in its kernel is not here.
"""

from crudjt._filesystem import host

host.PREALLOCATING_FILE_SYSTEMS = frozenset()
host.has_robust_locks = lambda: False
