"""The group of the commands, with the options before a command."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from crudjt.cli.admin import admin
from crudjt.cli.auditing import audited, audited_in
from crudjt.cli.context import Connecting, Settings
from crudjt.cli.errors import Commands
from crudjt.cli.events_command import events
from crudjt.cli.keys_command import keys
from crudjt.cli.move import move
from crudjt.cli.notices import warnings_of_the_library
from crudjt.cli.operator_commands import OPERATOR_COMMANDS
from crudjt.cli.options import older_path_option, older_url_option, one_location, path_option, store_option
from crudjt.cli.serve import health, serve
from crudjt.cli.session_commands import SESSION_COMMANDS
from crudjt.cli.store_commands import STORE_COMMANDS, keygen
from crudjt.cli.top_command import top
from crudjt.cli.transfer_commands import TRANSFER_COMMANDS


def _show_version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if not asked or ctx.resilient_parsing:
        return
    try:
        click.echo(f"crudjt {version('crudjt-store')}")
    except PackageNotFoundError:
        click.echo("crudjt (run from its source, without being installed)")
    ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
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
    metavar="LOCATION",
    envvar="CRUDJT_MOVING_TO",
    help="Where 'crudjt move' takes the sessions, now or later.  [CRUDJT_MOVING_TO]",
)
@path_option(
    "--audit-file", "File to append what was done to, as JSON lines; else CRUDJT_AUDIT_FILE.", "CRUDJT_AUDIT_FILE"
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
    audit_file: Path | None,
    assume: tuple[str, ...],
    **connection: Path | bool | int | None,
) -> None:
    """Keep sessions in an encrypted store and hand out tokens for them.

    Durations are seconds, or a number with a unit: 90, 15m, 1.5h, 30d. TOKEN and JSON may be "-": standard input.

    Exit status: 0 done, 1 no such session (or wrong version, or an unhealthy store), 2 bad input, 3 the store failed.
    """
    if ctx.invoked_subcommand != serve.name:  # which has a log
        ctx.with_resource(warnings_of_the_library())
    if audit_file is not None:
        ctx.with_resource(audited_in(audit_file))
    options: dict[str, Connecting] = {**connection, "assume": assume or None}
    ctx.obj = Settings(one_location(store, path, url), secret_key_file, json, options, new_key, moving_to)


_OF_SESSIONS = (*SESSION_COMMANDS, *OPERATOR_COMMANDS, events, top)
_OF_STORES = (*STORE_COMMANDS, *TRANSFER_COMMANDS, keys, move)
for _command in (*_OF_SESSIONS, *_OF_STORES):
    main.add_command(audited(_command))
for _command in (keygen, serve, health, admin):  # they do nothing to a session, or record it themselves
    main.add_command(_command)
