"""Deliberate defects of the store. Each is a function that puts others in the place of some, in this process for good.

They replace whole functions, or what a function calls while it runs. None depends on the text of the source.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from mmap import mmap
from pathlib import Path
from typing import Any

import pytest

from crudjt import _filesystem
from crudjt._backends.embedded.engine import (
    compaction,
    control_block,
    engine,
    opening,
    recovery,
    segment,
    view_changes,
)
from crudjt._backends.embedded.engine.control_block import ControlBlock
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.log import LiveLog
from crudjt._backends.embedded.engine.mmap_writer import MappedSegmentWriter
from crudjt._backends.embedded.engine.open_files import OpenFiles
from crudjt._backends.embedded.engine.segment import HEADER_BLOCK_BYTES, Damage, Entry
from crudjt._backends.embedded.engine.segment_reader import SegmentReader
from crudjt._backends.embedded.engine.segment_writer import SegmentWriter
from crudjt._backends.embedded.engine.view import View
from crudjt._backends.embedded.store import EmbeddedStore
from crudjt._core.changes import DELETE
from crudjt._core.operations import Sessions
from crudjt._core.process_guard import own_memory
from crudjt._filesystem import ownership

_FIRST_CACHE_WORD = control_block.FIRST_CACHE_WORD
_ARGUMENTS_BEFORE_KNOWN = 5  # of `Engine.write`
_MADV_KEEPONFORK = 19  # missing from the module mmap


def replace(owner: Any, name: str, value: Any) -> None:
    """Put something else in the place of what is there."""
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, value)


def around(owner: Any, name: str, function: Callable[..., Any]) -> None:
    """Put `function` in the place of one; it gets that one as its first argument."""
    original = getattr(owner, name)
    replace(owner, name, lambda *arguments, **keywords: function(original, *arguments, **keywords))


@contextmanager
def set_for_a_block(owner: Any, name: str, value: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, value)
        yield


def leave_out(owner: Any, name: str, of_owner: Any, of_name: str) -> None:
    """Let one function do nothing while another calls it."""

    def call(original: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        with set_for_a_block(owner, name, lambda *_arguments, **_keywords: None):
            return original(*arguments, **keywords)

    around(of_owner, of_name, call)


class Through:
    """Another object, but for what a subclass does in another way."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __getitem__(self, key: Any) -> Any:
        return self._inner[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._inner[key] = value


# The read cache


class _WordsLate(Through):
    """Words of the control block: those of the read cache are written when `release_late` is called."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self._late: list[tuple[int, int]] = []

    def __setitem__(self, word: int, number: int) -> None:
        if word >= _FIRST_CACHE_WORD:
            self._late.append((word, number))
        else:
            self._inner[word] = number

    def release_late(self) -> None:
        for word, number in self._late:
            self._inner[word] = number


def word_set_after_the_commit() -> None:
    def write(original: Callable[..., Any], self: Engine, *arguments: Any) -> Any:
        words = _WordsLate(self.words)
        with set_for_a_block(self, "words", words):
            result = original(self, *arguments)
        words.release_late()
        return result

    around(Engine, "write", write)


def cache_filled_unchecked() -> None:
    """Every snapshot says that it includes all transactions."""

    def get_with_id(original: Callable[..., Any], self: Engine, key: bytes) -> Any:
        return original(self, key)[0], 2**64

    around(Engine, "get_with_id", get_with_id)


def cache_used_unchecked() -> None:
    def read(original: Callable[..., Any], self: EmbeddedStore, token: str) -> Any:
        entry = self._cached(token)
        if entry is not None:
            entry.noted = self._words[entry.word]
        return original(self, token)

    around(EmbeddedStore, "read", read)


def write_with_what_was_known() -> None:
    """A write does not look whether the cache entry that it rests on still holds."""

    def write(original: Callable[..., Any], self: Engine, *arguments: Any) -> Any:
        return original(self, *arguments[:_ARGUMENTS_BEFORE_KNOWN])

    around(Engine, "write", write)


# Files and directories


def no_directory_synced() -> None:
    replace(_filesystem, "sync_directory", lambda _path: None)


def only_the_last_directory_synced() -> None:
    def make_directories(path: Path, mode: int = ownership.DIRECTORY_MODE) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _filesystem.make_directory(path, mode)

    replace(_filesystem, "make_directories", make_directories)


def file_renamed_before_its_sync() -> None:
    leave_out(_filesystem, "sync_data", _filesystem, "replace_file")


def base_renamed_before_its_sync() -> None:
    for user in (recovery, compaction):
        leave_out(_filesystem, "sync_data", user, "write_base")


def segments_gone_before_the_manifest() -> None:
    def write_base(original: Callable[..., Any], view: View, directory: Path, begin: Any) -> Any:
        base = original(view, directory, begin)
        recovery.remove_obsolete(directory.parent, base)
        return base

    around(compaction, "write_base", write_base)


# The log


def failed_write_not_cut_off() -> None:
    replace(SegmentWriter, "cut", lambda _self, _end: False)


def dead_writer_not_cut_off() -> None:
    replace(LiveLog, "cut_unfinished", lambda _self, _number: None)


def cut_not_synced() -> None:
    leave_out(LiveLog, "sync", LiveLog, "cut_unfinished")


def room_not_looked_at() -> None:
    def make_room(original: Callable[..., Any], self: MappedSegmentWriter, offset: int, end: int, left: float) -> None:
        if end > self._end:
            original(self, offset, end, left)

    around(MappedSegmentWriter, "make_room", make_room)


def room_not_given_back() -> None:
    def append(original: Callable[..., Any], self: MappedSegmentWriter, entry: bytes, offset: int) -> None:
        try:
            original(self, entry, offset)
        except OSError as error:  # no more than the file can be mapped: only a process that has a map already dies
            if error.errno != errno.ESTALE:
                raise
            SegmentWriter.append(self, entry, offset)

    replace(MappedSegmentWriter, "cut", SegmentWriter.cut)
    around(MappedSegmentWriter, "append", append)


def zeros_taken_for_room() -> None:
    def check_tail(original: Callable[..., Any], reader: SegmentReader, _end: int, **keywords: Any) -> None:
        original(reader, len(reader.content), **keywords)

    around(recovery, "check_tail", check_tail)


class _EqualToAll(int):
    """A CRC that no other differs from."""

    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


def entry_accepted_without_crc() -> None:
    def entry_at(original: Callable[..., Any], self: SegmentReader, offset: int) -> Any:
        with set_for_a_block(segment, "crc32", lambda _body, _salt: _EqualToAll()):
            return original(self, offset)

    around(SegmentReader, "entry_at", entry_at)


def sequence_unchecked() -> None:
    def entries(self: SegmentReader) -> Iterator[Entry]:
        offset = HEADER_BLOCK_BYTES
        while offset < self.filled:
            entry = self.entry_at(offset)
            if isinstance(entry, Damage):
                self.damage = entry
                return
            yield entry
            offset = entry.end

    replace(SegmentReader, "entries", entries)


def delete_not_logged() -> None:
    encode = segment.encode_entry

    def encode_change(original: Callable[..., Any], sequence: int, kind: int, *change: Any) -> Any:
        return original(sequence, kind, *change) if kind != DELETE else encode(sequence, [], change[-1])

    def encode_entry(original: Callable[..., Any], sequence: int, changes: Any, salt: int) -> Any:
        return original(sequence, [change for change in changes if change[0] != DELETE], salt)

    around(engine, "encode_change", encode_change)
    around(engine, "encode_entry", encode_entry)


def log_written_after_the_commit() -> None:
    late: list[Callable[[], None]] = []

    class Committing(Through):
        def commit(self) -> None:
            self._inner.commit()
            while late:
                late.pop()()

    def view(original: Callable[..., Any], self: View, *arguments: Any) -> None:
        original(self, *arguments)
        begin = self.begin

        def begin_committing(*of: Any, **keywords: Any) -> Any:
            transaction = begin(*of, **keywords)
            return Committing(transaction) if of else transaction  # a read passes none

        replace(self, "begin", begin_committing)

    def append(self: MappedSegmentWriter, entry: bytes, offset: int) -> None:
        late.append(partial(SegmentWriter.append, self, entry, offset))  # by a call: others may cut the file by then

    around(View, "__init__", view)
    replace(MappedSegmentWriter, "append", append)
    replace(MappedSegmentWriter, "append_to_sync", append)


def log_end_in_one_slot() -> None:
    for owner, name in ((control_block, "SLOT_OFFSETS"), (engine, "SLOT_OFFSETS"), (control_block, "STATE_OFFSETS")):
        replace(owner, name, (getattr(owner, name)[0],) * 2)
    pack = control_block.pack_slot

    def unpack_odd(original: Callable[..., Any], block: Any) -> Any:
        attention, allocated, *_, filled = original(block)
        return attention, allocated, *control_block.unpack_state(block, control_block.STATE_OFFSETS[0]), filled

    def unpack_even(original: Callable[..., Any], block: Any) -> Any:
        attention, allocated, filled, *_ = original(block)
        return attention, allocated, filled, *control_block.unpack_state(block, control_block.STATE_OFFSETS[0])

    around(engine, "unpack_odd", unpack_odd)
    around(engine, "unpack_even", unpack_even)

    def pack_slot(buffer: Any, offset: int, *fields: int) -> None:
        *known, sessions, _ = fields
        stated = (*known, max(sessions, 0))  # a count that went wrong must not be what catches it
        pack(buffer, offset, *stated, hash(stated))

    for owner in (control_block, engine):
        replace(owner, "pack_slot", pack_slot)


def log_end_believed_unchecked() -> None:
    """The id at the start of a slot is enough."""

    def log_end(self: ControlBlock, transaction: int) -> control_block.LogEnd | None:
        return control_block.LogEnd._make(self.slot(transaction)) if self.holds(transaction) else None

    replace(ControlBlock, "log_end", log_end)


# Syncs and recovery


def sync_tried_again_after_a_failure() -> None:
    leave_out(ControlBlock, "fail", LiveLog, "sync")


def mark_before_the_sync() -> None:
    def sync(original: Callable[..., Any], self: LiveLog, target: Any) -> None:
        with suppress(FileNotFoundError):
            self.writer(target.segment).mark_synced(target.end)
        original(self, target)

    around(LiveLog, "sync", sync)


def doubtful_segment_marked_as_synced() -> None:
    def settle_tail(original: Callable[..., Any], *arguments: Any, doubtful: bool) -> None:
        original(*arguments, doubtful=False)

    around(recovery, "_settle_tail", settle_tail)


def nothing_written_again_after_a_failed_sync() -> None:
    def rebuild(original: Callable[..., Any], directory: Path, found: Any, *, fresh_base: bool) -> Any:
        with set_for_a_block(recovery, "write_base", lambda *_arguments: found.base):
            return original(directory, found, fresh_base=fresh_base)

    around(opening, "rebuild", rebuild)


def torn_tail_not_cut_off() -> None:
    leave_out(SegmentWriter, "cut", recovery, "_settle_tail")


def full_durability_does_not_wait() -> None:
    def sync_to(original: Callable[..., Any], self: Engine, sequence: int, transaction: int = 0) -> None:
        if not transaction:
            original(self, sequence)

    around(Engine, "sync_to", sync_to)


# Operations


def rotate_in_two_transactions() -> None:
    def rotate(self: EmbeddedStore, token: str) -> str | None:
        later: list[Any] = []

        def first(reader: Any) -> tuple[str | None, list[Any]]:
            new, changes = self._sessions.rotate(reader, token, None, self._clock())
            later.extend(changes[:1])
            return new, list(changes[1:])

        new: str | None = self._write(first)
        if later:
            self._write(lambda _reader: (None, later))
        return new

    replace(EmbeddedStore, "rotate", rotate)


def refused_write_not_undone() -> None:
    class CommitsWhatItAborts(Through):
        def abort(self) -> None:
            self._inner.commit()

    def abort(original: Callable[..., Any], self: Engine, transaction: Any, error: BaseException) -> None:
        original(self, CommitsWhatItAborts(transaction), error)

    around(Engine, "_abort", abort)


def labels_of_an_ended_session_stay() -> None:
    replace(engine, "unfile_labels", lambda *_arguments: None)
    leave_out(view_changes, "unfile_labels", engine, "apply")  # and not where a recovery ends what the log has ended


def labels_not_filed_by_a_recovery() -> None:
    replace(recovery, "file_labels", lambda *_arguments: None)


def revoke_looks_once() -> None:
    def revoke(self: EmbeddedStore, subject: str) -> int:
        return sum(self.revoke_id(session.id) for session in list(self.sessions(subject)))

    replace(EmbeddedStore, "revoke", revoke)


def header_believed_unopened() -> None:
    leave_out(Sessions, "open", Sessions, "find_live")


# Other processes, other users


def fork_not_noticed() -> None:
    assert isinstance(own_memory, mmap)
    own_memory.madvise(_MADV_KEEPONFORK)


def files_of_root_not_given_away() -> None:
    leave_out(os, "fchown", _filesystem, "give_to_owner")


def files_named_before_they_are_given_away() -> None:
    replace(_filesystem, "_name_to_make", lambda path: path)


def files_of_a_member_not_for_the_group() -> None:
    leave_out(os, "fchmod", _filesystem, "give_to_owner")


def replaced_files_not_noticed() -> None:
    replace(OpenFiles, "check", lambda _self: None)
