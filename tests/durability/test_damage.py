"""Damage in the middle is an error that names file and offset, never a store that has forgotten something."""

import json
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

import crudjt
from crudjt._backends.embedded.engine.segment import HEADER_BLOCK_BYTES
from crudjt.testing import FakeClock
from tests.support.disks import QUIET, Machine, Picture, all_files, bases, entries, flip, picture, segments
from tests.support.embedded import compact, record_of, spoil, stored


class Synced:
    """A store whose every byte was synced: a base, and three segments of entries behind it."""

    def __init__(self, path: Path, secret_key: str, machine: Machine) -> None:
        self.path = path
        self.secret_key = secret_key
        self.tokens: list[str] = []
        self.machine = machine
        self.live(compacted=True)
        self.live()
        self.live()
        self.good = all_files(path)
        self.segments = segments(path)

    def live(self, *, compacted: bool = False) -> None:
        """Live through one boot, and leave everything on disk."""
        with crudjt.open(self.path, secret_key=self.secret_key, clock=FakeClock(), sync_interval=QUIET) as store:
            self.write(store)
            if compacted:
                assert compact(store)
                self.write(store)
            self.expected = picture(store, self.tokens, ["anna"])
        self.machine.reboot()

    def write(self, store: crudjt.Store) -> None:
        """Make some entries of every kind."""
        self.tokens += store.create_many([{"n": n} for n in range(3)], ttl=50, subject="anna")
        self.tokens.append(store.create({"limited": True}, max_reads=5))
        assert store.read(self.tokens[-1])
        assert store.delete(self.tokens[-2])

    def opened(self) -> Picture:
        """Open the store after a new boot, and look at it."""
        self.machine.reboot()
        with crudjt.open(self.path, secret_key=self.secret_key, clock=FakeClock()) as store:
            return picture(store, self.tokens, ["anna"])

    def refused(self) -> crudjt.StoreCorrupt:
        """Open the damaged store twice; it is refused for the same reason, and left as it is for the doctor."""
        before = {name: content for name, content in all_files(self.path).items() if name != "manifest"}
        errors = []
        for _ in range(2):
            self.machine.reboot()
            with pytest.raises(crudjt.StoreCorrupt) as caught:
                crudjt.open(self.path, secret_key=self.secret_key)
            errors.append(caught.value)
        after = {name: content for name, content in all_files(self.path).items() if name != "manifest"}
        assert after == before
        assert (errors[0].path, errors[0].offset, errors[0].reason) == (
            errors[1].path,
            errors[1].offset,
            errors[1].reason,
        )
        assert str(errors[0].path) in str(errors[0])
        assert f"offset {errors[0].offset}" in str(errors[0])
        return errors[0]

    def heal(self) -> None:
        """Put every file back as it was."""
        for name in all_files(self.path):
            (self.path / name).unlink()
        for name, content in self.good.items():
            (self.path / name).write_bytes(content)


@pytest.fixture
def synced(path: Path, secret_key: str, machine: Machine) -> Synced:
    store = Synced(path, secret_key, machine)
    assert store.opened() == store.expected
    store.heal()
    return store


@pytest.mark.parametrize("position", [0, 1, 2], ids=["first segment", "middle segment", "last segment"])
@pytest.mark.slow
def test_a_flipped_byte_in_any_entry_is_refused_with_the_offset_of_the_entry(synced: Synced, position: int) -> None:
    segment = synced.segments[position]
    for entry in entries(segment):
        for offset in {entry.offset, *range(entry.offset + position, entry.end, 29), entry.end - 1}:
            flip(segment, offset)
            error = synced.refused()
            assert (error.path, error.offset) == (segment, entry.offset), offset
            flip(segment, offset)
    synced.heal()
    assert synced.opened() == synced.expected


@pytest.mark.slow
def test_a_flipped_byte_in_the_header_block_changes_nothing(synced: Synced) -> None:
    """The header is there twice, and the rest of its block is padding, or only tells damage from a torn tail."""
    for offset in sorted({*range(0, 64, 5), *range(1024, 1036, 2), *range(2048, 2112, 9), *range(64, 4096, 311)}):
        flip(synced.segments[offset % 3], offset)
        assert synced.opened() == synced.expected, offset
        synced.heal()


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_header_whose_two_copies_are_damaged_is_refused(synced: Synced, position: int) -> None:
    flip(synced.segments[position], 20)
    flip(synced.segments[position], 2048 + 30)
    error = synced.refused()
    assert (error.path, error.offset) == (synced.segments[position], 0)


@pytest.mark.parametrize("position", [0, 1, 2], ids=["first segment", "middle segment", "last segment"])
def test_a_missing_segment_is_refused(synced: Synced, position: int) -> None:
    synced.segments[position].unlink()
    error = synced.refused()
    assert (error.path, error.offset) == (synced.segments[position], 0)


@pytest.mark.parametrize("boots", [1, 2, 3])
def test_the_loss_of_the_only_segment_with_entries_is_refused(
    path: Path, secret_key: str, machine: Machine, boots: int
) -> None:
    """Whether or not empty segments of later boots follow it, and though there is no base yet."""
    for boot in range(boots):
        with crudjt.open(path, secret_key=secret_key) as store:
            if boot == 0:
                store.create({"a": 1})
        machine.reboot()
    first = segments(path)[0]
    first.unlink()
    with pytest.raises(crudjt.StoreCorrupt) as caught:
        crudjt.open(path, secret_key=secret_key)
    assert (caught.value.path, caught.value.offset) == (first, 0)


@pytest.mark.parametrize("position", [0, 1, 2], ids=["first segment", "middle segment", "last segment"])
def test_a_truncated_segment_is_refused(synced: Synced, position: int) -> None:
    """At a boundary between entries, inside an entry, inside the header block, and down to nothing."""
    segment = synced.segments[position]
    whole = entries(segment)
    for size, offset in (
        (whole[-1].offset, whole[-1].offset),
        (whole[-1].end - 1, whole[-1].offset),
        (whole[1].offset + 7, whole[1].offset),
        (HEADER_BLOCK_BYTES, HEADER_BLOCK_BYTES),
        (3000, None),
        (1500, None),
        (100, None),
        (30, 0),
        (0, 0),
    ):
        os.truncate(segment, size)
        error = synced.refused()
        assert error.path == segment, size
        assert offset is None or error.offset == offset, size
        synced.heal()


def test_an_empty_segment_that_lost_part_of_its_header_block_is_refused(
    path: Path, secret_key: str, machine: Machine
) -> None:
    crudjt.open(path, secret_key=secret_key).close()
    for size in (4095, 1036, 1030, 64):
        os.truncate(segments(path)[0], size)
        machine.reboot()
        with pytest.raises(crudjt.StoreCorrupt) as caught:
            crudjt.open(path, secret_key=secret_key)
        assert caught.value.path == segments(path)[0]


def test_swapped_segments_are_refused(synced: Synced) -> None:
    first, second = synced.segments[:2]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    error = synced.refused()
    assert (error.path, error.offset) == (first, 0)


def test_a_segment_under_a_number_that_is_not_its_own_is_refused(synced: Synced) -> None:
    shutil.copy(synced.segments[1], synced.segments[2])
    assert synced.refused().path == synced.segments[2]


def test_a_segment_of_another_store_is_refused(
    synced: Synced, tmp_path: Path, secret_key: str, machine: Machine
) -> None:
    """Even one with the same number, the same first sequence and the same secret key."""
    other = Synced(tmp_path / "other", secret_key, machine)
    assert [segment.name for segment in other.segments] == [segment.name for segment in synced.segments]
    for mine, theirs in zip(synced.segments, other.segments, strict=True):
        shutil.copy(theirs, mine)
        error = synced.refused()
        assert (error.path, error.offset) == (mine, 0)
        synced.heal()


def test_a_missing_base_is_refused(synced: Synced) -> None:
    (base,) = bases(synced.path)
    base.unlink()
    error = synced.refused()
    assert (error.path, error.offset) == (base, 0)


def test_a_changed_base_is_refused(synced: Synced) -> None:
    (base,) = bases(synced.path)
    size = base.stat().st_size
    for offset in (*range(0, size, size // 7), size - 1):
        flip(base, offset, 1)
        assert synced.refused().path == base
        flip(base, offset, 1)
    for other in (size - 1, size - 4096, 0, size + 1):
        os.truncate(base, other)
        assert synced.refused().path == base
        synced.heal()
    assert synced.opened() == synced.expected


def test_a_missing_manifest_is_refused(synced: Synced) -> None:
    (synced.path / "manifest").unlink()
    error = synced.refused()
    assert (error.path, error.offset) == (synced.path / "manifest", 0)
    assert not (synced.path / "manifest").exists()


def test_any_change_of_the_manifest_is_refused(synced: Synced) -> None:
    manifest = synced.path / "manifest"
    content = manifest.read_bytes()
    for offset in range(0, len(content), 7):
        flip(manifest, offset, 2)
        error = synced.refused()
        assert (error.path, error.offset) == (manifest, 0), offset
        synced.heal()
    for size in (0, 1, len(content) // 2, len(content) - 1):
        os.truncate(manifest, size)
        assert synced.refused().path == manifest
        synced.heal()


@pytest.mark.parametrize("body", [b"{}", b"null", b"[]", b'"text"', b'{"format": 1}', b'{"format": "one"}', b"\xff"])
def test_a_manifest_of_another_shape_is_refused(synced: Synced, body: bytes) -> None:
    (synced.path / "manifest").write_bytes(body + b"\n%08x\n" % zlib.crc32(body))
    assert synced.refused().path == synced.path / "manifest"


def test_a_manifest_that_names_another_store_is_refused(synced: Synced) -> None:
    """A manifest of another store is whole by itself; that the log carries another salt gives it away."""
    manifest = synced.path / "manifest"
    facts = json.loads(manifest.read_bytes().partition(b"\n")[0])
    facts["salt"] = "00" * 32
    body = json.dumps(facts).encode()
    manifest.write_bytes(body + b"\n%08x\n" % zlib.crc32(body))
    assert synced.refused().path == synced.segments[0]


def test_damage_below_the_synced_mark_is_no_torn_tail(path: Path, secret_key: str, machine: Machine) -> None:
    """The hole reaches over the mark: what was on disk may not vanish with what was not."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        store.create({"n": 1})
        store.create({"n": 2})
    machine.reboot()
    segment = segments(path)[0]
    second = entries(segment)[1]
    content = bytearray(segment.read_bytes())
    content[second.offset + 5 :] = bytes(len(content) - second.offset - 5 + 100)
    segment.write_bytes(content)
    with pytest.raises(crudjt.StoreCorrupt) as caught:
        crudjt.open(path, secret_key=secret_key)
    assert (caught.value.path, caught.value.offset) == (segment, second.offset)


# Records in the view


def reads(store: crudjt.Store, token: str) -> list[Callable[[], object]]:
    """Return every call that looks into a record."""
    return [
        lambda: store.peek(token),
        lambda: store.read(token),
        lambda: store.read_many([token]),
        lambda: store.update(token, {"b": 2}),
        lambda: store.touch(token, ttl=5),
        lambda: store.rotate(token),
    ]


def assert_corrupt(store: crudjt.Store, path: Path, token: str, session_id: str) -> None:
    for call in reads(store, token):
        with pytest.raises(crudjt.StoreCorrupt) as caught:
            call()
        assert caught.value.path == path
        assert session_id in str(caught.value)


def flipping(offset: int) -> Callable[[bytearray], None]:
    def change(record: bytearray) -> None:
        record[offset] ^= 1

    return change


@pytest.mark.parametrize("limits", [{}, {"max_reads": 3}, {"ttl": 60}, {"idle": 60}, {"subject": "anna"}])
def test_a_record_that_was_changed_anywhere_is_an_error_at_every_read(
    store: crudjt.Store, path: Path, limits: dict[str, object]
) -> None:
    """Every byte: format, flags, version, times, reads left, subject tag, nonce, data and authentication tag."""
    token = store.create({"a": 1}, **limits)  # type: ignore[arg-type] # each is what its name says
    session = store.peek(token)
    assert session is not None
    size = len(record_of(store, session.id))
    for offset in range(size):
        spoil(store, session.id, flipping(offset))
        for call in reads(store, token):
            with pytest.raises(crudjt.StoreCorrupt):
                call()
        spoil(store, session.id, flipping(offset))
    assert store.peek(token) is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("expires", 2**60),
        ("expires", 1),
        ("expires", 0),
        ("hard expiry", 2**60),
        ("idle timeout", 2**40),
        ("reads left", 2**40),
        ("reads left", 0),
        ("version", 9),
    ],
)
def test_limits_that_were_changed_on_disk_are_an_error(
    store: crudjt.Store, path: Path, clock: FakeClock, field: str, value: int
) -> None:
    """Whether the change would give the session more than it has, or less."""
    token = store.create({"a": 1}, ttl=60, max_reads=2, idle=30)
    session = store.peek(token)
    assert session is not None
    at, size = {
        "version": (4, 4),
        "expires": (16, 8),
        "hard expiry": (24, 8),
        "idle timeout": (32, 8),
        "reads left": (40, 8),
    }[field]

    def change(record: bytearray) -> None:
        record[at : at + size] = value.to_bytes(size, "little")

    spoil(store, session.id, change)
    assert_corrupt(store, path, token, session.id)


def test_a_record_moved_to_another_id_is_an_error(store: crudjt.Store, path: Path) -> None:
    tokens = [store.create({"user": name}) for name in ("mallory", "admin")]
    sessions = [store.peek(token) for token in tokens]
    assert sessions[0] is not None
    assert sessions[1] is not None
    admins = record_of(store, sessions[1].id)
    spoil(store, sessions[0].id, lambda record: record.__setitem__(slice(None), admins))
    assert_corrupt(store, path, tokens[0], sessions[0].id)
    assert store.peek(tokens[1]) is not None


@pytest.mark.parametrize("size", [0, 1, 63, 100])
def test_a_record_that_was_cut_short_is_an_error(store: crudjt.Store, path: Path, size: int) -> None:
    token = store.create({"a": 1})
    session = store.peek(token)
    assert session is not None
    spoil(store, session.id, lambda record: record.__delitem__(slice(size, None)))
    assert_corrupt(store, path, token, session.id)


@pytest.mark.parametrize("offset", [0, 20, 70, 90], ids=["format", "expires", "nonce", "data"])
def test_a_damaged_record_of_a_subject_is_an_error_to_list_and_is_revoked_with_the_others(
    store: crudjt.Store, offset: int
) -> None:
    """A list never passes over a session that may be alive; to end one, it need not be readable."""
    store.create({"a": 1}, ttl=60, subject="anna")
    damaged = next(store.sessions("anna"))
    store.create({"a": 2}, ttl=60, subject="anna")
    spoil(store, damaged.id, flipping(offset))
    with pytest.raises(crudjt.StoreCorrupt):
        _ = list(store.sessions("anna"))
    assert store.revoke("anna") == 2
    assert list(store.sessions("anna")) == []
    assert stored(store) == {}


def test_a_damaged_record_does_not_stop_the_others(store: crudjt.Store, clock: FakeClock) -> None:
    tokens = [store.create({"n": n}, ttl=60 + n) for n in range(3)]
    session = store.peek(tokens[1])
    assert session is not None
    spoil(store, session.id, flipping(0))
    assert store.read(tokens[0]) is not None
    assert store.update(tokens[2], {"n": 5}) is True
    clock.advance(60)
    assert store.sweep() == 1
    assert store.stats().sessions == 2
