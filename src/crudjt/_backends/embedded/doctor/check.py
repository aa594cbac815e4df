"""The doctor: checks the files of a store against each other, without a key and without changing anything.

A store may be in use during the check. Then the log is checked up to its end as of one snapshot of the view, according
to the control block, and compaction waits, so that no file is removed during the check.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from crudjt import _filesystem
from crudjt._backends.embedded.doctor.lmdb_pages import Tree
from crudjt._backends.embedded.doctor.locks import at_rest, check_is_store, maintenance_waits
from crudjt._backends.embedded.doctor.log_check import LogCheck
from crudjt._backends.embedded.doctor.progress import Meter, Progress, unreported
from crudjt._backends.embedded.doctor.snapshot import LiveView, hold_live_view
from crudjt._backends.embedded.doctor.view_check import ViewContents
from crudjt._backends.embedded.engine import manifest
from crudjt._backends.embedded.engine.control_block import CONTROL_BYTES, OTHER_PID_NAMESPACE, ControlBlock
from crudjt._backends.embedded.engine.layout import BASE_DIRECTORY, CONTROL_FILE, VIEW_DIRECTORY
from crudjt._backends.embedded.engine.lmdb_format import DATA_FILE
from crudjt._backends.embedded.engine.log import LOG_DIRECTORY
from crudjt._backends.embedded.engine.manifest import Manifest
from crudjt._backends.embedded.engine.os_errors import inaccessible
from crudjt._backends.embedded.engine.recovery import base_path
from crudjt._backends.embedded.engine.segment import segment_numbers, segment_path
from crudjt._core.report import REPAIR, Findings, Report
from crudjt._filesystem import host
from crudjt.errors import StoreBusy, StoreCorrupt, StoreError, StoreInaccessible

_examining = threading.Lock()  # LMDB opens a tree once in a process


def examine(directory: Path, progress: Progress = unreported) -> Report:
    """Check every file of a store. Needs memory for the live data once, and for the largest segment.

    Args:
        directory: of the store.
        progress: is called with the bytes of files that were checked so far, and of all of them.

    Raises:
        StoreInaccessible: there is no store, or no permission to read it.
        StoreFormatError: a newer version wrote it.
        StoreBusy: other processes kept recovering, repairing, compacting or sweeping it.

    """
    check_is_store(directory)
    try:
        with _examining, at_rest(directory), maintenance_waits(directory):
            return Examination(directory, progress).report()
    except PermissionError as error:
        raise inaccessible(error, directory) from error
    except _filesystem.UnsafeFile as error:
        raise StoreInaccessible(directory, str(error.strerror)) from error


class Examination:
    """One pass over a store; the parts are checked in the order in which recovery reads them.

    Attributes:
        manifest: ``None`` if it is missing or damaged.
        log_is_whole: base and log are intact and hold all sessions.
        view_is_whole: the view is intact and holds all sessions.

    """

    def __init__(self, directory: Path, progress: Progress = unreported) -> None:
        """Prepare; the caller holds the locks."""
        self.directory = directory
        self.manifest: Manifest | None = None
        self.log_is_whole = False
        self.view_is_whole = False
        self._findings = Findings()
        self._progress = progress

    def report(self) -> Report:
        """Check everything."""
        self._check_manifest()
        with ExitStack() as stack:
            live = None
            if self._view_is_of_this_boot():
                live = self._control_and_snapshot(stack)
            meter = Meter(self._large_files(has_view=live is not None), self._progress)
            log = LogCheck(self.directory, self.manifest, self._findings, meter)
            log.run(None if live is None else live.log_end)
            self.log_is_whole = log.is_whole
            if live is not None:
                self._check_view(live, log.sessions if log.is_whole else None, meter)
        self._list_leftovers()
        return Report(self._findings)

    def _large_files(self, *, has_view: bool) -> Iterator[Path]:
        """Yield the files that take time, in the order in which they are checked."""
        base = None if self.manifest is None else self.manifest.base
        if base:
            yield base_path(self.directory / BASE_DIRECTORY, base.segment)
        log = self.directory / LOG_DIRECTORY
        yield from (segment_path(log, number) for number in segment_numbers(log))
        if has_view:
            yield self.directory / VIEW_DIRECTORY / DATA_FILE

    # Manifest and control block

    def _check_manifest(self) -> None:
        path = self.directory / manifest.NAME
        try:
            self.manifest = manifest.load(self.directory)
            self._findings.ok(
                path, f"manifest: whole, format {self.manifest.format}, {len(self.manifest.keys)} keys known"
            )
        except FileNotFoundError:
            self._findings.fault(path, 0, f"the manifest is missing, so that the store cannot be opened; {REPAIR}")
        except StoreCorrupt as error:
            self._findings.fault(path, 0, f"{error.reason}, so that the store cannot be opened; {REPAIR}")

    def _view_is_of_this_boot(self) -> bool:
        boot = None if self.manifest is None else self.manifest.boot
        if boot and boot.id == host.current_boot().id:
            return True
        if self.manifest:
            self._findings.ok(
                self.directory / VIEW_DIRECTORY,
                "view: of an earlier boot or none; it will be made from base and log at the next opening",
            )
        return False

    def _control_and_snapshot(self, stack: ExitStack) -> LiveView | None:
        assert self.manifest is not None
        path = self.directory / CONTROL_FILE
        text = f"the control block is %s, so that the view cannot be trusted; {REPAIR}"
        if not path.exists():
            self._findings.fault(path, 0, text % "missing")
            return None
        if path.stat().st_size != CONTROL_BYTES:
            self._findings.fault(path, 0, text % "of a wrong size")
            return None
        control = ControlBlock(path, writable=False)
        stack.callback(control.close)
        if not control.valid:
            self._findings.fault(path, 0, text % "not valid")
            return None
        if control.failed:
            self._findings.fault(
                path, 8, "a sync to disk failed; close the store in every process and open it again: that recovers it"
            )
        try:
            live = stack.enter_context(hold_live_view(self.directory, self.manifest.map_size, control))
        except (StoreError, FileNotFoundError):
            if control.in_other_pid_namespace:
                raise StoreBusy(self.directory, OTHER_PID_NAMESPACE, 0.0) from None
            data = self.directory / VIEW_DIRECTORY / DATA_FILE
            self._findings.fault(
                data, 0, f"the view cannot be opened, but may be made again from base and log; {REPAIR}"
            )
            return None
        if live is None:
            self._findings.fault(path, 0, text % "of another view")
            return None
        end = live.log_end
        self._findings.ok(
            path, f"control block: valid, the log ends in segment {end.segment} with entry {end.sequence:,}"
        )
        return live

    # View

    def _check_view(self, live: LiveView, expected: dict[bytes, bytes] | None, meter: Meter) -> None:
        path = self.directory / VIEW_DIRECTORY / DATA_FILE
        meter.begin(path)
        tree = Tree(path, meter.advance)
        try:
            contents = ViewContents(tree, live.meta, expected)
        finally:
            tree.close()
        before = len(self._findings)
        for damage in tree.damage[:1]:
            self._findings.fault(path, damage.offset, f"the view is damaged at offset {damage.offset}; {REPAIR}")
        for text in contents.faults(live.log_end.sessions):
            self._findings.fault(path, None, f"the view {text}; {REPAIR}")
        if len(self._findings) == before:
            self.view_is_whole = True
            agreeing = ", as base and log say" if self.log_is_whole else ""
            self._findings.ok(
                path, f"view: {contents.sessions:,} sessions{agreeing}, {contents.subjects:,} of them with a subject"
            )

    # The rest

    def _list_leftovers(self) -> None:
        base = None if self.manifest is None else self.manifest.base
        for path in sorted(self.directory.glob("*/*.tmp")):
            self._findings.ok(path, f"{path.name}: left by a process that died; it will be removed")
        for path in sorted((self.directory / LOG_DIRECTORY).glob("*.torn-*")):
            self._findings.ok(path, f"{path.name}: a torn tail of the log, kept aside; it may be removed")
        for path in sorted(self.directory.glob("damaged-*")):
            self._findings.ok(path, f"{path.name}: damaged files kept aside by a repair; they may be removed")
        if self.manifest:
            for path in sorted((self.directory / BASE_DIRECTORY).glob("*.mdb")):
                if base is None or path != base_path(self.directory / BASE_DIRECTORY, base.segment):
                    self._findings.ok(path, f"{path.name}: a snapshot that is not in use; it will be removed")
