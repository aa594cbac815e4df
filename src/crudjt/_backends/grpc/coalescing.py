"""`Batching`: combine the operations of concurrent threads in one call.

A call costs the client far more than the message in it, and the GIL makes threads pay one after the other. So only a
few calls run at a time. A thread that arrives while they run waits until one ends; then one of the waiting threads
sends the operations of all of them, and distributes the outcomes. If recent calls had several operations, only one call
runs at a time, so that batches grow. A thread that is alone calls at once.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from crudjt._rpc.chunking import MAX_OPERATIONS, PART_BYTES
from crudjt._rpc.proto.v1 import store_pb2 as pb

MAX_CALLS = 3

_LARGE_BATCH = 1.5  # operations in one call
_DECAY = 0.9  # of the recent batch size, for each call
_PAUSE_SECONDS = 0.0001  # after a batch, so that threads that just got an outcome can join the next one
_ENDED = "the call ended without an answer"

# The methods that may be operations of a batch, and their fields in the message `Operation`.
OPERATIONS = {field.name.capitalize(): field.name for field in pb.Operation.DESCRIPTOR.fields}


class Batching:
    """Runs the operations of many threads.

    Args:
        call: makes a call: name of the method, request, time limit in seconds.

    """

    def __init__(self, call: Callable[[str, Any, float], Any]) -> None:
        """Start without running calls."""
        self._call = call
        self._lock = threading.Lock()  # guards all that follows, and the fields of waiting operations
        self._waiting: deque[_Operation] = deque()
        self._running = 0  # running calls; at least one while any thread waits
        self._recent_size = 1.0  # operations in recent calls

    def ask(self, name: str, request: Any, timeout: float) -> Any:
        """Return the response to an operation, or a `Failure`.

        Args:
            name: the method, one of `OPERATIONS`.
            request: the request of the method.
            timeout: limit in seconds.

        Raises:
            TimeoutError: no answer in time.
            InterruptedError: the call that sent the operation ended without any outcome.
            Exception: the error of the call that sent the operation.

        """
        asked = None
        with self._lock:
            if self._running < self._limit():
                self._running += 1
                self._remember(1)
            else:
                asked = _Operation(name, request)
                self._waiting.append(asked)
        if asked is not None:
            return self._answer(asked, timeout)
        try:
            return self._call(name, request, timeout)
        finally:
            self._pass_on()

    def _answer(self, asked: "_Operation", timeout: float) -> Any:
        """Wait for the outcome; send the operations of all waiting threads if it is this thread's turn."""
        latest = time.monotonic() + timeout
        try:
            while asked.outcome is None:
                left = latest - time.monotonic()
                if left <= 0 or not asked.turn.acquire(timeout=left):
                    raise TimeoutError
                if together := asked.together:
                    asked.together = ()
                    self._send(together, latest - time.monotonic())
        finally:
            self._leave(asked)
        if isinstance(asked.outcome, Exception):
            raise asked.outcome
        return asked.outcome

    def _send(self, together: "Sequence[_Operation]", timeout: float) -> None:
        """Send several operations in one call; those without an outcome are the first of the next one."""
        outcomes: Sequence[Any] = [InterruptedError(_ENDED)] * len(together)
        try:
            outcomes = self._outcomes(together, timeout)
        except Exception as error:  # noqa: BLE001 - raised in each thread that asked
            outcomes = [error] * len(together)
        finally:
            with self._lock:
                self._put_back(together[len(outcomes) :])
            for asked, outcome in zip(together, outcomes, strict=False):
                asked.outcome = outcome
                asked.turn.release()
            if len(together) > 1:
                time.sleep(_PAUSE_SECONDS)
            self._pass_on()

    def _outcomes(self, together: "Sequence[_Operation]", timeout: float) -> list[Any]:
        if len(together) == 1:
            return [self._call(together[0].name, together[0].request, timeout)]
        operations = [pb.Operation(**{OPERATIONS[asked.name]: asked.request}) for asked in together]
        response = self._call("Batch", pb.BatchRequest(operations=operations), timeout)
        outcomes = [
            outcome.failure if outcome.HasField("failure") else getattr(outcome, OPERATIONS[asked.name])
            for asked, outcome in zip(together, response.outcomes, strict=False)
        ]
        if not outcomes:
            raise InterruptedError(_ENDED)
        return outcomes

    def _limit(self) -> int:
        return 1 if self._recent_size > _LARGE_BATCH else MAX_CALLS

    def _remember(self, operations: int) -> None:
        self._recent_size = max(operations, self._recent_size * _DECAY)

    def _pass_on(self) -> None:
        """End a call, and give the waiting operations to one of their threads."""
        with self._lock:
            together: list[_Operation] = []
            size = 0
            while self._running <= self._limit() and self._waiting and len(together) < MAX_OPERATIONS:
                size += self._waiting[0].size
                if together and size > PART_BYTES:
                    break
                together.append(self._waiting.popleft())
            if not together:
                self._running -= 1
                return
            self._remember(len(together))
            sender = together[-1]  # the last one has the most time left
            sender.together = together
        sender.turn.release()

    def _leave(self, asked: "_Operation") -> None:
        """Stop waiting; put back operations that this thread was to send, and give them to another thread."""
        with self._lock:
            together, asked.together = asked.together, ()
            asked.left = True
            self._put_back(together)
            if asked in self._waiting:
                self._waiting.remove(asked)
        if together:
            self._pass_on()

    def _put_back(self, unsent: "Sequence[_Operation]") -> None:
        self._waiting.extendleft(asked for asked in reversed(unsent) if not asked.left)


class _Operation:
    """An operation that a thread waits for.

    Attributes:
        turn: released when the thread has an outcome to take or operations to send.
        together: the operations that it must send.
        outcome: the response, a `Failure`, or an error.
        left: whether the thread has stopped waiting.

    """

    def __init__(self, name: str, request: Any) -> None:
        self.name = name
        self.request = request
        self.size: int = request.ByteSize()
        self.turn = threading.Lock()
        self.turn.acquire()
        self.left = False
        self.together: Sequence[_Operation] = ()
        self.outcome: Any = None
