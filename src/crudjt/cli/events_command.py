"""The command `events`."""

import click

from crudjt._core.clock import iso
from crudjt._core.events import OLDEST, Event
from crudjt.cli.context import Settings
from crudjt.cli.options import json_option
from crudjt.cli.terminal import printable


@click.command()
@click.option("--follow", is_flag=True, help="Go on with what is committed from now on, until interrupted.")
@click.option("--after", metavar="POSITION", help="Go on behind this event; 'oldest' for all that is in the log.")
@json_option
@click.pass_obj
def events(settings: Settings, follow: bool, after: str | None) -> None:
    """Print what was committed to the store, by any process.

    One event a line, with tabs between: time, kind, handle, subject. All of the log, or with --follow what comes.
    """
    with settings.open() as store:
        for event in store.events(after or (None if follow else OLDEST), follow=follow):
            settings.show(event.document(), _line(event))


def _line(event: Event) -> str:
    moment = "-" if event.time is None else iso(event.time)
    if event.time is not None and not event.exact:
        moment = f">={moment}"
    return "\t".join((moment, event.kind, event.id or "-", printable(event.subject or "-")))
