"""The doctor: checks the files of a store against each other, without a key and without changing anything.

A store may be in use during the check. Then the log is checked up to its end as of one snapshot of the view, according
to the control block, and compaction waits, so that no file is removed during the check.
"""

import threading
from contextlib import ExitStack
from pathlib import Path

from crudjt import _filesystem
from crudjt._backends.embedded.doctor.lmdb_pages import Tree
from crudjt._backends.embedded.doctor.locks import at_rest, check_is_store, maintenance_waits
from crudjt._backends.embedded.doctor.report import Finding, Report, size_text
from crudjt._backends.embedded.doctor.snapshot import LiveView, hold_live_view
from crudjt._backends.embedded.doctor.view_check import ViewContents
from crudjt._backends.embedded.engine import manifest
from crudjt._backends.embedded.engine.control_block import CONTROL_BYTES, OTHER_PID_NAMESPACE, ControlBlock, LogEnd
from crudjt._backends.embedded.engine.log import LOG_DIRECTORY
from crudjt._backends.embedded.engine.manifest import Base, Manifest
from crudjt._backends.embedded.engine.os_errors import inaccessible
from crudjt._backends.embedded.engine.reader import BASE_DIRECTORY, CONTROL_FILE, VIEW_DIRECTORY
from crudjt._backends.embedded.engine.recovery import base_path, check_tail
from crudjt._backends.embedded.engine.segment import (
    HEADER_BLOCK_BYTES,
    SegmentReader,
    header_copies,
    is_empty,
    segment_numbers,
    segment_path,
)
from crudjt._backends.embedded.engine.view import DATA_FILE
from crudjt._core.changes import DELETE, SESSION
from crudjt.errors import StoreBusy, StoreCorrupt, StoreError, StoreInaccessible

_REPAIR = "stop the processes that use the store and run: crudjt doctor --repair"

_examining = threading.Lock()  # LMDB opens a tree once in a process


def examine(directory: Path) -> Report:
    """Check every file of a store. Needs memory for the live data once, and for the largest segment.

    Raises:
        StoreInaccessible: there is no store, or no permission to read it.
        StoreFormatError: a newer version wrote it.
        StoreBusy: other processes kept recovering, repairing, compacting or sweeping it.

    """
    check_is_store(directory)
    try:
        with _examining, at_rest(directory), maintenance_waits(directory):
            return Examination(directory).report()
    except PermissionError as error:
        raise inaccessible(error, directory) from error
    except _filesystem.UnsafeFile as error:
        raise StoreInaccessible(directory, str(error.strerror)) from error


class Examination:
    """One pass over a store; the parts are checked in the order in which recovery reads them.

    Attributes:
        findings: in the order in which they were made.
        manifest: ``None`` if it is missing or damaged.
        sessions: the sessions of base and log, as long as both are intact.
        log_is_whole: base and log are intact and hold all sessions.
        view_is_whole: the view is intact and holds all sessions.

    """

    def __init__(self, directory: Path) -> None:
        """Prepare; the caller holds the locks."""
        self.directory = directory
        self.findings: list[Finding] = []
        self.manifest: Manifest | None = None
        self.sessions: dict[bytes, bytes] = {}
        self.log_is_whole = True
        self.view_is_whole = False
        self._sequence = 0

    def report(self) -> Report:
        """Check everything."""
        self._check_manifest()
        with ExitStack() as stack:
            live = None
            if self._view_is_of_this_boot():
                live = self._control_and_snapshot(stack)
            self._check_base()
            self._check_log(None if live is None else live.log_end)
            if live is not None:
                self._check_view(live)
        self._list_leftovers()
        return Report(self.findings)

    @property
    def _base(self) -> Base | None:
        return None if self.manifest is None else self.manifest.base

    def _ok(self, path: Path, text: str) -> None:
        self.findings.append(Finding(True, path, None, text))  # noqa: FBT003 - the field is named in the class

    def _fault(self, path: Path, offset: int | None, text: str) -> None:
        self.findings.append(Finding(False, path, offset, text))  # noqa: FBT003 - as above

    def _log_fault(self, path: Path, offset: int, text: str) -> None:
        self.log_is_whole = False
        self._fault(path, offset, text)

    # Manifest and control block

    def _check_manifest(self) -> None:
        path = self.directory / manifest.NAME
        try:
            self.manifest = manifest.load(self.directory)
            self._ok(path, f"manifest: whole, format {self.manifest.format}, {len(self.manifest.keys)} keys known")
        except FileNotFoundError:
            self._log_fault(path, 0, f"the manifest is missing, so that the store cannot be opened; {_REPAIR}")
        except StoreCorrupt as error:
            self._log_fault(path, 0, f"{error.reason}, so that the store cannot be opened; {_REPAIR}")

    def _view_is_of_this_boot(self) -> bool:
        boot = None if self.manifest is None else self.manifest.boot
        if boot and boot.id == _filesystem.current_boot().id:
            return True
        if self.manifest:
            self._ok(
                self.directory / VIEW_DIRECTORY,
                "view: of an earlier boot or none; it will be made from base and log at the next opening",
            )
        return False

    def _control_and_snapshot(self, stack: ExitStack) -> LiveView | None:
        assert self.manifest is not None
        path = self.directory / CONTROL_FILE
        text = f"the control block is %s, so that the view cannot be trusted; {_REPAIR}"
        if not path.exists():
            self._fault(path, 0, text % "missing")
            return None
        if path.stat().st_size != CONTROL_BYTES:
            self._fault(path, 0, text % "of a wrong size")
            return None
        control = ControlBlock(path, writable=False)
        stack.callback(control.close)
        if not control.valid:
            self._fault(path, 0, text % "not valid")
            return None
        if control.failed:
            self._fault(
                path, 8, "a sync to disk failed; close the store in every process and open it again: that recovers it"
            )
        try:
            live = stack.enter_context(hold_live_view(self.directory, self.manifest.map_size, control))
        except (StoreError, FileNotFoundError):
            if control.in_other_pid_namespace:
                raise StoreBusy(self.directory, OTHER_PID_NAMESPACE, 0.0) from None
            data = self.directory / VIEW_DIRECTORY / DATA_FILE
            self._fault(data, 0, f"the view cannot be opened, but may be made again from base and log; {_REPAIR}")
            return None
        if live is None:
            self._fault(path, 0, text % "of another view")
            return None
        end = live.log_end
        self._ok(path, f"control block: valid, the log ends in segment {end.segment} with entry {end.sequence:,}")
        return live

    # Base and log

    def _check_base(self) -> None:
        base = self._base
        if not base:
            return
        self._sequence = base.sequence
        path = base_path(self.directory / BASE_DIRECTORY, base.segment)
        if not path.exists():
            self._log_fault(path, 0, f"the base snapshot is missing, with {base.sessions:,} sessions; {_REPAIR}")
            return
        whole = _filesystem.digest_file(path) == (base.size, base.sha256)
        tree = Tree(path)
        try:
            metas = tree.metas()
            items = dict(tree.items(metas[0])) if metas else {}
        finally:
            tree.close()
        if not whole:
            offset = tree.damage[0].offset if tree.damage else 0
            self._log_fault(path, offset, f"the base snapshot differs from what was written; {_REPAIR}")
            return
        self.sessions = {key[len(SESSION) :]: value for key, value in items.items() if key.startswith(SESSION)}
        self._ok(path, f"base: {len(self.sessions):,} sessions, {size_text(base.size)}, SHA-256 as noted")

    def _check_log(self, log_end: LogEnd | None) -> None:
        log = self.directory / LOG_DIRECTORY
        base = self._base
        found = segment_numbers(log)
        first = base.segment if base else 1
        noted = self.manifest.segment if self.manifest else 0
        last = log_end.segment if log_end else max([first if base else 0, noted, *found])
        for number in range(first, last + 1):
            path = segment_path(log, number)
            if number not in found:
                self._log_fault(path, 0, f"log segment {number} is missing, with all its entries; {_REPAIR}")
                continue
            later = [segment_path(log, each) for each in found if each > number]
            is_last = all(is_empty(each) for each in later)
            self._check_segment(path, number, log_end, is_last=is_last)

    def _check_segment(self, path: Path, number: int, log_end: LogEnd | None, *, is_last: bool) -> None:
        is_current = log_end is not None and log_end.segment == number
        try:
            reader = SegmentReader(path, log_end.end if log_end and is_current else None)
            has_entries = reader.filled > HEADER_BLOCK_BYTES
            if reader.header.first_sequence != self._sequence + 1 and is_last and not has_entries and not is_current:
                self._ok(path, f"log segment {number}: empty, begun by a process that died; it is not needed")
                return
            self._check_header(reader, number)
            entries, end = self._replay(reader)
            if is_current:
                self._check_end(reader, end, log_end)
            else:
                check_tail(reader, end, may_be_torn=is_last and log_end is None)
        except StoreCorrupt as error:
            offset = error.offset or 0
            self._log_fault(path, offset, f"log segment {number}, offset {offset}: {error.reason}; {_REPAIR}")
            return
        whole_copies = header_copies(reader.content)
        if whole_copies < 2:  # noqa: PLR2004 - as the format says
            self._fault(
                path, 0, f"log segment {number}: one of its two headers is damaged; nothing is lost yet; {_REPAIR}"
            )
        torn = reader.filled - end
        state = f"{torn} bytes at the end were never on disk and will be cut off" if torn > 0 else _synced(reader, end)
        self._ok(path, f"log segment {number}: {entries:,} entries, {size_text(end)}, {state}")

    def _check_header(self, reader: SegmentReader, number: int) -> None:
        header = reader.header
        if header.number != number or (self.manifest and header.store_salt.hex() != self.manifest.salt):
            raise StoreCorrupt(reader.path, 0, "the segment belongs to another place or store")
        if header.first_sequence == self._sequence + 1:
            return
        if self.log_is_whole:
            raise StoreCorrupt(reader.path, 0, f"the segment does not follow entry {self._sequence}")
        self._sequence = header.first_sequence - 1  # the entries before are damaged, and were reported

    def _replay(self, reader: SegmentReader) -> tuple[int, int]:
        """Apply a segment to `sessions`; return how many entries it has and where the last ends."""
        count, end = 0, HEADER_BLOCK_BYTES
        for entry in reader.entries():
            for kind, id_, value in entry.changes:
                if kind != DELETE:
                    self.sessions[id_] = value
                elif self.sessions.pop(id_, None) is None and self.log_is_whole:
                    raise StoreCorrupt(reader.path, entry.offset, "the entry deletes a session that does not exist")
            count, end, self._sequence = count + 1, entry.end, entry.sequence
        return count, end

    def _check_end(self, reader: SegmentReader, end: int, log_end: LogEnd | None) -> None:
        assert log_end is not None
        if reader.damage is not None:
            raise StoreCorrupt(reader.path, reader.damage.offset, reader.damage.reason)
        if (end, self._sequence) != (log_end.end, log_end.sequence):
            raise StoreCorrupt(reader.path, end, f"the log ends here, and not after entry {log_end.sequence}")

    # View

    def _check_view(self, live: LiveView) -> None:
        path = self.directory / VIEW_DIRECTORY / DATA_FILE
        tree = Tree(path)
        expected = dict(self.sessions) if self.log_is_whole else None
        try:
            contents = ViewContents(tree, live.meta, expected)
        finally:
            tree.close()
        before = len(self.findings)
        for damage in tree.damage[:1]:
            self._fault(path, damage.offset, f"the view is damaged at offset {damage.offset}; {_REPAIR}")
        for text in contents.faults(live.log_end.sessions):
            self._fault(path, None, f"the view {text}; {_REPAIR}")
        if len(self.findings) == before:
            self.view_is_whole = True
            agreeing = ", as base and log say" if self.log_is_whole else ""
            self._ok(
                path, f"view: {contents.sessions:,} sessions{agreeing}, {contents.subjects:,} of them with a subject"
            )

    # The rest

    def _list_leftovers(self) -> None:
        base = self._base
        for path in sorted(self.directory.glob("*/*.tmp")):
            self._ok(path, f"{path.name}: left by a process that died; it will be removed")
        for path in sorted((self.directory / LOG_DIRECTORY).glob("*.torn-*")):
            self._ok(path, f"{path.name}: a torn tail of the log, kept aside; it may be removed")
        for path in sorted(self.directory.glob("damaged-*")):
            self._ok(path, f"{path.name}: damaged files kept aside by a repair; they may be removed")
        if self.manifest:
            for path in sorted((self.directory / BASE_DIRECTORY).glob("*.mdb")):
                if base is None or path != base_path(self.directory / BASE_DIRECTORY, base.segment):
                    self._ok(path, f"{path.name}: a snapshot that is not in use; it will be removed")


def _synced(reader: SegmentReader, end: int) -> str:
    waiting = end - reader.synced_end
    return f"the last {waiting:,} bytes not known to be on disk yet" if waiting > 0 else "all on disk"
