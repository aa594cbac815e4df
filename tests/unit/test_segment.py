"""The bytes of the log: what is written reads back, and no damage passes for an entry."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crudjt
from crudjt._backends.embedded.engine import segment as segment_module
from crudjt._backends.embedded.engine.segment import (
    HEADER_BLOCK_BYTES,
    Entry,
    SegmentHeader,
    decode_changes,
    decode_header,
    encode_entry,
    encode_header,
)
from crudjt._backends.embedded.engine.segment_reader import SegmentReader
from crudjt._backends.embedded.engine.segment_writer import SegmentWriter, create_segment
from crudjt._core.changes import DELETE, INSERT, REPLACE, Change
from crudjt._core.header import TAG_OFFSET
from crudjt._core.record import MIN_RECORD_BYTES

STORE_SALT = bytes(range(32))
HEADER = SegmentHeader(number=7, first_sequence=100, crc_salt=0x1234_5678, store_salt=STORE_SALT)
LENGTH_CRC_SEQUENCE_BYTES = 16

CHANGES = st.tuples(
    st.sampled_from([INSERT, REPLACE, DELETE]),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=MIN_RECORD_BYTES, max_size=MIN_RECORD_BYTES + 60),
)
TRANSACTIONS = st.lists(st.lists(CHANGES, min_size=1, max_size=4), max_size=4)

# A record's bytes stand for themselves here, so that damage anywhere can be tried in short time.
INSERTED = (INSERT, b"i" * 16, bytes(MIN_RECORD_BYTES))
REPLACED = (REPLACE, b"r" * 16, b"\xff" * (MIN_RECORD_BYTES + 5))
DELETED = (DELETE, b"d" * 16, bytes(range(MIN_RECORD_BYTES)))
DELETED_WITHOUT_SUBJECT = (DELETE, b"d" * 16, bytes(MIN_RECORD_BYTES))

WITH_FIXTURES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    """Where the test writes its segment; examples of one test write it anew."""
    return tmp_path / "0000000007.log"


def content(transactions: list[list[Change]]) -> bytes:
    """Return the bytes of a segment that holds these transactions."""
    entries = [
        encode_entry(HEADER.first_sequence + number, changes, HEADER.crc_salt)
        for number, changes in enumerate(transactions)
    ]
    return encode_header(HEADER) + b"".join(entries)


def logged(changes: list[Change]) -> list[tuple[int, bytes, bytes]]:
    """Return changes as a reader has them: of what goes, only the subject tag."""
    return [
        (kind, id_, record[TAG_OFFSET : TAG_OFFSET + 16] if kind == DELETE else record) for kind, id_, record in changes
    ]


def read(segment: Path, written: bytes) -> tuple[SegmentReader, list[Entry]]:
    """Write a segment and read it."""
    segment.write_bytes(written)
    reader = SegmentReader(segment)
    return reader, list(reader.entries())


@WITH_FIXTURES
@given(transactions=TRANSACTIONS)
def test_entries_read_back_as_they_were_written(segment: Path, transactions: list[list[Change]]) -> None:
    written = content(transactions)
    reader, entries = read(segment, written)
    assert reader.header == HEADER
    assert reader.damage is None
    assert [entry.sequence for entry in entries] == [100 + number for number in range(len(transactions))]
    assert [entry.changes for entry in entries] == [logged(changes) for changes in transactions]
    ends = [HEADER_BLOCK_BYTES, *(entry.end for entry in entries)]
    assert [entry.offset for entry in entries] == ends[:-1]
    assert ends[-1] == len(written)


def test_any_flipped_byte_of_an_entry_is_found_where_the_entry_begins(segment: Path) -> None:
    """And nothing behind it is believed."""
    written = content([[INSERTED], [REPLACED, DELETED], [INSERTED]])
    _, whole = read(segment, written)
    for at in range(HEADER_BLOCK_BYTES, len(written)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(written)
            damaged[at] ^= flip
            reader, entries = read(segment, bytes(damaged))
            hit = next(entry for entry in whole if entry.offset <= at < entry.end)
            assert entries == whole[: whole.index(hit)]
            assert reader.damage is not None
            assert reader.damage.offset == hit.offset
            assert reader.damage.reason


def test_a_segment_that_was_cut_anywhere_keeps_the_whole_entries_before(segment: Path) -> None:
    written = content([[INSERTED], [DELETED]])
    _, whole = read(segment, written)
    boundaries = [HEADER_BLOCK_BYTES, *(entry.end for entry in whole)]
    for end in range(HEADER_BLOCK_BYTES, len(written)):
        reader, entries = read(segment, written[:end])
        assert entries == [entry for entry in whole if entry.end <= end]
        if end in boundaries:
            assert reader.damage is None
        else:
            assert reader.damage is not None
            assert reader.damage.offset == max(each for each in boundaries if each <= end)


@WITH_FIXTURES
@given(tail=st.binary(min_size=1, max_size=200).filter(any))
def test_random_bytes_behind_the_entries_are_damage_and_never_raise(segment: Path, tail: bytes) -> None:
    written = content([[INSERTED]])
    reader, entries = read(segment, written + tail)
    assert len(entries) == 1
    assert reader.damage is not None
    assert reader.damage.offset == len(written)
    assert reader.entry_after(len(written), 0) is None


@pytest.mark.parametrize("size", [1, 16, 100, 4096])
def test_zeros_behind_the_entries_are_no_entry_and_no_damage(segment: Path, size: int) -> None:
    """Room that was allocated ahead, and what ext4 leaves after a crash."""
    for last in (INSERTED, DELETED, DELETED_WITHOUT_SUBJECT):
        reader, entries = read(segment, content([[INSERTED], [last]]) + bytes(size))
        assert len(entries) == 2
        assert reader.damage is None


@pytest.mark.parametrize("size", [1, 8, 16, 100, 4096])
def test_zeros_with_anything_behind_them_are_damage(segment: Path, size: int) -> None:
    """A page may be lost that lies before one that is not."""
    written = content([[INSERTED]])
    for behind in (b"x", written[HEADER_BLOCK_BYTES:]):
        reader, entries = read(segment, written + bytes(size) + behind + bytes(5000))
        assert len(entries) == 1
        assert reader.damage is not None
        assert reader.damage.offset == len(written)


@WITH_FIXTURES
@given(random=st.binary(max_size=300))
def test_a_segment_of_random_bytes_is_corrupt_and_nothing_else(segment: Path, random: bytes) -> None:
    segment.write_bytes(random)
    with pytest.raises(crudjt.StoreCorrupt):
        SegmentReader(segment)


def test_an_entry_of_another_segment_is_no_entry(segment: Path) -> None:
    """Each segment's CRCs start from a salt of its own."""
    stale = encode_entry(HEADER.first_sequence, [INSERTED], HEADER.crc_salt + 1)
    reader, entries = read(segment, encode_header(HEADER) + stale)
    assert entries == []
    assert reader.damage is not None


@pytest.mark.parametrize("sequence", [0, 99, 100, 102, 2**63])
def test_an_entry_out_of_sequence_is_damage(segment: Path, sequence: int) -> None:
    written = content([[INSERTED]])
    reader, entries = read(segment, written + encode_entry(sequence, [DELETED], HEADER.crc_salt))
    assert len(entries) == 1
    assert reader.damage is not None
    assert reader.damage.offset == len(written)
    assert str(sequence) in reader.damage.reason


@WITH_FIXTURES
@given(lost=st.binary(min_size=1, max_size=60))
def test_the_next_whole_entry_past_damage_is_found(segment: Path, lost: bytes) -> None:
    damaged = content([[INSERTED]])
    behind = encode_entry(HEADER.first_sequence + 2, [DELETED], HEADER.crc_salt)
    reader, _ = read(segment, damaged + lost + behind + encode_entry(103, [INSERTED], HEADER.crc_salt))
    found = reader.entry_after(len(damaged) - 1, HEADER.first_sequence + 1)
    assert found is not None
    assert (found.offset, found.sequence) == (len(damaged) + len(lost), 102)
    assert found.changes == logged([DELETED])


def test_an_entry_of_an_earlier_sequence_is_not_what_comes_after_damage(segment: Path) -> None:
    written = content([[INSERTED]])
    reader, _ = read(segment, written + b"damage" + encode_entry(50, [DELETED], HEADER.crc_salt))
    assert reader.entry_after(len(written), HEADER.first_sequence + 1) is None


# Changes


def body(changes: list[Change]) -> bytes:
    """Return the changes of an entry as they stand in it."""
    return encode_entry(1, changes, 0)[LENGTH_CRC_SEQUENCE_BYTES:]


@given(changes=st.lists(CHANGES, max_size=4))
def test_changes_fill_an_entry_exactly(changes: list[Change]) -> None:
    """Cut anywhere but between two changes, or followed by a byte too many, they are none."""
    whole = body(changes)
    assert decode_changes(whole) == logged(changes)
    boundaries = {len(body(changes[:count])): count for count in range(len(changes) + 1)}
    for end in range(len(whole)):
        expected = logged(changes[: boundaries[end]]) if end in boundaries else None
        assert decode_changes(whole[:end]) == expected
    for trailing in (b"\x00", b"\x01", b"\x03", b"\x03" * 16, b"\xff" * 7):
        assert decode_changes(whole + trailing) is None


@given(ids=st.lists(st.binary(min_size=16, max_size=16), max_size=5), head=CHANGES)
def test_ends_of_one_subject_are_written_like_others(ids: list[bytes], head: Change) -> None:
    """They share one header, by which they are written faster."""
    shared, apart = head[2], [bytes(bytearray(head[2])) for _ in ids]
    assert body([(DELETE, id_, shared) for id_ in ids]) == body(
        [(DELETE, id_, one) for id_, one in zip(ids, apart, strict=True)]
    )
    assert body([(REPLACE, id_, shared) for id_ in ids]) == body(
        [(REPLACE, id_, one) for id_, one in zip(ids, apart, strict=True)]
    )


@given(random=st.binary(max_size=200))
def test_random_bytes_as_changes_never_raise(random: bytes) -> None:
    changes = decode_changes(random)
    if changes is not None:
        records = [(kind, id_, bytes(TAG_OFFSET) + value if kind == DELETE else value) for kind, id_, value in changes]
        assert body(records) == random


@pytest.mark.parametrize("kind", [0, 4, 255])
def test_a_change_of_unknown_kind_is_none(kind: int) -> None:
    assert decode_changes(bytes([kind]) + body([INSERTED])[1:]) is None


def test_a_record_that_is_too_short_to_be_one_is_no_change() -> None:
    assert decode_changes(body([(INSERT, INSERTED[1], bytes(MIN_RECORD_BYTES - 1))])) is None


# The header block


def test_the_bytes_of_a_header_are_as_documented() -> None:
    block = encode_header(HEADER)
    assert len(block) == HEADER_BLOCK_BYTES
    assert block[:60] == (
        b"CRUDJTL1"
        + (1).to_bytes(4, "little")
        + (7).to_bytes(4, "little")
        + (100).to_bytes(8, "little")
        + (0x1234_5678).to_bytes(4, "little")
        + STORE_SALT
    )
    assert block[2048:2112] == block[:64]


def test_the_bytes_of_an_entry_are_as_documented() -> None:
    entry = encode_entry(258, [INSERTED, DELETED], HEADER.crc_salt)
    put = b"\x01" + INSERTED[1] + MIN_RECORD_BYTES.to_bytes(4, "little") + INSERTED[2]
    delete = b"\x03" + DELETED[1] + DELETED[2][TAG_OFFSET : TAG_OFFSET + 16]
    after_crc = (258).to_bytes(8, "little") + put + delete
    assert entry[8:] == after_crc
    assert entry[:4] == len(after_crc).to_bytes(4, "little")
    assert entry[4:8] == zlib.crc32(after_crc, HEADER.crc_salt).to_bytes(4, "little")


@pytest.mark.parametrize("first", [0, 2048])
def test_one_damaged_copy_of_the_header_costs_nothing(segment: Path, first: int) -> None:
    """Whichever byte of it is hit, or all of it."""
    whole = content([[INSERTED]])
    for at in range(64):
        damaged = bytearray(whole)
        damaged[first + at] ^= 0xFF
        reader, entries = read(segment, bytes(damaged))
        assert reader.header == HEADER
        assert len(entries) == 1
    reader, _ = read(segment, whole[:first] + bytes(512) + whole[first + 512 :])
    assert reader.header == HEADER


def test_two_damaged_copies_of_the_header_are_corrupt(segment: Path) -> None:
    damaged = bytearray(content([[INSERTED]]))
    damaged[30] ^= 1
    damaged[2048 + 50] ^= 1
    segment.write_bytes(damaged)
    for open_one in (lambda: SegmentReader(segment), lambda: SegmentWriter(segment.parent, 7)):
        with pytest.raises(crudjt.StoreCorrupt) as caught:
            open_one()
        assert (caught.value.path, caught.value.offset) == (segment, 0)


def test_a_header_of_a_newer_format_says_so(segment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(segment_module, "SEGMENT_FORMAT", 2)
        block = encode_header(HEADER)
    with pytest.raises(crudjt.StoreFormatError) as caught:
        decode_header(segment, block)
    assert (caught.value.found, caught.value.supported) == (2, 1)


def test_a_segment_that_was_cut_inside_its_header_block_is_corrupt(segment: Path) -> None:
    """A new segment gets its name only once it is whole, so something has damaged it."""
    whole = encode_header(HEADER)
    for size in (0, 8, 63, 64, 500, 1024, 1035, 1036, 2000, 2100, 4095):
        segment.write_bytes(whole[:size])
        with pytest.raises(crudjt.StoreCorrupt):
            _ = SegmentReader(segment).synced_end


# The synced mark, and a writer


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SegmentWriter]:
    create_segment(tmp_path, 7, 100, STORE_SALT)
    writer = SegmentWriter(tmp_path, 7)
    yield writer
    writer.close()


def test_a_new_segment_is_synced_up_to_its_first_entry(writer: SegmentWriter, segment: Path) -> None:
    reader = SegmentReader(segment)
    assert reader.header[:2] == (7, 100)
    assert reader.header.store_salt == STORE_SALT
    assert reader.synced_end == HEADER_BLOCK_BYTES
    assert list(reader.entries()) == []


def test_segments_get_salts_of_their_own(tmp_path: Path) -> None:
    salts = set()
    for number in range(1, 20):
        create_segment(tmp_path, number, 1, STORE_SALT)
        salts.add(SegmentReader(segment_module.segment_path(tmp_path, number)).header.crc_salt)
    assert len(salts) == 19
    assert segment_module.segment_numbers(tmp_path) == list(range(1, 20))


def test_what_a_writer_appends_a_reader_finds(writer: SegmentWriter, segment: Path) -> None:
    end = HEADER_BLOCK_BYTES
    for number, change in enumerate((INSERTED, REPLACED, DELETED)):
        entry = encode_entry(100 + number, [change], writer.crc_salt)
        writer.append(entry, end)
        end += len(entry)
    writer.sync()
    writer.mark_synced(end)
    reader = SegmentReader(segment)
    assert [entry.changes for entry in reader.entries()] == [logged([each]) for each in (INSERTED, REPLACED, DELETED)]
    assert reader.damage is None
    assert reader.synced_end == end == segment.stat().st_size


def test_a_cut_takes_the_last_entry_away(writer: SegmentWriter, segment: Path) -> None:
    entry = encode_entry(100, [INSERTED], writer.crc_salt)
    writer.append(entry, HEADER_BLOCK_BYTES)
    writer.cut(HEADER_BLOCK_BYTES)
    assert segment.stat().st_size == HEADER_BLOCK_BYTES
    assert list(SegmentReader(segment).entries()) == []


def test_a_damaged_synced_mark_claims_nothing(writer: SegmentWriter, segment: Path) -> None:
    entry = encode_entry(100, [INSERTED], writer.crc_salt)
    writer.append(entry, HEADER_BLOCK_BYTES)
    writer.mark_synced(HEADER_BLOCK_BYTES + len(entry))
    whole = segment.read_bytes()
    assert SegmentReader(segment).synced_end == len(whole)
    for at in range(1024, 1036):
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        segment.write_bytes(damaged)
        assert SegmentReader(segment).synced_end == HEADER_BLOCK_BYTES
