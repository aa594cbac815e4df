"""The commands. Each calls one method of the store and prints the result."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
import msgspec

from crudjt._backends.embedded.engine.backup import copy_read_only
from crudjt._backends.embedded.engine.directory import holds_store
from crudjt._backends.embedded.store import EmbeddedStore
from crudjt._core.codec import pack
from crudjt._core.keyring import generate_secret_key
from crudjt._core.options import Options
from crudjt._core.validation import KEEP, KeepType, checked_subject, new_limits
from crudjt._filesystem import is_read_only
from crudjt.cli.context import Connecting, Settings
from crudjt.cli.errors import Commands, NoSuchSession
from crudjt.cli.move import move
from crudjt.cli.notices import warnings_of_the_library
from crudjt.cli.options import (
    TOKEN_FIRST,
    data_argument,
    idle_option,
    if_version_option,
    json_option,
    keep_option,
    max_reads_option,
    older_path_option,
    older_url_option,
    one_location,
    path_argument,
    path_option,
    store_option,
    token_argument,
    ttl_option,
)
from crudjt.cli.output import show_done, show_line, show_report, show_session
from crudjt.cli.progress import progress
from crudjt.cli.serve import health, serve
from crudjt.opening import examiner

_NEW_TTL = "New lifetime, from now; 'none' for no end."
_NEW_IDLE = "New idle timeout; 'none' for none."


def _show_version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if not asked or ctx.resilient_parsing:
        return
    try:
        click.echo(f"crudjt {version('crudjt-store')}")
    except PackageNotFoundError:
        click.echo("crudjt (run from its source, without being installed)")
    ctx.exit()


@click.group(cls=Commands)
@store_option
@path_option("--secret-key-file", "Else CRUDJT_SECRET_KEY, CRUDJT_SECRET_KEY_FILE or a key of your own.")
@path_option("--access-token-file", "Access token file; else CRUDJT_ACCESS_TOKEN or CRUDJT_ACCESS_TOKEN_FILE.")
@path_option("--tls-ca", "Certificates to trust, in PEM.")
@path_option("--tls-cert", "Client certificate (PEM).")
@path_option("--tls-key", "Its key, in PEM.")
@click.option("--allow-plaintext", is_flag=True, default=None, help="Connect to another host without TLS.")
@click.option(
    "--allow-shared-directory", is_flag=True, default=None, help="Use a directory that other users can write to."
)
@click.option(
    "--replicas",
    metavar="NUMBER",
    type=click.IntRange(0),
    help="Replicas that must have a change; 0 if there are none.",
)
@click.option("--assume", metavar="NAME", multiple=True, help="What managed servers do not let be checked, as 'aof'.")
@click.option("--new-key", is_flag=True, help="Use a secret key that the store does not know yet.")
@click.option(
    "--moving-to",
    metavar="URL",
    envvar="CRUDJT_MOVING_TO",
    help="Where 'crudjt move' takes the sessions, now or later.  [CRUDJT_MOVING_TO]",
)
@older_path_option
@older_url_option
@click.option("--json", is_flag=True, help="Print each result, and an error, as a JSON document.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
@click.pass_context
def main(
    ctx: click.Context,
    /,
    store: str | None,
    path: Path | None,
    url: str | None,
    secret_key_file: Path | None,
    new_key: bool,
    moving_to: str | None,
    json: bool,
    assume: tuple[str, ...],
    **connection: Path | bool | int | None,
) -> None:
    """Keep sessions in an encrypted store and hand out tokens for them.

    Durations are seconds, or a number with a unit: 90, 15m, 1.5h, 30d. TOKEN and JSON may be "-": standard input.

    Exit status: 0 done, 1 no such session (or wrong version, or an unhealthy store), 2 bad input, 3 the store failed.
    """
    if ctx.invoked_subcommand != serve.name:  # which has a log
        ctx.with_resource(warnings_of_the_library())
    options: dict[str, Connecting] = {**connection, "assume": assume or None}
    ctx.obj = Settings(one_location(store, path, url), secret_key_file, json, options, new_key, moving_to)


@main.command()
@json_option
@click.pass_obj
def keygen(settings: Settings) -> None:
    """Print a new secret key."""
    settings.refuse_url()
    key = generate_secret_key()
    settings.show({"secret_key": key}, key)


@main.command()
@json_option
@click.pass_obj
def init(settings: Settings) -> None:
    """Make an empty store, and a secret key for a user who has none.

    A store that exists is left as it is.
    """
    is_new = settings.can_be_made()
    with settings.open(create=True, finds_sessions=False):
        settings.show({"made": is_new})


@main.command()
@data_argument
@ttl_option(None, "End the session after this long.")
@max_reads_option(None, "End it after this many reads.")
@idle_option(None, "End it when it is not read for this long.")
@click.option("--subject", metavar="TEXT", help="Owner (user id), for 'sessions' and 'revoke'.")
@json_option
@click.pass_obj
def create(
    settings: Settings, data: Any, ttl: float | None, max_reads: int | None, idle: float | None, subject: str | None
) -> None:
    """Start a session and print its token.

    JSON is an object: the data of the session. Makes the store if there is none.
    """
    new_limits(ttl, idle, max_reads)  # what cannot be stored is refused before a store is made
    if subject is not None:
        checked_subject(subject)
    if isinstance(settings.place, Path):
        pack(data, Options().max_data_bytes)
    with settings.open(create=True) as store:
        token = store.create(data, ttl, max_reads, idle=idle, subject=subject)
    settings.show({"token": token}, token)


@main.command(context_settings=TOKEN_FIRST)
@token_argument
@json_option
@click.pass_obj
def read(settings: Settings, token: str) -> None:
    """Print the data of a session, and count the read."""
    with settings.open() as store:
        session = store.read(token)
    show_session(settings, session)


@main.command(context_settings=TOKEN_FIRST)
@token_argument
@json_option
@click.pass_obj
def peek(settings: Settings, token: str) -> None:
    """Print the data of a session without counting a read."""
    with settings.open() as store:
        session = store.peek(token)
    show_session(settings, session)


@main.command(context_settings=TOKEN_FIRST)
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


@main.command(context_settings=TOKEN_FIRST)
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


@main.command(context_settings=TOKEN_FIRST)
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


@main.command(context_settings=TOKEN_FIRST)
@token_argument
@json_option
@click.pass_obj
def delete(settings: Settings, token: str) -> None:
    """End a session."""
    with settings.open() as store:
        done = store.delete(token)
    show_done(settings, "deleted", done=done)


@main.command()
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


@main.command()
@click.argument("subject")
@keep_option
@json_option
@click.pass_obj
def revoke(settings: Settings, subject: str, keep: str | None) -> None:
    """End all sessions of a subject, and print how many."""
    with settings.open() as store:
        ended = store.revoke(subject, keep=keep)
    settings.show({"revoked": ended}, str(ended))


@main.command("revoke-id")
@click.argument("id")
@json_option
@click.pass_obj
def revoke_id(settings: Settings, id: str) -> None:  # noqa: A002 - named as Session.id is
    """End one session by its handle.

    ID is the handle: the first column of 'sessions', and "id" in JSON.
    """
    with settings.open() as store:
        done = store.revoke_id(id)
    show_done(settings, "revoked", done=done, what="handle")


@main.command()
@json_option
@click.pass_obj
def stats(settings: Settings) -> None:
    """Print counters of the store."""
    with settings.open(finds_sessions=False) as store:
        counters: dict[str, Any] = msgspec.to_builtins(store.stats().counters())
    absent = {name: "never" if name.endswith("_at") else "none" for name in counters}
    lines = (f"{name}: {absent[name] if value is None else value}" for name, value in counters.items())
    settings.show(counters, "\n".join(lines))


@main.command()
@json_option
@click.pass_obj
def sweep(settings: Settings) -> None:
    """Remove expired sessions, and print how many."""
    with settings.open(finds_sessions=False) as store, progress("Sweeping") as work:
        if isinstance(store, EmbeddedStore):
            work.total = store.stats().sessions
            swept = store.sweep(looked_at=work.advance)
        else:
            swept = store.sweep()
    settings.show({"swept": swept}, str(swept))


@main.command()
@path_argument
@json_option
@click.pass_obj
def backup(settings: Settings, path: Path) -> None:
    """Copy the store to a new directory.

    The copy is consistent, and other processes may use the store while it is made. It opens with the same key.
    """
    place = settings.place
    if isinstance(place, Path) and holds_store(place) and is_read_only(place):
        with progress("Copying"):
            copy_read_only(place, path)
    else:
        with settings.open(finds_sessions=False) as store, progress("Copying"):
            store.backup(path)
    settings.show({"backup": str(path)})


@main.command()
@click.option("--repair", is_flag=True, help="Recover all readable sessions, or mend the indexes in servers.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, repair: bool) -> None:
    """Check the files of the store, or its keys in servers.

    Reports the findings as text; needs no secret key.
    """
    settings: Settings = ctx.obj
    examine = examiner(settings.place)
    if examine is None:
        raise click.UsageError("this command checks the store itself; --store must not be a server")
    with progress("Repairing" if repair else "Checking") as work:
        report = examine(settings.place, settings.connection_options(), repair=repair, progress=work.reach)
    show_report(settings, report)
    ctx.exit(0 if report.healthy else 1)


main.add_command(move)
main.add_command(serve)
main.add_command(health)
