"""XAES-256-GCM: the published vectors of C2SP, refusal of every change, and nonces that never repeat."""

import os
import threading
from hashlib import shake_128

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from crudjt._core import xaes
from crudjt._core.xaes import NONCE_BYTES, OVERHEAD_BYTES, XAES256GCM

KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("key", "associated", "ciphertext"),
    [
        (b"\x01" * 32, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (b"\x03" * 32, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
    ids=["the top bit of the block that makes K1 is 0", "the top bit is 1"],
)
def test_the_published_vectors_hold(key: bytes, associated: bytes, ciphertext: str) -> None:
    cipher = XAES256GCM(key)
    nonce, plaintext = b"ABCDEFGHIJKLMNOPQRSTUVWX", b"XAES-256-GCM"
    assert cipher.encrypt(nonce, plaintext, associated).hex() == ciphertext
    assert cipher.open(nonce + bytes.fromhex(ciphertext), 0, associated) == plaintext


def test_the_published_accumulated_vector_holds() -> None:
    """10,000 random messages, drawn from one SHAKE128 stream and hashed into another."""
    iterations = 10_000
    stream = shake_128(b"").digest(iterations * (32 + 24 + 1 + 255 + 1 + 255))
    position = 0

    def take(size: int) -> bytes:
        nonlocal position
        position += size
        return stream[position - size : position]

    accumulated = shake_128()
    for _ in range(iterations):
        cipher, nonce = XAES256GCM(take(32)), take(24)
        plaintext = take(take(1)[0])
        associated = take(take(1)[0])
        ciphertext = cipher.encrypt(nonce, plaintext, associated)
        assert cipher.open(nonce + ciphertext, 0, associated) == plaintext
        accumulated.update(ciphertext)
    assert accumulated.hexdigest(32) == "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"


def unsealed(cipher: XAES256GCM, sealed: bytes, associated: bytes) -> bytes:
    """Open what `seal` returned."""
    return cipher.open(sealed, 0, associated)


@given(plaintext=st.binary(max_size=300), associated=st.binary(max_size=100))
def test_what_was_sealed_opens_under_the_same_key(plaintext: bytes, associated: bytes) -> None:
    sealed = XAES256GCM(KEY).seal(plaintext, associated)
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES
    assert unsealed(XAES256GCM(KEY), sealed, associated) == plaintext


def test_any_changed_bit_is_refused() -> None:
    """Of nonce, ciphertext, tag, associated data, or key."""
    plaintext, associated = b"sixteen bytes..!", b"header"
    sealed = XAES256GCM(KEY).seal(plaintext, associated)
    for part in ("sealed", "associated", "key"):
        original = {"sealed": sealed, "associated": associated, "key": KEY}[part]
        for bit in range(8 * len(original)):
            changed = bytearray(original)
            changed[bit // 8] ^= 1 << bit % 8
            parts = {"sealed": sealed, "associated": associated, "key": KEY, part: bytes(changed)}
            with pytest.raises(InvalidTag):
                unsealed(XAES256GCM(parts["key"]), parts["sealed"], parts["associated"])


def test_anything_cut_off_or_added_is_refused() -> None:
    cipher = XAES256GCM(KEY)
    sealed = cipher.seal(b"plaintext", b"")
    for changed in (sealed[:-1], sealed + b"\x00", sealed[:NONCE_BYTES], sealed[: NONCE_BYTES + 15]):
        with pytest.raises(InvalidTag):
            unsealed(cipher, changed, b"")


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_only_keys_of_32_bytes_are_taken(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        XAES256GCM(bytes(size))


def nonces(cipher: XAES256GCM, count: int) -> list[bytes]:
    return [cipher.seal(b"", b"")[:NONCE_BYTES] for _ in range(count)]


def test_nonces_never_repeat() -> None:
    cipher = XAES256GCM(KEY)
    drawn = nonces(cipher, 20_000)
    assert len({nonce[12:] for nonce in drawn}) == 20_000


def test_nonces_never_repeat_across_objects_of_one_key() -> None:
    drawn = [nonces(XAES256GCM(KEY), 1)[0] for _ in range(1000)]
    assert len({nonce[:12] for nonce in drawn}) == 1000
    assert len({nonce[12:] for nonce in drawn}) == 1000


def test_nonces_never_repeat_across_threads() -> None:
    cipher = XAES256GCM(KEY)
    drawn: list[list[bytes]] = []
    start = threading.Barrier(8)

    def draw() -> None:
        start.wait()
        drawn.append(nonces(cipher, 3000))

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({nonce for each in drawn for nonce in each}) == 24_000


def test_nonces_never_repeat_across_a_fork() -> None:
    """Parent and child both hold the pool of random bytes as it was; only one may go on using it."""
    cipher = XAES256GCM(KEY)
    nonces(cipher, 10)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, b"".join(nonces(cipher, 1000)))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        received = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0
    of_child = {received[at : at + NONCE_BYTES] for at in range(0, len(received), NONCE_BYTES)}
    of_parent = set(nonces(cipher, 1000))
    assert len(of_child) == 1000
    assert of_child.isdisjoint(of_parent)
    assert {nonce[:12] for nonce in of_child}.isdisjoint({nonce[:12] for nonce in of_parent})


def test_memory_that_is_copied_unseen_and_runs_twice_repeats_no_nonce() -> None:
    """A snapshot of a virtual machine runs again with the same random bytes in the pool, in the same process."""
    cipher = XAES256GCM(KEY)
    nonces(cipher, 1)
    drawn_in_advance = list(cipher._nonces._items)
    first = nonces(cipher, 200)
    cipher._nonces._items[:] = drawn_in_advance
    second = nonces(cipher, 200)
    assert {nonce[:12] for nonce in first} == {nonce[:12] for nonce in second}
    assert len({nonce[12:] for nonce in first + second}) == 400


@pytest.mark.parametrize("time_ns", [-(2**63), -1, 0, 2**63 - 1])
def test_a_message_can_be_sealed_at_any_time_of_the_clock(monkeypatch: pytest.MonkeyPatch, time_ns: int) -> None:
    monkeypatch.setattr(xaes, "time_ns", lambda: time_ns)
    cipher = XAES256GCM(KEY)
    sealed = [cipher.seal(b"plaintext", b"") for _ in range(100)]
    assert len({each[:NONCE_BYTES] for each in sealed}) == 100
    assert all(unsealed(cipher, each, b"") == b"plaintext" for each in sealed)


def test_the_first_half_of_the_nonce_is_renewed_before_its_key_wears_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random 96-bit nonces are good for 2**32 messages under one derived key (SP 800-38D)."""
    assert xaes._SEALS_PER_PREFIX <= 2**32
    monkeypatch.setattr(xaes, "_SEALS_PER_PREFIX", 1024)
    cipher = XAES256GCM(KEY)
    per_prefix: dict[bytes, int] = {}
    for nonce in nonces(cipher, 10 * 1024):
        per_prefix[nonce[:12]] = per_prefix.get(nonce[:12], 0) + 1
    assert list(per_prefix.values()) == [1024] * 10


def test_messages_sealed_under_many_first_halves_all_open() -> None:
    """More of them than derived keys are kept."""
    sealed = [XAES256GCM(KEY).seal(b"%d" % number, b"") for number in range(1500)]
    cipher = XAES256GCM(KEY)
    for _ in range(2):
        assert [unsealed(cipher, each, b"") for each in sealed] == [b"%d" % number for number in range(1500)]


def test_a_thread_that_seals_while_another_draws_the_first_prefix_has_a_prefix_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cipher = XAES256GCM(KEY)
    sealed: list[bytes] = []

    class Chunks:
        busy = False

        def take(self) -> bytes:
            if not self.busy:
                self.busy = True
                other = threading.Thread(target=lambda: sealed.append(cipher.seal(b"other", b"")))
                other.start()
                other.join()
            return os.urandom(12)

    monkeypatch.setattr(xaes, "chunks", Chunks())
    sealed.append(cipher.seal(b"this", b""))
    assert [cipher.open(each, 0, b"") for each in sealed] == [b"other", b"this"]
