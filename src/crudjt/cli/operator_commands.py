"""The commands with which an operator looks at live sessions and ends them, by handle and never by token."""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import click

from crudjt._core.session import Session
from crudjt.base import Store
from crudjt.cli.context import Settings
from crudjt.cli.errors import NoSuchSession
from crudjt.cli.notices import inform
from crudjt.cli.options import (
    TokenCommand,
    created_before_option,
    data_option,
    handle_argument,
    json_option,
    subject_filter_option,
)
from crudjt.cli.output import show_done, show_listed, show_properties
from crudjt.cli.progress import progress

PAGE = 1000


def all_pages(store: Store, *, data: bool, subject: str | None = None) -> Iterator[Session]:
    """Yield all live sessions, newest first."""
    after: str | None = None
    while True:
        page = store.list(after=after, limit=PAGE, subject=subject, data=data)
        yield from page
        if page.next is None:
            return
        after = page.next


@click.command("list")
@subject_filter_option
@created_before_option
@click.option("--limit", metavar="NUMBER", type=click.IntRange(1, PAGE), default=100, help="At most so many; else 100.")
@click.option("--after", metavar="HANDLE", help="Go on behind this session, the last one of the page before.")
@data_option
@json_option
@click.pass_obj
def list_sessions(
    settings: Settings,
    subject: str | None,
    older_than: float | None,
    limit: int,
    after: str | None,
    data: bool,
) -> None:
    """List the live sessions, newest first.

    One a line, with tabs between: handle, subject, creation, last use, end, address of the client.
    """
    created_before = None if older_than is None else datetime.now(timezone.utc) - timedelta(seconds=older_than)
    with settings.open() as store, progress("Listing"):
        page = store.list(after=after, limit=limit, subject=subject, created_before=created_before, data=data)
    for session in page:
        show_listed(settings, session, data=data)
    if page.next is not None:
        inform(f"there are more sessions; to go on: --after {page.next}")


@click.command()
@subject_filter_option
@json_option
@click.pass_obj
def count(settings: Settings, subject: str | None) -> None:
    """Print how many sessions are alive."""
    with settings.open() as store, progress("Counting"):
        sessions = store.count(subject)
    settings.show({"sessions": sessions}, str(sessions))


@click.command(cls=TokenCommand)
@handle_argument
@data_option
@json_option
@click.pass_obj
def show(settings: Settings, id: str, data: bool) -> None:  # noqa: A002 - named as Session.id is
    """Print what is known of a session, by its handle."""
    with settings.open() as store:
        session = store.find(id)
    if session is None:
        raise NoSuchSession("handle")
    show_properties(settings, session, data=data)


@click.command(cls=TokenCommand)
@handle_argument
@json_option
@click.pass_obj
def end(settings: Settings, id: str) -> None:  # noqa: A002 - named as Session.id is
    """End one session, by its handle."""
    with settings.open() as store:
        done = store.revoke_id(id)
    show_done(settings, "ended", done=done, what="handle")


OPERATOR_COMMANDS = (list_sessions, count, show, end)
