"""The commands on a whole store."""

from pathlib import Path

import click

from crudjt._backends.embedded.engine.directory import holds_store
from crudjt._core.keyring import generate_secret_key
from crudjt._filesystem import is_read_only
from crudjt._registry import examiner
from crudjt.base import Store
from crudjt.cli.context import Settings, with_times
from crudjt.cli.options import json_option, path_argument
from crudjt.cli.output import show_report
from crudjt.cli.progress import Work, progress


@click.command()
@json_option
@click.pass_obj
def keygen(settings: Settings) -> None:
    """Print a new secret key."""
    settings.refuse_url()
    key = generate_secret_key()
    settings.show({"secret_key": key}, key)


@click.command()
@json_option
@click.pass_obj
def init(settings: Settings) -> None:
    """Make an empty store, and a secret key for a user who has none.

    A store that exists is left as it is.
    """
    is_new = settings.can_be_made()
    with settings.open(create=True, finds_sessions=False):
        settings.show({"made": is_new})


@click.command()
@json_option
@click.pass_obj
def stats(settings: Settings) -> None:
    """Print counters of the store."""
    with settings.open(finds_sessions=False) as store:
        counters = with_times(store.stats().counters())
    absent = {name: "never" if name.endswith("_at") else "none" for name in counters}
    lines = (f"{name}: {absent[name] if value is None else value}" for name, value in counters.items())
    settings.show(counters, "\n".join(lines))


@click.command()
@json_option
@click.pass_obj
def sweep(settings: Settings) -> None:
    """Remove expired sessions, and print how many."""
    with settings.open(finds_sessions=False) as store, progress("Sweeping") as work:
        swept = _sweep(store, work) if isinstance(settings.place, Path) else store.sweep()
    settings.show({"swept": swept}, str(swept))


def _sweep(store: Store, work: Work) -> int:
    """Sweep the store of a directory, which says how far it has come."""
    from crudjt._backends.embedded.store import EmbeddedStore  # noqa: PLC0415 - not for a store on a server

    if not isinstance(store, EmbeddedStore):
        return store.sweep()
    work.total = store.stats().sessions
    return store.sweep(looked_at=work.advance)


@click.command()
@path_argument
@json_option
@click.pass_obj
def backup(settings: Settings, path: Path) -> None:
    """Copy the store to a new directory.

    The copy is consistent, and other processes may use the store while it is made. It opens with the same key.
    """
    place = settings.place
    if isinstance(place, Path) and holds_store(place) and is_read_only(place):
        from crudjt._backends.embedded.engine.backup import copy_read_only  # noqa: PLC0415 - needs POSIX

        with progress("Copying"):
            copy_read_only(place, path)
    else:
        with settings.open(finds_sessions=False) as store, progress("Copying"):
            store.backup(path)
    settings.show({"backup": str(path)})


@click.command()
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


STORE_COMMANDS = (init, stats, sweep, backup, doctor)
