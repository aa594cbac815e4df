"""The commands on sessions. Each calls one method of the store and prints the result."""

from pathlib import Path
from typing import Any

import click

from crudjt._core.codec import pack
from crudjt._core.details import checked_labels
from crudjt._core.options import Options
from crudjt._core.validation import KEEP, KeepType, checked_subject, new_limits, session_limit
from crudjt.cli.context import Settings
from crudjt.cli.errors import NoSuchSession
from crudjt.cli.options import (
    TokenCommand,
    data_argument,
    handle_argument,
    idle_option,
    if_version_option,
    json_option,
    keep_option,
    max_reads_option,
    token_argument,
    ttl_option,
)
from crudjt.cli.output import show_done, show_line, show_session

_NEW_TTL = "New lifetime, from now; 'none' for no end."
_NEW_IDLE = "New idle timeout; 'none' for none."


@click.command()
@data_argument
@ttl_option(None, "End the session after this long.")
@max_reads_option(None, "End it after this many reads.")
@idle_option(None, "End it when it is not read for this long.")
@click.option("--subject", metavar="TEXT", help="Owner (user id), for 'sessions' and 'revoke'.")
@click.option(
    "--max-sessions", type=int, metavar="NUMBER", help="End the oldest sessions of the owner beyond this many."
)
@click.option("--label", "labels", multiple=True, metavar="TEXT", help="Label for 'revoke'; may be repeated.")
@json_option
@click.pass_obj
def create(
    settings: Settings,
    data: Any,
    ttl: float | None,
    max_reads: int | None,
    idle: float | None,
    subject: str | None,
    max_sessions: int | None,
    labels: tuple[str, ...],
) -> None:
    """Start a session and print its token.

    JSON is an object: the data of the session. Makes the store if there is none.
    """
    new_limits(ttl, idle, max_reads)  # what cannot be stored is refused before a store is made
    if subject is not None:
        checked_subject(subject)
    if max_sessions is not None:
        session_limit(max_sessions, "end_oldest", subject)
    checked_labels(labels)
    if isinstance(settings.place, Path):
        pack(data, Options().max_data_bytes)
    with settings.open(create=True) as store:
        about: dict[str, Any] = {"subject": subject, "max_sessions": max_sessions, "labels": labels}
        token = store.create(data, ttl, max_reads, idle=idle, **about)
    settings.show({"token": token}, token)


@click.command(cls=TokenCommand)
@token_argument
@json_option
@click.pass_obj
def read(settings: Settings, token: str) -> None:
    """Print the data of a session, and count the read."""
    with settings.open() as store:
        session = store.read(token)
    show_session(settings, session)


@click.command(cls=TokenCommand)
@token_argument
@json_option
@click.pass_obj
def peek(settings: Settings, token: str) -> None:
    """Print the data of a session without counting a read."""
    with settings.open() as store:
        session = store.peek(token)
    show_session(settings, session)


@click.command(cls=TokenCommand)
@token_argument
@data_argument
@ttl_option(KEEP, _NEW_TTL)
@max_reads_option(KEEP, "New number of reads; 'none' for any number.")
@idle_option(KEEP, _NEW_IDLE)
@if_version_option
@json_option
@click.pass_obj
def update(
    settings: Settings,
    token: str,
    data: Any,
    ttl: float | KeepType | None,
    max_reads: int | KeepType | None,
    idle: float | KeepType | None,
    if_version: int | None,
) -> None:
    """Replace the data of a session.

    A limit that is not given stays as it is.
    """
    with settings.open() as store:
        done = store.update(token, data, ttl, max_reads, idle=idle, if_version=if_version)
    show_done(settings, "updated", done=done)


@click.command(cls=TokenCommand)
@token_argument
@ttl_option(KEEP, _NEW_TTL)
@idle_option(KEEP, _NEW_IDLE)
@json_option
@click.pass_obj
def touch(settings: Settings, token: str, ttl: float | KeepType | None, idle: float | KeepType | None) -> None:
    """Give a session new limits.

    The data stays, and the idle timeout restarts.
    """
    with settings.open() as store:
        done = store.touch(token, ttl, idle=idle)
    show_done(settings, "touched", done=done)


@click.command(cls=TokenCommand)
@token_argument
@json_option
@click.pass_obj
def rotate(settings: Settings, token: str) -> None:
    """Print a new token for a session and end the old one."""
    with settings.open() as store:
        fresh = store.rotate(token)
    if fresh is None:
        raise NoSuchSession
    settings.show({"token": fresh}, fresh)


@click.command(cls=TokenCommand)
@token_argument
@json_option
@click.pass_obj
def delete(settings: Settings, token: str) -> None:
    """End a session."""
    with settings.open() as store:
        done = store.delete(token)
    show_done(settings, "deleted", done=done)


@click.command()
@click.argument("subject")
@json_option
@click.pass_obj
def sessions(settings: Settings, subject: str) -> None:
    """List the live sessions of a subject.

    One a line, with tabs between: handle (for 'revoke-id'), version, creation, end, reads left, data.
    """
    with settings.open() as store:
        for session in store.sessions(subject):
            show_line(settings, session)


@click.command()
@click.argument("subject", required=False)
@click.option("--label", metavar="TEXT", help="Only sessions with this label; without a subject, those of all.")
@keep_option
@json_option
@click.pass_obj
def revoke(settings: Settings, subject: str | None, label: str | None, keep: str | None) -> None:
    """End the sessions of a subject or a label; print how many."""
    if subject is None and label is None:
        raise click.UsageError("name a subject, a label, or both")
    with settings.open() as store:
        ended = store.revoke(subject, keep=keep, label=label)
    settings.show({"revoked": ended}, str(ended))


@click.command("revoke-id", cls=TokenCommand)
@handle_argument
@json_option
@click.pass_obj
def revoke_id(settings: Settings, id: str) -> None:  # noqa: A002 - named as Session.id is
    """End one session by its handle.

    HANDLE is the first column of 'sessions', and "id" in JSON.
    """
    with settings.open() as store:
        done = store.revoke_id(id)
    show_done(settings, "revoked", done=done, what="handle")


SESSION_COMMANDS = (create, read, peek, update, touch, rotate, delete, sessions, revoke, revoke_id)
