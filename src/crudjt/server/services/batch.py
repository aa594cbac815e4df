"""`crudjt.v1.Store.Batch`: several operations on single sessions in one call, for clients with many threads.

It ends early after some time, when the answer is large, or when the store fails, so that no operation waits long for
the others. The client sees how many outcomes it got, and sends the rest again.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc

from crudjt._rpc.chunking import MAX_OPERATIONS, PART_BYTES
from crudjt._rpc.errors import Metadata
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.base import Store
from crudjt.errors import InvalidParameter, StoreError
from crudjt.server.services.method import Method

NAME = "Batch"

_ENOUGH_SECONDS = 0.02
_UNKNOWN = pb.Failure(code=grpc.StatusCode.UNIMPLEMENTED.value[0], details="the server knows no such operation")
_METHODS = {field.name: field.name.capitalize() for field in pb.Operation.DESCRIPTOR.fields}

Status = tuple[grpc.StatusCode, str, Metadata]


def batch_of(
    service: str, methods: Mapping[str, Method], status_of: Callable[[str, Exception], Status]
) -> dict[str, Method]:
    """Return the method that runs several operations of a service, by its name.

    Args:
        service: the name of the service, for the log.
        methods: its methods.
        status_of: returns the status of an error, and logs it if needed; takes the name of the call and the error.

    """

    def call(store: Store, request: pb.BatchRequest) -> pb.BatchResponse:
        operations = request.operations
        if len(operations) > MAX_OPERATIONS:
            raise InvalidParameter(
                "operations", f"operations must be at most {MAX_OPERATIONS} in one batch, not {len(operations)}"
            )
        return pb.BatchResponse(outcomes=outcomes(store, operations))

    def outcomes(store: Store, operations: Any) -> Iterator[pb.Outcome]:
        latest = time.monotonic() + _ENOUGH_SECONDS
        size = 0
        for operation in operations:
            outcome, store_failed = outcome_of(store, operation)
            yield outcome
            size += outcome.ByteSize()
            if store_failed or size > PART_BYTES or time.monotonic() > latest:
                return

    def outcome_of(store: Store, operation: pb.Operation) -> tuple[pb.Outcome, bool]:
        """Run an operation; return its outcome, and whether the store failed."""
        kind = operation.WhichOneof("operation")
        if kind is None:
            return pb.Outcome(failure=_UNKNOWN), False
        name = _METHODS[kind]
        try:
            response = methods[name].call(store, getattr(operation, kind))
        except Exception as error:  # noqa: BLE001 - each has its status
            code, details, metadata = status_of(f"/{service}/{name}", error)
            failure = pb.Failure(code=code.value[0], details=details)
            for _, encoded in metadata:
                failure.error.MergeFromString(encoded)
            return pb.Outcome(failure=failure), isinstance(error, StoreError)
        return pb.Outcome(**{kind: response}), False

    return {NAME: Method(pb.BatchRequest, pb.BatchResponse, call)}
