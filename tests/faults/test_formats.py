"""Any bytes in the place of what the store writes: no crash, no hang, and damage is never taken for the thing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crudjt
from crudjt._backends.embedded.engine import manifest
from crudjt._backends.embedded.engine.control_block import CONTROL_BYTES, ControlBlock, LogEnd
from crudjt._backends.embedded.engine.manifest import Base, Manifest
from crudjt._backends.embedded.engine.segment import decode_header, segment_path
from crudjt._backends.embedded.engine.segment_reader import SegmentReader
from crudjt._backends.embedded.engine.segment_writer import create_segment
from crudjt._core.header import HEADER_BYTES, Header
from crudjt._core.keyring import Keyring
from crudjt._core.record import DamagedRecord, read_header, seal, unseal
from crudjt._core.tokens import token_block
from crudjt._filesystem.host import Boot
from tests.support.disks import QUIET, bases, spoil_view
from tests.support.embedded import compact

FUZZED = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
SLOW = settings(FUZZED, max_examples=25)  # each opens a store

KEY = Keyring([bytes(range(32))], bytes(32)).newest
ID = bytes(range(16))
HEADER = Header(1, 0, 0, 1, 1000, 2000, 2000, 0, 3, bytes(16))
RECORD = seal(KEY.cipher, ID, HEADER.packed(), b"\x81\xa1k\x01")
EDITS = st.lists(
    st.tuples(st.integers(0, 2**20), st.sampled_from(["flip", "cut", "insert", "zero"]), st.integers(1, 255)),
    min_size=1,
    max_size=4,
)


def edited(content: bytes, edits: list[tuple[int, str, int]]) -> bytes:
    """Return bytes after some random edits."""
    changed = bytearray(content)
    for place, kind, value in edits:
        at = place % (len(changed) + 1)
        if kind == "flip" and at < len(changed):
            changed[at] ^= value
        elif kind == "cut":
            del changed[at : at + value]
        elif kind == "insert":
            changed[at:at] = bytes([value]) * (value % 40)
        elif kind == "zero":
            changed[at : at + value] = bytes(len(changed[at : at + value]))
    return bytes(changed)


# Records and tokens


def opens(record: bytes) -> bool:
    """Tell whether bytes pass for the record, as the store would see it."""
    try:
        read_header(record)
        unseal(KEY.cipher, ID, record)
    except DamagedRecord:
        return False
    return True


@FUZZED
@given(edits=EDITS)
def test_a_damaged_record_does_not_open(edits: list[tuple[int, str, int]]) -> None:
    damaged = edited(RECORD, edits)
    if damaged != RECORD:
        assert not opens(damaged)


@FUZZED
@given(random=st.binary(max_size=300))
def test_random_bytes_are_no_record(random: bytes) -> None:
    assert not opens(random)


@FUZZED
@given(id_=st.binary(min_size=16, max_size=16))
def test_a_record_does_not_open_under_another_id(id_: bytes) -> None:
    if id_ != ID:
        with pytest.raises(DamagedRecord):
            unseal(KEY.cipher, id_, RECORD)
    assert len(RECORD) > HEADER_BYTES


@FUZZED
@given(text=st.text(max_size=40) | st.text("ABCxyz019-_", min_size=22, max_size=22))
def test_any_text_is_a_token_of_one_spelling_or_none(text: str) -> None:
    block = token_block(text)
    assert block is None or KEY.tokens.token(KEY.tokens.id(block)) == text


# The manifest and the control block

WRITTEN = Manifest(
    map_size=2**20,
    salt="00" * 32,
    keys=["aa"],
    boot=Boot("boot", 1),
    base=Base(segment=2, sequence=3, sessions=4, size=5, sha256="ff"),
    segment=2,
    doubtful=False,
)


@FUZZED
@given(edits=EDITS)
def test_a_damaged_manifest_is_corrupt(tmp_path: Path, edits: list[tuple[int, str, int]]) -> None:
    WRITTEN.save(tmp_path)
    file = tmp_path / manifest.NAME
    whole = file.read_bytes()
    file.write_bytes(edited(whole, edits))
    if file.read_bytes() == whole:
        assert manifest.load(tmp_path) == WRITTEN
    else:
        with pytest.raises(crudjt.StoreCorrupt):
            manifest.load(tmp_path)


@FUZZED
@given(random=st.binary(max_size=200))
def test_random_bytes_are_no_manifest(tmp_path: Path, random: bytes) -> None:
    (tmp_path / manifest.NAME).write_bytes(random)
    with pytest.raises(crudjt.StoreCorrupt):
        manifest.load(tmp_path)


@FUZZED
@given(state=st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=4), transaction=st.integers(0, 2**63))
def test_a_slot_reads_back_as_it_was_filled(control: ControlBlock, state: list[int], transaction: int) -> None:
    control.fill_slot(transaction, *state)
    assert control.holds(transaction)
    assert LogEnd._make(control.slot(transaction)) == tuple(state)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[ControlBlock]:
    control = ControlBlock.create(tmp_path / "control")
    yield control
    control.close()


@FUZZED
@given(size=st.integers(0, 300))
def test_a_control_block_that_was_not_finished_is_not_valid(tmp_path: Path, size: int) -> None:
    file = tmp_path / "control"
    file.write_bytes(os.urandom(size) + bytes(CONTROL_BYTES - size))
    found = ControlBlock(file)
    assert not found.valid
    found.close()


# Segments


@FUZZED
@given(random=st.binary(max_size=6000))
def test_random_bytes_are_no_segment(tmp_path: Path, random: bytes) -> None:
    file = tmp_path / "0000000001.log"
    file.write_bytes(random)
    with pytest.raises(crudjt.StoreCorrupt):
        SegmentReader(file)
    with pytest.raises(crudjt.StoreCorrupt):
        decode_header(file, random[:4096])


@FUZZED
@given(random=st.binary(min_size=1, max_size=6000).filter(any))
def test_random_bytes_behind_the_header_are_damage(tmp_path: Path, random: bytes) -> None:
    create_segment(tmp_path, 1, 1, bytes(32))
    with segment_path(tmp_path, 1).open("ab") as opened:
        opened.write(random)
    reader = SegmentReader(segment_path(tmp_path, 1))
    assert list(reader.entries()) == []
    assert reader.damage is not None
    assert reader.entry_after(4096, 1) is None


# The base


@pytest.fixture(scope="module")
def with_base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A store that was compacted, its key, and a token that the base holds."""
    path = tmp_path_factory.mktemp("formats") / "store"
    key = crudjt.generate_secret_key()
    with crudjt.open(path, secret_key=key, sync_interval=QUIET, max_size=2**20) as store:
        token = store.create({"n": 1})
        assert compact(store, 0)
    return path, key, token


@SLOW
@given(edits=EDITS)
def test_a_damaged_base_is_corrupt(with_base: tuple[Path, str, str], edits: list[tuple[int, str, int]]) -> None:
    path, key, token = with_base
    [base] = bases(path)
    whole = base.read_bytes()
    spoil_view(path)
    base.write_bytes(edited(whole, edits))
    try:
        if base.read_bytes() != whole:
            with pytest.raises(crudjt.StoreCorrupt):
                crudjt.open(path, secret_key=key)
        else:
            with crudjt.open(path, secret_key=key) as store:
                assert store.peek(token) is not None
    finally:
        base.write_bytes(whole)
