"""Records: the header's bytes, the seal around payload and header, and what a session makes of them."""

from pathlib import Path
from struct import pack

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

import crudjt
from crudjt._core.details import pack_details
from crudjt._core.header import HEADER_BYTES, KNOWN_FLAGS, NO_SUBJECT, TAG_OFFSET, Header, deadline, with_details
from crudjt._core.record import (
    MIN_RECORD_BYTES,
    DamagedRecord,
    UnknownFlags,
    join_payload,
    read_header,
    seal,
    seal_session,
    split_payload,
    unseal,
)
from crudjt._core.xaes import XAES256GCM

KEY = bytes(range(32))
ID = bytes(range(100, 116))
WORDS = st.integers(0, 2**64 - 1)
HEADERS = st.builds(
    Header,
    format=st.just(1),
    flags=st.integers(0, KNOWN_FLAGS),
    reserved=st.just(0),
    version=st.integers(0, 2**32 - 1),
    created=WORDS,
    expires=WORDS,
    hard_expiry=WORDS,
    idle=WORDS,
    reads_left=WORDS,
    tag=st.binary(min_size=16, max_size=16),
)


def header(expires: int = 0, hard_expiry: int = 0, idle: int = 0, reads_left: int = 0) -> Header:
    """Return a header of these limits and nothing else."""
    return Header(1, 0, 0, 1, 1000, expires, hard_expiry, idle, reads_left, NO_SUBJECT)


def opened(cipher: XAES256GCM, record: bytes) -> bytes:
    """Return the payload of a stored record, as a store reads it."""
    read_header(record)
    return unseal(cipher, ID, record)[1]


@given(header=HEADERS, payload=st.binary(max_size=200))
def test_a_record_opens_to_what_was_sealed(header: Header, payload: bytes) -> None:
    cipher = XAES256GCM(KEY)
    record = seal(cipher, ID, header.packed(), payload)
    assert len(record) == MIN_RECORD_BYTES + len(payload)
    assert read_header(record) == header
    assert unseal(cipher, ID, record) == (header.packed(), payload)


def test_flags_of_a_newer_version_are_not_taken_for_damage() -> None:
    """Nor is their payload read; flags that were changed on disk are damage as before."""
    cipher = XAES256GCM(KEY)
    head = Header(1, KNOWN_FLAGS + 1, 0, 1, 1000, 0, 0, 0, 0, NO_SUBJECT).packed()
    record = seal(cipher, ID, head, b"payload")
    with pytest.raises(UnknownFlags):
        unseal(cipher, ID, record)
    with pytest.raises(DamagedRecord) as raised:
        unseal(cipher, ID, record[:1] + b"\x00" + record[2:])
    assert not isinstance(raised.value, UnknownFlags)


def test_a_version_without_details_does_not_open_a_record_that_has_some() -> None:
    """It would take them for data, and lose them with the next update."""
    cipher, details = XAES256GCM(KEY), pack_details(None, "A" * 43)
    head = with_details(header().packed(), details)
    record = seal_session(cipher, ID, head, b"data", None, details)
    assert split_payload(head[1], unseal(cipher, ID, record)[1]) == (b"data", None, details)
    with pytest.raises(InvalidTag):
        cipher.open(record, HEADER_BYTES, ID + head)


def test_the_bytes_of_a_header_are_as_documented() -> None:
    tag = bytes(range(16))
    record = seal(XAES256GCM(KEY), ID, Header(1, 1, 0, 7, 11, 22, 33, 44, 55, tag).packed(), b"payload")
    assert record[:HEADER_BYTES] == b"\x01\x01\x00\x00" + pack("<IQQQQQ", 7, 11, 22, 33, 44, 55) + tag
    assert record[TAG_OFFSET:HEADER_BYTES] == tag
    assert len(record) == 64 + 24 + 7 + 16


def test_the_payload_is_nowhere_in_the_clear() -> None:
    record = seal(XAES256GCM(KEY), ID, header().packed(), b"the secret of a session")
    assert b"secret" not in record


def test_a_record_with_any_changed_bit_does_not_open() -> None:
    """Header, nonce, payload and tag: limits cannot be stretched on disk."""
    cipher = XAES256GCM(KEY)
    record = seal(cipher, ID, header(expires=5000, reads_left=1).packed(), b"data")
    for bit in range(8 * len(record)):
        changed = bytearray(record)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedRecord):
            opened(cipher, bytes(changed))


def test_a_record_that_was_moved_to_another_id_does_not_open() -> None:
    cipher = XAES256GCM(KEY)
    record = seal(cipher, ID, header().packed(), b"data")
    with pytest.raises(DamagedRecord):
        unseal(cipher, bytes(16), record)


def test_a_record_of_another_key_does_not_open() -> None:
    record = seal(XAES256GCM(KEY), ID, header().packed(), b"data")
    with pytest.raises(DamagedRecord):
        unseal(XAES256GCM(bytes(32)), ID, record)


def test_the_same_session_is_never_sealed_to_the_same_bytes() -> None:
    cipher = XAES256GCM(KEY)
    assert len({seal(cipher, ID, header().packed(), b"data") for _ in range(100)}) == 100


@pytest.mark.parametrize("size", [0, 1, HEADER_BYTES, MIN_RECORD_BYTES - 1])
def test_a_record_that_is_too_short_is_damaged(size: int) -> None:
    record = seal(XAES256GCM(KEY), ID, header().packed(), b"")
    with pytest.raises(DamagedRecord):
        read_header(record[:size])


@pytest.mark.parametrize("format_", [0, 2, 255])
def test_a_record_of_an_unknown_format_is_damaged(format_: int) -> None:
    record = seal(XAES256GCM(KEY), ID, header().packed(), b"")
    with pytest.raises(DamagedRecord):
        read_header(bytes([format_]) + record[1:])


@given(data=st.binary(max_size=200), subject=st.none() | st.text(max_size=400))
def test_a_payload_splits_into_what_was_joined(data: bytes, subject: str | None) -> None:
    flags, payload = join_payload(data, subject)
    assert split_payload(flags, payload) == (data, subject, None)


@pytest.mark.parametrize(
    ("now", "hard_expiry", "idle", "expected"),
    [
        (1000, 0, 0, 0),
        (1000, 1500, 0, 1500),
        (1000, 0, 200, 1200),
        (1000, 1500, 200, 1200),
        (1400, 1500, 200, 1500),
        (1300, 1500, 200, 1500),
    ],
)
def test_the_deadline_is_the_earlier_of_lifetime_and_idle_timeout(
    now: int, hard_expiry: int, idle: int, expected: int
) -> None:
    assert deadline(now, hard_expiry, idle) == expected


def test_a_session_is_gone_at_exactly_its_deadline() -> None:
    assert header(expires=1000).alive(999)
    assert not header(expires=1000).alive(1000)
    assert not header(expires=1000).alive(1001)
    assert header(expires=0).alive(2**63)


@given(
    now=st.integers(0, 10_000),
    last=st.integers(0, 10_000),
    idle=st.integers(0, 3000),
    lifetime=st.integers(0, 12_000),
)
def test_a_session_stands_still_until_reading_it_gains_a_tenth_of_its_idle_timeout(
    now: int, last: int, idle: int, lifetime: int
) -> None:
    """`still_until` against its definition, by trying the time itself."""
    expires = deadline(last, lifetime, idle)
    until = header(expires=expires, hard_expiry=lifetime, idle=idle).still_until()
    gains = bool(idle) and deadline(now, lifetime, idle) - expires >= max(idle // 10, 1)
    gone = bool(expires) and now >= expires
    assert (until != 0 and now >= until) == (gains or gone)


# A store that meets a damaged record


def damage_record(path: Path, handle: str) -> None:
    """Change the last byte of a stored record, wherever the view of a closed store has it."""
    key = b"t" + bytes.fromhex(handle)
    found = 0
    with (path / "view" / "data.mdb").open("r+b") as view:
        content = view.read(4 * 1024**2)
        at = content.find(key)
        while at >= 0:
            last = at + len(key) + MIN_RECORD_BYTES  # within ciphertext and tag, since the payload is not empty
            view.seek(last)
            view.write(bytes([content[last] ^ 1]))
            found += 1
            at = content.find(key, at + 1)
    assert found


@pytest.fixture
def damaged(path: Path, secret_key: str) -> str:
    """The token of a damaged session of the subject "x", which has a sound one too."""
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({"damaged": True}, subject="x")
        store.create({"sound": True}, subject="x")
        session = store.peek(token)
        assert session is not None
    damage_record(path, session.id)
    return token


def test_a_damaged_record_is_an_error_and_never_an_unknown_token(damaged: str, store: crudjt.Store) -> None:
    for call in (
        lambda: store.read(damaged),
        lambda: store.peek(damaged),
        lambda: store.update(damaged, {}),
        lambda: store.touch(damaged, ttl=60),
        lambda: store.rotate(damaged),
        lambda: store.read_many([damaged]),
        lambda: list(store.sessions("x")),
    ):
        with pytest.raises(crudjt.StoreCorrupt) as caught:
            call()
        assert damaged not in str(caught.value)


def test_a_damaged_record_can_be_deleted(damaged: str, store: crudjt.Store) -> None:
    assert store.delete(damaged) is True
    assert store.peek(damaged) is None


def test_a_damaged_record_does_not_keep_a_subject_from_being_revoked(damaged: str, store: crudjt.Store) -> None:
    assert store.revoke("x") == 2
    assert store.peek(damaged) is None
    assert list(store.sessions("x")) == []
