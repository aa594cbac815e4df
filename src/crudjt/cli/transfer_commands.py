"""The commands that take sessions out of a store and into one."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from crudjt._backends.embedded.engine.directory import holds_store
from crudjt._core.codec import pack
from crudjt._core.details import Client, pack_details
from crudjt._core.options import Options
from crudjt._core.type_guards import is_dict
from crudjt._core.validation import checked_subject, new_limits
from crudjt.base import Store
from crudjt.cli import json_values
from crudjt.cli.context import Settings
from crudjt.cli.notices import inform
from crudjt.cli.operator_commands import all_pages
from crudjt.cli.options import json_option, path_argument, subject_filter_option
from crudjt.cli.output import document
from crudjt.cli.progress import progress
from crudjt.errors import CrudjtError, InvalidParameter, StoreInaccessible

_BATCH = 500


class _Line(msgspec.Struct, frozen=True):
    """A session to import. The fields of `export` that a new session has otherwise are ignored."""

    data: dict[str, Any]
    subject: str | None = None
    ttl: float | None = None
    idle: float | None = None
    max_reads: int | None = None
    expires_in: float | None = None
    reads_left: int | None = None
    client: Client | None = None
    bound_to: str | None = None
    labels: tuple[str, ...] = ()

    def limits(self) -> tuple[float | None, int | None, float | None, str | None]:
        """Return ttl, max_reads, idle and subject."""
        ttl = self.expires_in if self.ttl is None else self.ttl
        return ttl, self.reads_left if self.max_reads is None else self.max_reads, self.idle, self.subject

    def details(self) -> tuple[Client | None, str | None, tuple[str, ...]]:
        """Return client, thumbprint of a key, and labels."""
        return self.client, self.bound_to, self.labels


@click.command()
@subject_filter_option
@json_option
@click.pass_obj
def export(settings: Settings, subject: str | None) -> None:
    """Print all live sessions with their data, newest first.

    A JSON object a line, as 'import' reads it. There are no tokens in it: no store has them.
    """
    settings.json = True
    with settings.open() as store, progress("Exporting", prints=True) as work:
        work.total = None if subject is not None else store.stats().sessions
        for session in all_pages(store, data=True, subject=subject):
            settings.show(document(session, data=True))
            work.advance(1)


@click.command("import")
@click.argument("file", type=click.File("rb"))
@json_option
@click.pass_obj
def import_sessions(settings: Settings, file: BinaryIO) -> None:
    """Start a session for each line of a file, and print their tokens.

    FILE has a JSON object a line: "data", and if wanted "subject", "ttl", "idle" (seconds), "max_reads", "client"
    ({"address", "agent"}), "bound_to" and "labels"; "-" is the standard input. All lines are checked before the first
    session is made.
    """
    max_data_bytes = Options().max_data_bytes
    with settings.open() as store, progress("Importing", prints=True) as work:
        lines = [_parsed(number, text, store.max_data_bytes or max_data_bytes) for number, text in _numbered(file)]
        work.total = len(lines)
        made = 0
        try:
            for (limits, details), group in itertools.groupby(lines, key=lambda line: (line.limits(), line.details())):
                for tokens in _created(store, [line.data for line in group], limits, details):
                    for token in tokens:
                        settings.show({"token": token}, token)
                    made += len(tokens)
                    work.advance(len(tokens))
        except CrudjtError:
            inform(f"made {made} of {len(lines)} sessions, whose tokens were printed")
            raise


def _numbered(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    return ((number, text) for number, text in enumerate(file, 1) if text.strip())


def _parsed(number: int, text: bytes, max_data_bytes: int) -> _Line:
    """Return a line; name its number in the error if it cannot be stored, and nothing that it holds."""
    try:
        line = msgspec.json.decode(text, type=_Line)
        data = json_values.from_json(line.data)
        if not is_dict(data):
            raise InvalidParameter("data", "data must be an object")
        pack(data, max_data_bytes)
        ttl, max_reads, idle, subject = line.limits()
        new_limits(ttl, idle, max_reads)
        pack_details(*line.details())
        if subject is not None:
            checked_subject(subject)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InvalidParameter("file", f"line {number} of the file is no session in JSON: {error}") from None
    except CrudjtError as error:
        raise InvalidParameter("file", f"line {number} of the file: {error}") from None
    return msgspec.structs.replace(line, data=data)


def _created(
    store: Store, data: list[dict[Any, Any]], limits: tuple[Any, ...], details: tuple[Any, ...]
) -> Iterator[list[str]]:
    ttl, max_reads, idle, subject = limits
    if any(details):
        client, bound_to, labels = details
        for item in data:
            more = {"idle": idle, "subject": subject, "client": client, "bound_to": bound_to, "labels": labels}
            yield [store.create(item, ttl, max_reads, **more)]
        return
    for start in range(0, len(data), _BATCH):
        yield store.create_many(data[start : start + _BATCH], ttl, max_reads, idle=idle, subject=subject)


@click.command()
@path_argument
@json_option
@click.pass_obj
def restore(settings: Settings, path: Path) -> None:
    """Make the store again from a copy of 'backup'.

    The place of the store must be empty or missing. Sessions that were ended after the copy was made are alive again.
    """
    # These need POSIX.
    from crudjt._backends.embedded.doctor.check import examine  # noqa: PLC0415
    from crudjt._backends.embedded.doctor.locks import at_rest  # noqa: PLC0415
    from crudjt._backends.embedded.engine.backup import copy_read_only  # noqa: PLC0415

    place = settings.place
    if not isinstance(place, Path):
        raise click.UsageError("a copy is restored to a directory; --store must be one (to servers: crudjt move)")
    if holds_store(place):
        raise StoreInaccessible(place, "holds a store already; stop the processes that use it, and move it aside first")
    with progress("Checking") as work:
        report = examine(path, work.reach)
    if not report.healthy:
        raise StoreInaccessible(path, f"is not whole, so nothing was restored; see: crudjt --store {path} doctor")
    with progress("Restoring"), at_rest(path):
        copy_read_only(path, place)
    with settings.open(finds_sessions=False) as store:
        sessions = store.stats().sessions
    settings.show({"restored": sessions}, f"restored {sessions} sessions")


TRANSFER_COMMANDS = (export, import_sessions, restore)
