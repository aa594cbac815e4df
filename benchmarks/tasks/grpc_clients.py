"""Time clients of a master over gRPC, and print what one operation cost as JSON.

The master may be ours or the original's: the clients speak ``token.TokenService`` with bare gRPC, the same code for
both. Each client is a thread with a connection of its own. Threads of one process would hold each other up, so there
are four to a process; the times are those from the first request to the last answer of all, divided by the operations.
"""

import json
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import Any

import grpc
import msgspec

from benchmarks.payloads import PAYLOADS
from crudjt._rpc.proto import token_pb2

OPERATIONS = ("create", "read", "update", "delete")
THREADS_PER_PROCESS = 4
PATIENCE = 120
NO_LIMIT = -1
PACKED = msgspec.msgpack.encode(PAYLOADS[196])

Call = Callable[[Any], Any]


@dataclass(frozen=True)
class Task:
    """How many clients do how many operations of each kind, all together."""

    port: int
    clients: int
    operations: int


class Client:
    """One connection, and the tokens that were made over it."""

    def __init__(self, port: int, operations: int) -> None:
        """Connect."""
        self._operations = operations
        self._tokens: list[str] = []
        # Not shared with the other clients of the process, which would be one connection.
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
        grpc.channel_ready_future(self._channel).result(PATIENCE)
        self._create = self._call("CreateToken", token_pb2.CreateTokenRequest, token_pb2.CreateTokenResponse)
        self._read = self._call("ReadToken", token_pb2.ReadTokenRequest, token_pb2.ReadTokenResponse)
        self._update = self._call("UpdateToken", token_pb2.UpdateTokenRequest, token_pb2.UpdateTokenResponse)
        self._delete = self._call("DeleteToken", token_pb2.DeleteTokenRequest, token_pb2.DeleteTokenResponse)

    def _call(self, name: str, request: Any, response: Any) -> Call:
        made: Call = self._channel.unary_unary(
            f"/token.TokenService/{name}", request.SerializeToString, response.FromString
        )
        return made

    def create(self) -> None:
        """Create all tokens."""
        call, request = self._create, token_pb2.CreateTokenRequest
        for _ in range(self._operations):
            self._tokens.append(call(request(packed_data=PACKED, ttl=NO_LIMIT, silence_read=NO_LIMIT)).token)

    def read(self) -> None:
        """Read each."""
        call, request = self._read, token_pb2.ReadTokenRequest
        for token in self._tokens:
            assert len(call(request(token=token)).packed_data) > len(PACKED)

    def update(self) -> None:
        """Update each."""
        call, request = self._update, token_pb2.UpdateTokenRequest
        for token in self._tokens:
            assert call(request(token=token, packed_data=PACKED, ttl=NO_LIMIT, silence_read=NO_LIMIT)).result

    def delete(self) -> None:
        """Delete each."""
        call, request = self._delete, token_pb2.DeleteTokenRequest
        for token in self._tokens:
            assert call(request(token=token)).result


def be_clients(port: int, operations: list[int], together: Barrier) -> None:
    """Be one process of clients; all begin and end each kind of operation together."""

    def be_client(count: int) -> None:
        client = Client(port, count)
        for operation in OPERATIONS:
            together.wait(PATIENCE)
            getattr(client, operation)()
            together.wait(PATIENCE)

    threads = [threading.Thread(target=be_client, args=[count]) for count in operations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(task: Task) -> dict[str, float]:
    """Return microseconds per operation."""
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(task.clients + 1)
    shares = [task.operations // task.clients] * task.clients
    processes = [
        spawn.Process(target=be_clients, args=(task.port, shares[first : first + THREADS_PER_PROCESS], together))
        for first in range(0, task.clients, THREADS_PER_PROCESS)
    ]
    for process in processes:
        process.start()
    costs = {}
    for operation in OPERATIONS:
        together.wait(PATIENCE)
        started = time.perf_counter_ns()
        together.wait(PATIENCE)
        costs[operation] = (time.perf_counter_ns() - started) / 1000 / sum(shares)
    for process in processes:
        process.join(PATIENCE)
    return costs


if __name__ == "__main__":
    print(json.dumps(measure(Task(**json.loads(sys.argv[1])))))
