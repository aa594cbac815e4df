"""Repair: save all readable sessions of a damaged store into a new base, and keep the damaged files aside.

Nothing of the old store is touched before the new base is on disk and the manifest names it, in one step. A repair that
dies before that step has changed nothing, one that dies after it has left a store that opens. Either way it can be run
again.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from crudjt import _filesystem
from crudjt._backends.embedded.doctor.check import Examination
from crudjt._backends.embedded.doctor.lmdb_pages import Tree
from crudjt._backends.embedded.doctor.locks import at_rest, check_is_store
from crudjt._backends.embedded.doctor.segment_scan import Hole, read_segment, surviving_entries
from crudjt._backends.embedded.engine import manifest
from crudjt._backends.embedded.engine.backup import fill_view
from crudjt._backends.embedded.engine.control_block import LogEnd
from crudjt._backends.embedded.engine.layout import BASE_DIRECTORY, VIEW_DIRECTORY
from crudjt._backends.embedded.engine.lmdb_errors import translated
from crudjt._backends.embedded.engine.lmdb_format import DATA_FILE, refuse_other_format
from crudjt._backends.embedded.engine.log import LOG_DIRECTORY
from crudjt._backends.embedded.engine.manifest import MOVING_FORMAT, Base, Manifest
from crudjt._backends.embedded.engine.os_errors import store_error
from crudjt._backends.embedded.engine.recovery import base_path, rebuild, write_base
from crudjt._backends.embedded.engine.segment import HEADER_BLOCK_BYTES, segment_numbers, segment_path
from crudjt._backends.embedded.engine.segment_reader import SegmentReader
from crudjt._backends.embedded.engine.segment_writer import create_segment
from crudjt._backends.embedded.engine.view import MAP_TO_SIZE, View, ViewError
from crudjt._core.changes import DELETE, SESSION
from crudjt._core.moves import NOTE_ID, header_of
from crudjt._core.record import DamagedRecord
from crudjt._core.report import Finding, Report
from crudjt._core.tokens import ID_BYTES
from crudjt._filesystem import contents, host
from crudjt._filesystem.host import DEFAULT_MAX_SIZE
from crudjt.errors import StoreCorrupt, StoreFull

_SCRATCH = "repair.tmp"


def repair(directory: Path) -> Report:
    """Repair a damaged store with all readable sessions; leave a healthy store unchanged.

    The report counts saved and lost entries, and then describes the store after the repair.

    Raises:
        StoreInaccessible: there is no store, or no permission to change it.
        StoreBusy: a process has it open.
        StoreCorrupt: no header of the log is readable, so nothing can be recovered.
        StoreFull: no room for the new files; nothing was changed.

    """
    check_is_store(directory)
    try:
        with at_rest(directory, alone=True):
            return _repair_alone(directory)
    except ViewError as error:
        raise translated(error, directory) from error
    except OSError as error:
        raise store_error(error, directory, "the repair") from error


def _repair_alone(directory: Path) -> Report:
    _filesystem.remove_tree(directory / _SCRATCH)
    examination = Examination(directory)
    before = examination.report()
    if before.healthy:
        return before
    for name in (VIEW_DIRECTORY, LOG_DIRECTORY, BASE_DIRECTORY):
        _filesystem.make_inner_directory(directory / name)
    saved = _save(directory, examination)
    number = max([saved.manifest.segment, *segment_numbers(directory / LOG_DIRECTORY), *_base_numbers(directory)]) + 1
    try:
        found = _write(directory, saved, number)
        kept = _keep_aside(directory, before, number)
    finally:
        _filesystem.remove_tree(directory / _SCRATCH)
    rebuild(directory, found, fresh_base=False)  # its first step makes the manifest name the new base
    done = [Finding(True, directory, None, text) for text in (*saved.texts(), *kept)]  # noqa: FBT003 - as named
    return Report(done + Examination(directory).report().findings)


@dataclass
class _Saved:
    """The readable sessions, and counts of the unreadable parts."""

    manifest: Manifest
    sessions: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    sequence: int = 0
    losses: list[str] = field(default_factory=list[str])
    may_revive: bool = False

    def texts(self) -> Iterator[str]:
        """Yield the lines of the report."""
        yield f"saved {len(self.sessions):,} sessions"
        yield from (f"lost {loss}" for loss in self.losses)
        if not self.losses:
            yield "lost nothing"
        if self.may_revive:
            yield "sessions that were ended or changed in a lost part of the log may be as they were before it"


def _save(directory: Path, examination: Examination) -> _Saved:
    """Collect the sessions from the best source: base and log, the view of this boot, or the remains of all three."""
    log = directory / LOG_DIRECTORY
    readers = {number: read_segment(segment_path(log, number)) for number in segment_numbers(log)}
    saved = _Saved(_known_facts(directory, examination, readers))
    if examination.view_is_whole and not examination.log_is_whole:
        saved.sessions = dict(_view_items(directory))
        saved.sequence = max((reader.header.first_sequence for reader in readers.values() if reader), default=0)
        for reader in readers.values():
            if reader is not None:
                saved.sequence = max([saved.sequence, *(entry.sequence for entry in surviving_entries(reader, []))])
        return saved
    first = _salvage_base(directory, saved, examination, readers)
    deleted = _replay(log, saved, readers, first)
    if not examination.log_is_whole and examination.manifest is not None and _is_of_this_boot(examination.manifest):
        for id_, record in _view_items(directory):
            if id_ not in deleted:
                saved.sessions.setdefault(id_, record)
    return saved


def _known_facts(directory: Path, examination: Examination, readers: dict[int, SegmentReader | None]) -> Manifest:
    """Return the manifest, rebuilt from the segments if it is lost or of another store."""
    salts = Counter(reader.header.store_salt.hex() for reader in readers.values() if reader)
    del salts[""]
    found = examination.manifest
    if found is not None and (not salts or found.salt in salts):
        return found
    if not salts:
        raise StoreCorrupt(directory / manifest.NAME, 0, "neither the manifest nor a segment says whose store this is")
    salt = salts.most_common(1)[0][0]
    if found is not None:
        return msgspec.structs.replace(found, salt=salt, keys=[], placement={})
    return Manifest(
        map_size=max([DEFAULT_MAX_SIZE, *_map_sizes(directory)]),
        salt=salt,
        keys=[],
        boot=None,
        base=None,
        segment=0,
        doubtful=False,
    )


def _map_sizes(directory: Path) -> Iterator[int]:
    for path in (directory / BASE_DIRECTORY).glob("*.mdb"):
        tree = Tree(path)
        yield from (meta.map_size // MAP_TO_SIZE for meta in tree.metas())
        tree.close()


def _base_numbers(directory: Path) -> list[int]:
    return sorted(int(path.stem) for path in (directory / BASE_DIRECTORY).glob("*.mdb") if path.stem.isdigit())


def _salvage_base(
    directory: Path, saved: _Saved, examination: Examination, readers: dict[int, SegmentReader | None]
) -> int:
    """Collect the sessions of the base; return the first segment to replay over it."""
    base = saved.manifest.base
    if base is not None:
        number, sessions = base.segment, base.sessions
        saved.sequence = base.sequence
    else:
        # Compaction begins segment N before it writes base N, so a base without its segment is none of a live store.
        known = [each for each in _base_numbers(directory) if each in readers] if examination.manifest is None else []
        if not known:
            return 0
        number, sessions = known[-1], 0
        reader = readers[number]
        saved.sequence = reader.header.first_sequence - 1 if reader else 0
    path = base_path(directory / BASE_DIRECTORY, number)
    if path.exists():
        refuse_other_format(path)
        tree = Tree(path)
        saved.sessions = dict(_readable(tree.leaves()))
        tree.close()
        if base is not None and len(saved.sessions) < base.sessions:
            _refuse_unread(path, base)
    lost = sessions - len(saved.sessions)
    if lost > 0:
        saved.losses.append(f"{lost:,} of the {sessions:,} sessions of the base {path.name}")
    return number


def _refuse_unread(path: Path, base: Base) -> None:
    """Refuse to give up sessions of a base that is as it was written: it is this version that cannot read them."""
    if contents.digest_file(path) == (base.size, base.sha256):
        raise StoreCorrupt(
            path,
            0,
            "the base is as it was written, and not all its sessions can be read; nothing was changed: use the version "
            "of crudjt that wrote it",
        )


def _replay(log: Path, saved: _Saved, readers: dict[int, SegmentReader | None], first: int) -> set[bytes]:
    """Apply every readable entry from segment `first` on; return the deleted ids, which must not come back."""
    deleted: set[bytes] = set()
    numbers = [number for number in readers if number >= first]
    for number in range(first or 1, max([saved.manifest.segment, *numbers]) + 1):
        reader = readers.get(number)
        name = segment_path(log, number).name
        if reader is None:
            saved.losses.append(f"all of the log segment {name}")
            saved.may_revive = True
            continue
        if reader.header.store_salt.hex() not in ("", saved.manifest.salt) or reader.header.number != number:
            saved.losses.append(f"nothing of this store with {name}, which belongs to another place or store")
            saved.may_revive = True
            continue
        holes: list[Hole] = []
        for entry in surviving_entries(reader, holes):
            for kind, id_, value in entry.changes:
                if kind == DELETE:
                    deleted.add(id_)
                    saved.sessions.pop(id_, None)
                elif id_ not in deleted:
                    saved.sessions[id_] = value
            saved.sequence = max(saved.sequence, entry.sequence)
        for hole in holes:
            saved.losses.append(
                f"{hole.end - hole.offset:,} bytes of the log segment {name} from offset {hole.offset} on"
            )
            saved.may_revive = True
    return deleted


def _is_of_this_boot(found: Manifest) -> bool:
    return found.boot is not None and found.boot.id == host.current_boot().id


def _view_items(directory: Path) -> Iterator[tuple[bytes, bytes]]:
    path = directory / VIEW_DIRECTORY / DATA_FILE
    if not path.exists():
        return
    tree = Tree(path)
    for meta in tree.metas()[:1]:
        yield from _readable(tree.items(meta))
    tree.close()


def _readable(items: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield id and record of the sessions among the items."""
    for key, record in items:
        if key.startswith(SESSION) and len(key) == len(SESSION) + ID_BYTES:
            try:
                header_of(record)
            except DamagedRecord:
                continue
            yield key[len(SESSION) :], record


def _write(directory: Path, saved: _Saved, number: int) -> Manifest:
    """Write the new base and the segment that follows it; return the manifest that will name them."""
    scratch = directory / _SCRATCH
    _filesystem.make_inner_directory(scratch)
    size = sum(len(record) for record in saved.sessions.values())
    if _filesystem.free_bytes(directory) < size:
        raise StoreFull(directory, "the disk has no room for a new base")
    view = View(scratch, saved.manifest.map_size)
    try:
        fill_view(view, sorted(saved.sessions.items()))
        log_end = LogEnd(number, HEADER_BLOCK_BYTES, saved.sequence, len(saved.sessions))
        base = write_base(view, directory / BASE_DIRECTORY, lambda: (view.snapshot(), log_end))
    finally:
        view.close()
    salt = bytes.fromhex(saved.manifest.salt)
    create_segment(directory / LOG_DIRECTORY, number, saved.sequence + 1, salt)
    format_ = MOVING_FORMAT if NOTE_ID in saved.sessions else saved.manifest.format
    return msgspec.structs.replace(saved.manifest, format=format_, base=base, boot=None, segment=number, doubtful=False)


def _keep_aside(directory: Path, report: Report, number: int) -> list[str]:
    """Link every damaged file into a separate directory, so that it remains when the original is removed."""
    damaged = {Path(finding.path) for finding in report.findings if not finding.healthy}
    damaged = {path for path in damaged if path.is_file()}
    if not damaged:
        return []
    aside = directory / f"damaged-{number:010}"
    _filesystem.make_inner_directory(aside)
    for path in sorted(damaged):
        name = "-".join(path.relative_to(directory).parts)
        if not (aside / name).exists():
            os.link(path, aside / name)
    _filesystem.sync_directory(aside)
    return [f"kept {len(damaged)} damaged files in {aside.name}"]
