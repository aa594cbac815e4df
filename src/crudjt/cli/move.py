"""The command `move`."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from crudjt._backends.moving import mover
from crudjt._backends.moving.ports import Destination, Source
from crudjt._core.report import counted
from crudjt._registry import backend_of
from crudjt.cli.context import Settings
from crudjt.cli.notices import inform, warn
from crudjt.cli.options import json_option
from crudjt.cli.progress import progress
from crudjt.opening import Parsed, parse, resolve

_NOT_MOVED = 1
_NAMED = 20  # sessions, in words


@click.command()
@click.option(
    "--to",
    required=True,
    metavar="LOCATION",
    help="A directory, or Valkey or Redis servers: valkey+cluster://HOST:PORT/NAME.",
)
@click.option("--dry-run", is_flag=True, help="Only look, and say what would be moved.")
@click.option("--leave", is_flag=True, help="Finish even if some sessions cannot move; they end with the store.")
@json_option
@click.pass_context
def move(
    ctx: click.Context,
    /,
    to: str,
    dry_run: bool,
    leave: bool,
) -> None:
    """Move the sessions to another store while they are in use.

    Both may be a directory, or Valkey or Redis servers. A directory is on one host: to move to one, or from one to
    another, give the command there, and stop the applications on other hosts or let them ask a server (crudjt serve).

    Each process must have the store open with moving_to first (--moving-to); any other raises StoreMoved from now on.
    The command may be stopped at any time and given again. The exit status is 1 if some sessions cannot move. It is a
    move and leaves nothing behind: for a copy, use backup.
    """
    settings: Settings = ctx.obj
    _require_two_stores(settings.place, resolve(to))
    settings = replace(settings, moving_to=to)
    options = settings.options()
    options["create"] = False
    parsed = parse(settings.place, options)
    with ExitStack() as stack:
        left = _look(settings, parsed, stack) if dry_run else _move(settings, parsed, stack, leave=leave)
    ctx.exit(_NOT_MOVED if left and not leave else 0)


def _require_two_stores(source: str | Path, destination: str | Path) -> None:
    for name, place, needed in (("--store", source, "open_source"), ("--to", destination, "open_destination")):
        if not hasattr(backend_of(place), needed):  # an unknown scheme is refused by name
            raise click.UsageError(
                f"{name} is a server; give the directory, or the Valkey or Redis servers, that it has open, on its host"
            )
    if source == destination:
        raise click.UsageError("--to is the store itself; give another directory, or another name behind the URL")


def _look(settings: Settings, parsed: Parsed, stack: ExitStack) -> list[str]:
    """Print what would be moved; return the ids of what cannot."""
    source, exists = parsed.look_at_both()
    stack.callback(source.store.close)
    with progress("Looking") as work:
        work.total = source.store.stats().sessions
        found = mover.plan(source, lambda done: work.reach(done, max(done, work.total or 0)))
    moving = found.sessions - len(found.left)
    state = "goes on" if source.note else "would begin"
    place = "which exists" if exists else "which would be made"
    text = f"the move {state}: {counted(moving, 'session')} to {settings.moving_to}, {place}"
    _name(found.left)
    settings.show({"would_move": moving, "left": found.left, "begun": source.note is not None}, text)
    return found.left


def _move(settings: Settings, parsed: Parsed, stack: ExitStack, *, leave: bool) -> list[str]:
    source, destination = parsed.open_both()
    stack.callback(source.store.close)
    stack.callback(destination.store.close)
    if 0 in (source.replicas, destination.replicas):
        warn("no replica has the sessions: if a server fails while they move, users may be logged out, or come back")
    result = _run(source, destination)
    finished = not result.left or leave
    if finished:
        destination.finish()
    else:
        _name(result.left)
        inform(
            "the move has not finished: these sessions go on where they are until they end. Give the command again "
            "then, or with --leave to finish without them"
        )
    settings.show(
        {"moved": result.moved, "left": result.left, "finished": finished},
        f"moved {counted(result.moved, 'session')}" + (", and finished" if finished else ""),
    )
    return result.left


def _run(source: Source, destination: Destination) -> mover.Progress:
    total = source.store.stats().sessions
    with progress("Moving") as work:
        return mover.move(source, destination, lambda done: work.reach(done.moved, max(total, done.moved)))


def _name(left: list[str]) -> None:
    """Name the sessions that cannot move."""
    for handle in left[:_NAMED]:
        warn(f"session {handle} cannot move: its id does not name the place of its subject, or no key opens it")
    if len(left) > _NAMED:
        warn(f"and {len(left) - _NAMED} more")
