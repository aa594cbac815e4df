"""A master that does nothing: what any server in Python's gRPC costs before it has a store.

Answers every call of ``token.TokenService`` with the same bytes, which were made beforehand. Says when it is ready, and
ends when its input does: ``python -m benchmarks.tasks.empty_master PORT``.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import msgspec

from benchmarks.payloads import PAYLOADS
from crudjt._rpc.proto import token_pb2
from crudjt.server.executor import AT_WORK

_READ = msgspec.msgpack.encode({"data": PAYLOADS[196]})

_ANSWERS = {
    "CreateToken": token_pb2.CreateTokenResponse(token="A" * 22),
    "ReadToken": token_pb2.ReadTokenResponse(packed_data=_READ),
    "UpdateToken": token_pb2.UpdateTokenResponse(result=True),
    "DeleteToken": token_pb2.DeleteTokenResponse(result=True),
}


def main() -> None:
    """Serve until the input ends."""
    server = grpc.server(ThreadPoolExecutor(AT_WORK), options=[("grpc.so_reuseport", 1)])
    server.add_registered_method_handlers("token.TokenService", {name: _handler(name) for name in _ANSWERS})
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    print("ready", flush=True)
    sys.stdin.read()
    server.stop(None)


def _handler(name: str) -> Any:
    answer = _ANSWERS[name].SerializeToString()
    return grpc.unary_unary_rpc_method_handler(lambda _request, _context: answer)


if __name__ == "__main__":
    main()
