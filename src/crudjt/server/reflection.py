"""Server reflection (``grpc.reflection``): describes the methods that are served to tools such as grpcurl.

Version 1 has the messages of v1alpha under another name, so that both are answered alike, whatever the installed
version of grpcio-reflection knows.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import SERVICE_NAME as V1ALPHA
from grpc_reflection.v1alpha.reflection import ReflectionServicer
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from crudjt.server.services.method import Method

V1 = V1ALPHA.replace("v1alpha", "v1")

_METHOD = "ServerReflectionInfo"
_NO_CONTEXT: Any = None  # the servicer does not use it


def reflection_services(served: Mapping[str, Collection[str]]) -> dict[str, dict[str, Method]]:
    """Return both versions of the reflection service, with their methods.

    Args:
        served: the names of the other services, and of their methods.

    """
    described = {**served, V1: (_METHOD,), V1ALPHA: (_METHOD,)}
    servicer: Any = ReflectionServicer(described, _described_in_a_pool(described))  # its stubs leave out the results

    def explain(_store: object, requests: Iterator[ServerReflectionRequest]) -> Iterator[ServerReflectionResponse]:
        responses: Iterator[ServerReflectionResponse] = servicer.ServerReflectionInfo(requests, _NO_CONTEXT)
        return responses

    method = Method(
        ServerReflectionRequest, ServerReflectionResponse, explain, request_streaming=True, response_streaming=True
    )
    return {V1: {_METHOD: method}, V1ALPHA: {_METHOD: method}}


def _described_in_a_pool(served: Mapping[str, Collection[str]]) -> descriptor_pool.DescriptorPool:
    """Return a pool with the files of these services, without the methods that are not served."""
    pool = descriptor_pool.DescriptorPool()
    known = descriptor_pool.Default()
    added: set[str] = set()

    def add(file: FileDescriptor) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for dependency in file.dependencies:
            add(dependency)
        description = FileDescriptorProto()
        file.CopyToProto(description)
        pool.AddSerializedFile(_reduced(description, served).SerializeToString())

    for service in served:
        if service == V1:
            pool.AddSerializedFile(_version_1().SerializeToString())
            continue
        try:
            add(known.FindFileContainingSymbol(service))
        except KeyError:
            continue  # it has no .proto file; it is listed, and not described
    return pool


def _reduced(file: FileDescriptorProto, served: Mapping[str, Collection[str]]) -> FileDescriptorProto:
    """Remove the methods that are not served from a file, and return it."""
    for service in file.service:
        names = served.get(f"{file.package}.{service.name}", ())
        kept = [method for method in service.method if method.name in names]
        del service.method[:]
        service.method.extend(kept)
    return file


def _version_1() -> FileDescriptorProto:
    file = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    return text_format.Parse(text_format.MessageToString(file).replace("v1alpha", "v1"), FileDescriptorProto())
