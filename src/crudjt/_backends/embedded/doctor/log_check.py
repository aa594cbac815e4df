"""The check of base and log, which together hold every session."""

from pathlib import Path

from crudjt._backends.embedded.doctor.lmdb_pages import Tree
from crudjt._backends.embedded.doctor.progress import Meter
from crudjt._backends.embedded.engine.control_block import LogEnd
from crudjt._backends.embedded.engine.layout import BASE_DIRECTORY
from crudjt._backends.embedded.engine.lmdb_format import refuse_other_format
from crudjt._backends.embedded.engine.log import LOG_DIRECTORY
from crudjt._backends.embedded.engine.manifest import Base, Manifest
from crudjt._backends.embedded.engine.recovery import base_path, check_tail
from crudjt._backends.embedded.engine.segment import HEADER_BLOCK_BYTES, header_copies, segment_numbers, segment_path
from crudjt._backends.embedded.engine.segment_reader import SegmentReader, is_empty
from crudjt._core.changes import DELETE, SESSION
from crudjt._core.report import REPAIR, Findings, size_text
from crudjt._filesystem import contents
from crudjt.errors import StoreCorrupt, StoreInaccessible


class LogCheck:
    """Checks the base and the segments after it, in the order in which recovery reads them.

    Attributes:
        sessions: the sessions of base and log, as long as both are intact.
        is_whole: base and log are intact and hold all sessions.

    """

    def __init__(self, directory: Path, manifest: Manifest | None, findings: Findings, meter: Meter) -> None:
        """Take the directory of the store, and its manifest, ``None`` if it is missing or damaged."""
        self.sessions: dict[bytes, bytes] = {}
        self.is_whole = manifest is not None
        self._directory = directory
        self._manifest = manifest
        self._findings = findings
        self._meter = meter
        self._sequence = 0

    def run(self, log_end: LogEnd | None) -> None:
        """Check all, up to the end of the log that the control block of a live view says."""
        self._check_base()
        self._check_log(log_end)

    @property
    def _base(self) -> Base | None:
        return None if self._manifest is None else self._manifest.base

    def _fault(self, path: Path, offset: int, text: str) -> None:
        self.is_whole = False
        self._findings.fault(path, offset, text)

    def _check_base(self) -> None:
        base = self._base
        if not base:
            return
        self._sequence = base.sequence
        path = base_path(self._directory / BASE_DIRECTORY, base.segment)
        if not path.exists():
            self._fault(path, 0, f"the base snapshot is missing, with {base.sessions:,} sessions; {REPAIR}")
            return
        try:
            refuse_other_format(path)
        except StoreInaccessible as error:
            self._fault(path, 0, f"the base snapshot {error.reason}")  # no damage, so nothing to repair
            return
        whole = contents.digest_file(path) == (base.size, base.sha256)
        self._meter.begin(path)
        tree = Tree(path, self._meter.advance)
        try:
            metas = tree.metas()
            items = dict(tree.items(metas[0])) if metas else {}
        finally:
            tree.close()
        if not whole:
            offset = tree.damage[0].offset if tree.damage else 0
            self._fault(path, offset, f"the base snapshot differs from what was written; {REPAIR}")
            return
        self.sessions = {key[len(SESSION) :]: value for key, value in items.items() if key.startswith(SESSION)}
        self._findings.ok(path, f"base: {len(self.sessions):,} sessions, {size_text(base.size)}, SHA-256 as noted")

    def _check_log(self, log_end: LogEnd | None) -> None:
        log = self._directory / LOG_DIRECTORY
        base = self._base
        found = segment_numbers(log)
        first = base.segment if base else 1
        noted = self._manifest.segment if self._manifest else 0
        last = log_end.segment if log_end else max([first if base else 0, noted, *found])
        for number in range(first, last + 1):
            path = segment_path(log, number)
            if number not in found:
                self._fault(path, 0, f"log segment {number} is missing, with all its entries; {REPAIR}")
                continue
            later = [segment_path(log, each) for each in found if each > number]
            is_last = all(is_empty(each) for each in later)
            self._check_segment(path, number, log_end, is_last=is_last)

    def _check_segment(self, path: Path, number: int, log_end: LogEnd | None, *, is_last: bool) -> None:
        is_current = log_end is not None and log_end.segment == number
        self._meter.begin(path)
        try:
            reader = SegmentReader(path, log_end.end if log_end and is_current else None)
            has_entries = reader.filled > HEADER_BLOCK_BYTES
            if reader.header.first_sequence != self._sequence + 1 and is_last and not has_entries and not is_current:
                self._findings.ok(path, f"log segment {number}: empty, begun by a process that died; it is not needed")
                return
            self._check_header(reader, number)
            entries, end = self._replay(reader)
            if is_current:
                self._check_end(reader, end, log_end)
            else:
                check_tail(reader, end, may_be_torn=is_last and log_end is None)
        except StoreCorrupt as error:
            offset = error.offset or 0
            self._fault(path, offset, f"log segment {number}, offset {offset}: {error.reason}; {REPAIR}")
            return
        whole_copies = header_copies(reader.content)
        if whole_copies < 2:  # noqa: PLR2004 - as the format says
            self._findings.fault(
                path, 0, f"log segment {number}: one of its two headers is damaged; nothing is lost yet; {REPAIR}"
            )
        torn = reader.filled - end
        state = f"{torn} bytes at the end were never on disk and will be cut off" if torn > 0 else _synced(reader, end)
        self._findings.ok(path, f"log segment {number}: {entries:,} entries, {size_text(end)}, {state}")

    def _check_header(self, reader: SegmentReader, number: int) -> None:
        header = reader.header
        if header.number != number or (self._manifest and header.store_salt.hex() != self._manifest.salt):
            raise StoreCorrupt(reader.path, 0, "the segment belongs to another place or store")
        if header.first_sequence == self._sequence + 1:
            return
        if self.is_whole:
            raise StoreCorrupt(reader.path, 0, f"the segment does not follow entry {self._sequence}")
        self._sequence = header.first_sequence - 1  # the entries before are damaged, and were reported

    def _replay(self, reader: SegmentReader) -> tuple[int, int]:
        """Apply a segment to `sessions`; return how many entries it has and where the last ends."""
        count, end = 0, HEADER_BLOCK_BYTES
        for entry in reader.entries():
            for kind, id_, value in entry.changes:
                if kind != DELETE:
                    self.sessions[id_] = value
                elif self.sessions.pop(id_, None) is None and self.is_whole:
                    raise StoreCorrupt(reader.path, entry.offset, "the entry deletes a session that does not exist")
            count, end, self._sequence = count + 1, entry.end, entry.sequence
            self._meter.advance(end - entry.offset)
        return count, end

    def _check_end(self, reader: SegmentReader, end: int, log_end: LogEnd | None) -> None:
        assert log_end is not None
        if reader.damage is not None:
            raise StoreCorrupt(reader.path, reader.damage.offset, reader.damage.reason)
        if (end, self._sequence) != (log_end.end, log_end.sequence):
            raise StoreCorrupt(reader.path, end, f"the log ends here, and not after entry {log_end.sequence}")


def _synced(reader: SegmentReader, end: int) -> str:
    waiting = end - reader.synced_end
    return f"the last {waiting:,} bytes not known to be on disk yet" if waiting > 0 else "all on disk"
