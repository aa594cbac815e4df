"""The worked example of docs/format.md: what its bytes are said to be is what this package takes them for."""

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from crudjt import Client
from crudjt._backends.embedded.engine import manifest
from crudjt._backends.embedded.engine.segment import HEADER_BLOCK_BYTES, SegmentHeader, header_copies
from crudjt._backends.embedded.engine.segment_reader import SegmentReader
from crudjt._core.changes import DELETE, INSERT
from crudjt._core.codec import pack, unpack
from crudjt._core.header import Header, with_details
from crudjt._core.keyring import Key, Placement, decode_secret_keys
from crudjt._core.record import label_tags, read_header, split_payload, unseal
from crudjt._core.tokens import PLACE, token_block
from tests.support.types import typed

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
NOW = 1_700_000_000_000  # ms
NOW_NS = NOW * 10**6


def said(name: str) -> str:
    """Return a value of the example's table."""
    found = re.search(rf"^\| {name}[^|]*\| `([^`]+)` \|$", PAGE, re.MULTILINE)
    assert found, name
    return found[1]


def block(name: str) -> bytes:
    """Return the bytes of one of the example's blocks; what follows a semicolon explains them."""
    found = re.search(rf"^```hex {name}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found, name
    return bytes.fromhex("".join(line.partition(";")[0] for line in found[1].splitlines()))


@pytest.fixture
def key() -> Key:
    return Key(decode_secret_keys(said("secret key"))[0], bytes.fromhex(said("salt of the store")))


@pytest.fixture
def id_() -> bytes:
    return bytes.fromhex(said("id"))


def test_values_that_messagepack_lacks_are_the_bytes_that_are_written() -> None:
    data = {"t": (1, "a"), "d": Decimal("9.90"), "s": {3}}
    assert pack(data, 100) == block("data")
    assert typed(unpack(block("data"))) == typed(data)


@pytest.mark.parametrize(
    ("code", "value", "payload"),
    [
        (1, (), b"\x90"),
        (2, {"b", "a", 1}, b"\x93\x01\xa1a\xa1b"),
        (3, frozenset({1}), b"\x91\x01"),
        (4, datetime(2026, 1, 2, 3, 4, 5), b"2026-01-02T03:04:05"),  # noqa: DTZ001 - without a zone
        (4, datetime(2026, 1, 2, 3, 4, 5, 6), b"2026-01-02T03:04:05.000006"),  # noqa: DTZ001
        (5, date(2026, 1, 2), b"2026-01-02"),
        (6, time(3, 4, 5), b"03:04:05"),
        (7, timedelta(seconds=-1), b"\x93\xff\xce\x00\x01Q\x7f\x00"),
        (8, Decimal(-1000), b"-1000"),
        (8, Decimal("-1E+3"), b"-1E+3"),
        (9, UUID(int=1), bytes(15) + b"\x01"),
    ],
)
def test_extension_types_have_the_numbers_and_payloads_of_the_table(code: int, value: Any, payload: bytes) -> None:
    packed = pack({"": value}, 100)
    assert packed == msgspec.msgpack.encode({"": msgspec.msgpack.Ext(code, payload)})
    assert typed(unpack(packed)) == typed({"": value})
    assert re.search(rf"^\| {code} \| {type(value).__name__}\b", PAGE, re.MULTILINE | re.IGNORECASE)


def test_the_keys_are_derived_as_written(key: Key) -> None:
    assert key.fingerprint == said("fingerprint")
    assert key.subject_tag("alice").hex() == said("subject tag")
    assert key.label_tag("sid:1").hex() == said("label tag")


def test_the_token_is_that_of_the_id(key: Key, id_: bytes) -> None:
    assert key.tokens.token(id_) == said("token")
    written = token_block(said("token"))
    assert written is not None
    assert key.tokens.id(written) == id_
    assert int.from_bytes(id_[:8], "big") == NOW_NS


def test_the_id_lies_at_the_place_of_its_subject(id_: bytes) -> None:
    placement = Placement(bytes.fromhex(said("placement key")))
    assert id_[PLACE] == placement.of("alice") == bytes.fromhex(said("place of"))


def test_the_record_holds_and_opens_to_what_is_written(key: Key, id_: bytes) -> None:
    record = block("record")
    header = read_header(record)
    assert header == Header(
        format=1,
        flags=1,
        reserved=0,
        version=1,
        created=NOW,
        expires=NOW + 900_000,
        hard_expiry=NOW + 3_600_000,
        idle=900_000,
        reads_left=3,
        tag=bytes.fromhex(said("subject tag")),
    )
    head, payload = unseal(key.cipher, id_, record)
    assert head == header.packed()
    assert payload == block("payload")
    data, subject, details = split_payload(header.flags, payload)
    assert (msgspec.msgpack.decode(data), subject, details) == ({"user_id": 42}, "alice", None)


def test_the_record_with_details_opens_to_what_is_written(key: Key, id_: bytes) -> None:
    record = block("record with details")
    head, payload = unseal(key.cipher, id_, record)
    assert payload == block("payload with details")
    data, subject, details = split_payload(read_header(record).flags, payload, label_tags(record))
    assert head == with_details(head, details) == record[:64]
    assert (msgspec.msgpack.decode(data), subject) == ({"user_id": 42}, None)
    assert details is not None
    assert (details.client, details.bound_to, details.labels) == (Client("192.0.2.1"), None, ("sid:1",))
    assert details.tags == bytes.fromhex(said("label tag"))


def test_the_segment_is_read_as_written(tmp_path: Path, id_: bytes) -> None:
    content = bytearray(HEADER_BLOCK_BYTES)
    for at, part in ((0, "header"), (1024, "mark"), (2048, "header")):
        content[at : at + len(block(part))] = block(part)
    assert header_copies(bytes(content)) == 2
    path = tmp_path / "0000000001.log"
    path.write_bytes(bytes(content) + block("insert") + block("record") + block("delete"))
    reader = SegmentReader(path)
    assert reader.header == SegmentHeader(1, 1, 0x12345678, bytes.fromhex(said("salt of the store")))
    assert reader.synced_end == HEADER_BLOCK_BYTES
    entries = [(entry.offset, entry.sequence, entry.changes) for entry in reader.entries()]
    assert reader.damage is None
    assert entries == [
        (4096, 1, [(INSERT, id_, block("record"))]),
        (4254, 2, [(DELETE, id_, bytes.fromhex(said("subject tag")))]),
    ]


def test_the_manifest_is_read_as_written(tmp_path: Path, key: Key) -> None:
    found = re.search(r"^```text\n(\{.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    (tmp_path / manifest.NAME).write_text(found[1])
    read = manifest.load(tmp_path)
    assert (read.format, read.map_size, read.segment, read.base) == (1, 16 * 1024**3, 1, None)
    assert (read.salt, read.keys) == (said("salt of the store"), [key.fingerprint])
    assert read.boot is not None
    assert key.open_placement_key(read.placement[key.fingerprint]) == bytes.fromhex(said("placement key"))
    read.save(tmp_path)
    assert (tmp_path / manifest.NAME).read_text() == found[1]
