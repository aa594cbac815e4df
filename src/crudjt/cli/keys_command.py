"""The command `keys`."""

from typing import Any

import click

from crudjt._core.clock import utc
from crudjt._core.key_uses import HasKeys, KeyUse
from crudjt.cli.context import Settings
from crudjt.cli.options import json_option
from crudjt.cli.progress import progress


@click.command()
@json_option
@click.pass_obj
def keys(settings: Settings) -> None:
    """Show how many live sessions each secret key has.

    One key a line, oldest first, with tabs between: its fingerprint, its sessions, and when it can be dropped.
    """
    with settings.open() as store, progress("Looking"):
        if not isinstance(store, HasKeys):
            raise click.UsageError("this command needs the secret keys; run it where the server has its store")
        uses = store.key_uses()
    for use in uses:
        if use.fingerprint is not None or use.sessions:
            settings.show(_document(use), f"{use.fingerprint or 'unknown'}\t{use.sessions}\t{use.verdict()}")


def _document(use: KeyUse) -> dict[str, Any]:
    return {
        "fingerprint": use.fingerprint,
        "sessions": use.sessions,
        "newest": use.is_newest,
        "endless": use.endless,
        "last_ends_at": utc(use.ends_ms) if use.ends_ms and not use.endless else None,
        "droppable": use.fingerprint is not None and not use.is_newest and not use.sessions,
    }
