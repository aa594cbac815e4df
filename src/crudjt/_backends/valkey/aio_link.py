"""One asyncio connection to a node, over the client library's class for it, with all that class would repeat off."""

import asyncio
import ssl
import time
from typing import Any

from valkey.asyncio.connection import Connection, DefaultParser
from valkey.exceptions import ResponseError, ValkeyError

from crudjt._backends.valkey.failures import (
    LinkBroken,
    LinkTimedOut,
    cannot_connect,
    connection_options,
    refuse_plaintext,
    refused_connection,
)
from crudjt._backends.valkey.location import Servers
from crudjt._backends.valkey.replies import ErrorReply
from crudjt._backends.valkey.reply_reader import INCOMPLETE, READ_BYTES, ProtocolError, reply_reader
from crudjt._backends.valkey.requests import Node

_UNDRAINED_BYTES = 2**16  # of one write, that may wait for a server that takes nothing


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
    """A connection that has one user at a time, in one event loop.

    Attributes:
        used_at: when it was last used, in seconds of the monotonic clock.
        expired: it was closed since the time for a reply was over.

    """

    __slots__ = ("_connection", "_feed", "_gets", "_reader", "_writer", "expired", "used_at")

    def __init__(self, servers: Servers, node: Node, context: ssl.SSLContext | None) -> None:
        """Prepare a connection, which `connect` makes; without a context there is no TLS."""
        self.used_at = time.monotonic()
        kind: Any = Connection if context is None else _TlsConnection
        self._connection: Any = kind(socket_timeout=None, parser_class=_parser, **connection_options(servers, node))
        if context is not None:
            self._connection.context = context
        self.expired = False

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
        # Its own methods for sending and receiving take a third of the time of a request, and add nothing here.
        self._reader: asyncio.StreamReader = self._connection._reader  # noqa: SLF001 - as above
        self._writer: asyncio.StreamWriter = self._connection._writer  # noqa: SLF001 - as above
        replies = reply_reader()
        self._feed, self._gets = replies.feed, replies.gets

    async def send(self, packed: bytes) -> None:
        """Send packed commands.

        Raises:
            LinkBroken: they may have been sent.

        """
        try:
            self._writer.write(packed)
            if len(packed) > _UNDRAINED_BYTES:
                await self._writer.drain()
        except (OSError, RuntimeError) as error:  # the second by other event loops, where the connection was lost
            raise LinkBroken from error

    async def exchange(self, packed: bytes, count: int, values: list[Any], limit: float) -> None:
        """Send packed commands, and append their replies to `values`, all within `limit` seconds.

        Raises:
            LinkBroken: they may have been sent; `LinkTimedOut` if the time was over.

        """
        end = self.expire_in(limit)
        try:
            await self.send(packed)
            await self.receive(count, values)
        except LinkBroken as error:
            if self.expired:
                raise LinkTimedOut from error
            raise
        finally:
            end.cancel()

    async def receive(self, count: int, values: list[Any]) -> None:
        """Append replies to `values` until it has `count`; an error reply is an `ErrorReply` there.

        Raises:
            LinkBroken: no more will come.

        """
        gets, read = self._gets, self._reader.read
        try:
            while True:
                received = await read(READ_BYTES)
                if not received:
                    raise LinkBroken
                self._feed(received)
                while (value := gets()) is not INCOMPLETE:
                    values.append(value)
                    if len(values) == count:
                        return
        except (ProtocolError, OSError) as error:
            raise LinkBroken from error

    async def receive_together(self, count: int) -> list[Any]:
        """Return `count` replies as `Link.receive_together` does.

        Raises:
            LinkBroken: no more will come.

        """
        read = self._reader.read
        try:
            self._feed(b"*%d\r\n" % count)
            while True:
                received = await read(READ_BYTES)
                if not received:
                    raise LinkBroken
                self._feed(received)
                values: list[Any] = self._gets()
                if values is not INCOMPLETE:
                    return values
        except (ProtocolError, OSError) as error:
            raise LinkBroken from error

    def expire_in(self, seconds: float) -> asyncio.TimerHandle:
        """Close the connection in so many seconds, unless what is returned is cancelled: half of `asyncio.timeout`."""
        return asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        self.expired = True
        self.close()  # whoever waits for a reply finds the end of the stream

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
