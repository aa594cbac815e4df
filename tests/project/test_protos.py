"""The generated modules of the protocols."""

from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

import crudjt

SOURCE = Path(crudjt.__file__).parents[1]
PROTOS = ["crudjt/_rpc/proto/token.proto", "crudjt/_rpc/proto/v1/store.proto"]

each_proto = pytest.mark.parametrize("proto", PROTOS)


def test_every_proto_is_tried_below() -> None:
    assert sorted(str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.proto")) == PROTOS


@each_proto
def test_a_generated_module_says_what_its_proto_says(proto: str, tmp_path: Path) -> None:
    """If it does not: python tools/generate_protos.py."""
    output = tmp_path / "descriptors"
    arguments = ["protoc", f"--proto_path={SOURCE}", f"--descriptor_set_out={output}", str(SOURCE / proto)]
    assert protoc.main(arguments) == 0
    (expected,) = FileDescriptorSet.FromString(output.read_bytes()).file
    generated = FileDescriptorProto()
    import_module(proto.replace(".proto", "_pb2").replace("/", ".")).DESCRIPTOR.CopyToProto(generated)
    for described in (expected, generated):
        for message in described.message_type:
            for field in message.field:
                field.ClearField("json_name")  # spelled out by one of the two only, and derived from the name
    assert generated == expected


@each_proto
def test_every_rpc_of_ours_is_explained(proto: str) -> None:
    lines = (SOURCE / proto).read_text().splitlines()
    for before, line in pairwise(lines):
        if line.startswith("  rpc "):
            assert before.startswith("  //"), line
