"""The command `admin`. Starlette and uvicorn are imported only when it runs."""

from typing import Any

import click

from crudjt._core.extras import require_extra
from crudjt.cli.context import Settings
from crudjt.cli.options import path_option

_DEFAULT_LISTEN = "127.0.0.1:8425"


@click.command()
@click.option("--listen", metavar="HOST:PORT", default=_DEFAULT_LISTEN, help=f"Where; {_DEFAULT_LISTEN} if not given.")
@click.option("--read-only", is_flag=True, help="Show sessions, and end none.")
@click.option("--show-data", is_flag=True, help="Show the data of a session too.")
@path_option("--tls-cert", "Certificate of the page, in PEM.")
@path_option("--tls-key", "Its private key, in PEM.")
@path_option("--access-token-file", "Access tokens, one a line, of which operators must give one.")
@click.pass_obj
def admin(settings: Settings, /, **options: Any) -> None:
    """Serve a page for operators, in a browser.

    It shows who is logged in and whether the store is well, and ends sessions. Prints a link that signs in once, unless
    there are access tokens. Ends with Ctrl-C.
    """
    require_extra("admin")
    from crudjt.cli.admin_page import serve_page  # noqa: PLC0415 - takes long, and the other commands need none of it

    serve_page(settings, **options)
