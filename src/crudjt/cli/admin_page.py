"""Implementation of `admin`."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

import crudjt.aio
from crudjt._core.report import Report
from crudjt._registry import examiner
from crudjt._rpc.access_tokens import read_access_tokens
from crudjt._rpc.listening import TcpAddress, checked_addresses
from crudjt._rpc.tls_files import read_pair
from crudjt.admin.access import SignedIn
from crudjt.admin.application import assembled
from crudjt.cli.auditing import operator_at_the_terminal
from crudjt.cli.context import Settings
from crudjt.cli.notices import inform
from crudjt.errors import InvalidParameter

_LOCAL_NAMES = ["127.0.0.1", "localhost", "[::1]"]
_GRACE_SECONDS = 2


class _Server(uvicorn.Server):
    """A server whose caller handles the signals."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals alone."""
        yield


def serve_page(
    settings: Settings,
    *,
    listen: str,
    read_only: bool,
    show_data: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    access_token_file: Path | None,
) -> None:
    """Check all options, open the store, and serve the page until a signal. The parameters are the options of `admin`.

    Raises:
        InvalidParameter: an option cannot be used, or the address cannot be had.
        StoreError: the store cannot be opened.

    """
    if (tls_cert is None) != (tls_key is None):
        raise InvalidParameter("tls_cert and tls_key", "tls_cert and tls_key must be given together")
    if tls_cert is not None and tls_key is not None:
        read_pair(tls_cert, tls_key)
    tokens = () if access_token_file is None else tuple(read_access_tokens(access_token_file))
    address = checked_addresses([listen], tls=tls_cert is not None, access_tokens=bool(tokens))[0]
    if not isinstance(address, TcpAddress):
        raise InvalidParameter("listen", "listen must be HOST:PORT, not a Unix socket")
    scheme = "http" if tls_cert is None else "https"
    with settings.open() as store, _bound(address) as listening:
        shared = crudjt.aio.wrap(store)
        access = SignedIn(shared, tokens, local=operator_at_the_terminal(), secure=tls_cert is not None)
        page: ASGIApp = assembled(
            shared, store, access, read_only=read_only, show_data=show_data, examine=_examine(settings)
        )
        if address.stays_on_host:  # else a name that a page elsewhere points here would be answered
            page = TrustedHostMiddleware(page, _LOCAL_NAMES)
        config = uvicorn.Config(
            page,
            access_log=False,  # it would hold the codes of links
            log_config=None,
            lifespan="off",
            server_header=False,
            ssl_certfile=tls_cert,
            ssl_keyfile=tls_key,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        place = f"{scheme}://{TcpAddress(address.host, listening.getsockname()[1])}"
        asyncio.run(_serve(_Server(config), access, listening, place))


def _examine(settings: Settings) -> Callable[[], Report] | None:
    check = examiner(settings.place)
    if check is None:
        return None
    return partial(check, settings.place, settings.connection_options(), repair=False, progress=_show_no_progress)


def _show_no_progress(_done: int, _total: int) -> None:
    pass


async def _serve(server: uvicorn.Server, access: SignedIn, listening: socket.socket, place: str) -> None:
    def stop() -> None:
        server.should_exit = True
        access.closing.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    if access.takes_tokens:
        inform(f"The admin page is on {place}/ and takes access tokens. Ctrl-C ends it.")
    else:
        inform(f"Open this link within ten minutes; it signs in once: {place}/enter/{await access.new_link_code()}")
        inform("Ctrl-C ends the page.")
    await server.serve([listening])


@contextmanager
def _bound(address: TcpAddress) -> Generator[socket.socket]:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listening = socket.create_server(address, family=family)
    except OSError as error:
        raise InvalidParameter(
            "listen", f"cannot listen on {address}: {os.strerror(error.errno or 0).lower()}"
        ) from None
    with listening:
        yield listening
