"""`Budget`: how many bytes of requests the calls of one server may hold together."""

import threading


class Budget:
    """Counts the bytes of requests that calls hold.

    Calls that stream their requests may take half of it together, so that they never keep single requests out.
    """

    def __init__(self, limit: int) -> None:
        """Begin with nothing held; `limit` is in bytes."""
        self._limit = limit
        self._held = 0
        self._lock = threading.Lock()

    def take(self, size: int, *, streamed: bool) -> bool:
        """Count these bytes as held and return True; return False, and count nothing, if that is too much."""
        limit = self._limit // 2 if streamed else self._limit
        with self._lock:
            if self._held + size > limit:
                return False
            self._held += size
            return True

    def release(self, size: int) -> None:
        """Count these bytes as held no longer."""
        with self._lock:
            self._held -= size
