"""One asyncio connection to a node, over the client library's class for it, with all that class would repeat off."""

import ssl
import time
from collections.abc import Sequence
from typing import Any

from valkey.asyncio.connection import Connection, DefaultParser
from valkey.exceptions import ResponseError, ValkeyError

from crudjt._backends.valkey.failures import (
    LinkBroken,
    cannot_connect,
    connection_options,
    refuse_plaintext,
    refused_connection,
)
from crudjt._backends.valkey.location import Servers
from crudjt._backends.valkey.packing import Command, pack
from crudjt._backends.valkey.replies import ErrorReply
from crudjt._backends.valkey.requests import Node


class _Error(ErrorReply, ResponseError):
    """An error reply, as the client library raises it."""


def _parser(socket_read_size: int) -> Any:
    parser: Any = DefaultParser(socket_read_size=socket_read_size)
    parser.parse_error = _Error
    return parser


class _TlsConnection(Connection):
    """The class of the library would trust the authorities of the system besides that of the store."""

    context: ssl.SSLContext

    def _connection_arguments(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, "ssl": self.context}


class AsyncLink:
    """A connection that has one user at a time, in one event loop. It has no time limits: its user has.

    Attributes:
        used_at: when it was last used, in seconds of the monotonic clock.

    """

    __slots__ = ("_connection", "used_at")

    def __init__(self, servers: Servers, node: Node, context: ssl.SSLContext | None) -> None:
        """Prepare a connection, which `connect` makes; without a context there is no TLS."""
        self.used_at = time.monotonic()
        kind: Any = Connection if context is None else _TlsConnection
        self._connection: Any = kind(socket_timeout=None, parser_class=_parser, **connection_options(servers, node))
        if context is not None:
            self._connection.context = context

    async def connect(self, servers: Servers, node: Node) -> None:
        """Connect, and have the server answer once.

        Raises:
            Unreachable: there is no connection now.
            StoreInaccessible: there will be none.

        """
        refuse_plaintext(servers, node)
        try:
            await self._connection.connect()
            await self._connection.send_command("PING")
            await self._connection.read_response()
        except _Error as error:
            self.close()
            raise refused_connection(error, node, servers.location) from None
        except ValkeyError as error:
            self.close()
            raise cannot_connect(error, node, servers) from error
        except BaseException:
            self.close()
            raise

    async def send(self, commands: Sequence[Command]) -> None:
        """Send commands.

        Raises:
            LinkBroken: they may have been sent.

        """
        try:
            await self._connection.send_packed_command(pack(commands), check_health=False)
        except ValkeyError as error:
            raise LinkBroken from error

    async def receive(self, count: int, values: list[Any]) -> None:
        """Append replies to `values` until it has `count`; an error reply is an `ErrorReply` there.

        Raises:
            LinkBroken: no more will come.

        """
        try:
            while len(values) < count:
                values.append(await self._receive())
        except ValkeyError as error:
            raise LinkBroken from error

    async def _receive(self) -> Any:
        try:
            return await self._connection.read_response()
        except _Error as error:
            return error

    async def has_ended(self) -> bool:
        """Return whether the server closed the connection, which nothing is expected from."""
        try:
            return bool(await self._connection.can_read_destructive())
        except ValkeyError:
            return True

    def close(self) -> None:
        """Close the connection at once, whatever its state."""
        connection = self._connection
        writer = connection._writer  # noqa: SLF001 - what is public waits for what was not sent
        connection._reader = connection._writer = None  # noqa: SLF001 - as above
        if writer is not None:
            writer.transport.abort()
