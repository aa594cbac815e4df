"""`Batching`: what threads ask while calls of others are under way goes out together, in one call.

A call costs the client far more than the message in it, and the threads of a process pay one after the other. So only
a few calls are under way at a time. A thread that comes meanwhile waits until one of them ends; then one of those who
wait sends what all of them ask, and hands out the outcomes. Where that has been more than one operation of late, one
call at a time is made, so that much goes with it. A thread that comes alone calls by itself, at once.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from crudjt._rpc.chunking import (
    MAX_OPERATIONS,
    PART_BYTES,
)
from crudjt._rpc.proto.v1 import store_pb2 as pb

UNDER_WAY = 3

_LARGE_BATCH = 1.5  # operations in one call
_DECAY = 0.9  # of the recent batch size, for each call
_PAUSE_SECONDS = 0.0001  # after a batch, in which those who have just got their outcomes may ask for more
_ENDED = "the call ended without an answer"

# The methods of the service that may be operations of a batch, and what they are named there.
OPERATIONS = {field.name.capitalize(): field.name for field in pb.Operation.DESCRIPTOR.fields}


class Batching:
    """Carries out operations of many threads.

    Args:
        call: makes a call: name of the method, request, seconds that it may take.

    """

    def __init__(self, call: Callable[[str, Any, float], Any]) -> None:
        """Begin with nothing under way."""
        self._call = call
        self._lock = threading.Lock()  # of all that follows, and of who sends what
        self._waiting: deque[_Asked] = deque()
        self._under_way = 0  # calls; at least one while anybody waits
        self._recent_size = 1.0  # operations in recent calls

    def ask(self, name: str, request: Any, timeout: float) -> Any:
        """Return the response to an operation, or a `Failure`.

        Args:
            name: of its method, one of `OPERATIONS`.
            request: what that method takes.
            timeout: seconds within which there is an answer or an error.

        Raises:
            TimeoutError: there was no answer in time.
            InterruptedError: the call in which this went out ended without an outcome for anybody.
            Exception: what the call raised, in which this went out.

        """
        asked = None
        with self._lock:
            if self._under_way < self._at_a_time():
                self._under_way += 1
                self._remember(1)
            else:
                asked = _Asked(name, request)
                self._waiting.append(asked)
        if asked is not None:
            return self._answer(asked, timeout)
        try:
            return self._call(name, request, timeout)
        finally:
            self._pass_on()

    def _answer(self, asked: "_Asked", timeout: float) -> Any:
        """Wait for the outcome; meanwhile, it may be this thread's turn to send what all of them ask."""
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

    def _send(self, together: "Sequence[_Asked]", timeout: float) -> None:
        """Make one call for several; what it leaves out is the first to go out next."""
        outcomes: Sequence[Any] = [InterruptedError(_ENDED)] * len(together)
        try:
            outcomes = self._outcomes(together, timeout)
        except Exception as error:  # noqa: BLE001 - each who asked is told
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

    def _outcomes(self, together: "Sequence[_Asked]", timeout: float) -> list[Any]:
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

    def _at_a_time(self) -> int:
        return 1 if self._recent_size > _LARGE_BATCH else UNDER_WAY

    def _remember(self, operations: int) -> None:
        self._recent_size = max(operations, self._recent_size * _DECAY)

    def _pass_on(self) -> None:
        """End a call: who waits may make another."""
        with self._lock:
            together: list[_Asked] = []
            size = 0
            while self._under_way <= self._at_a_time() and self._waiting and len(together) < MAX_OPERATIONS:
                size += self._waiting[0].size
                if together and size > PART_BYTES:
                    break
                together.append(self._waiting.popleft())
            if not together:
                self._under_way -= 1
                return
            self._remember(len(together))
            sender = together[-1]  # who came last has the most time left
            sender.together = together
        sender.turn.release()

    def _leave(self, asked: "_Asked") -> None:
        """Take back what was not sent, if anything; it may be this thread's turn to send."""
        with self._lock:
            together, asked.together = asked.together, ()
            asked.left = True
            self._put_back(together)
            if asked in self._waiting:
                self._waiting.remove(asked)
        if together:
            self._pass_on()

    def _put_back(self, unsent: "Sequence[_Asked]") -> None:
        self._waiting.extendleft(asked for asked in reversed(unsent) if not asked.left)


class _Asked:
    """What a thread asks, and waits for.

    Attributes:
        turn: released when there is something to do for the thread: an outcome to take, or others' operations to send.
        together: what it is to send.
        outcome: the response, a `Failure`, or an error.
        left: whether it waits no longer.

    """

    def __init__(self, name: str, request: Any) -> None:
        self.name = name
        self.request = request
        self.size: int = request.ByteSize()
        self.turn = threading.Lock()
        self.turn.acquire()
        self.left = False
        self.together: Sequence[_Asked] = ()
        self.outcome: Any = None
