"""One blocking connection to a node, over the client library's class for it, with all that class would repeat off."""

import socket
import ssl
import time
from typing import Any

from valkey.connection import Connection, DefaultParser
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

MIN_LIMIT = 0.001  # seconds that a connection is given, however late it is

_TOLERANCE = 0.1  # of a time limit: to set it costs a system call


class _Error(ErrorReply, ResponseError):
    """An error reply, as the client library raises it."""


def _parser(socket_read_size: int) -> Any:
    parser: Any = DefaultParser(socket_read_size=socket_read_size)
    parser.parse_error = _Error
    return parser


class _TlsConnection(Connection):
    """The class of the library would load all certificates for each connection, and trust those of the system too."""

    context: ssl.SSLContext

    def _connect(self) -> ssl.SSLSocket:
        connected: socket.socket = super()._connect()  # type: ignore[no-untyped-call]
        try:
            return self.context.wrap_socket(connected, server_hostname=self.host)
        except BaseException:
            connected.close()
            raise


def _connection(servers: Servers, node: Node, limit: float, context: ssl.SSLContext | None) -> Any:
    options: dict[str, Any] = {
        "socket_timeout": limit,
        "socket_connect_timeout": limit,
        "parser_class": _parser,
        **connection_options(servers, node),
    }
    try:
        kind: Any = Connection if context is None else _TlsConnection
        connection = kind(**options)
    except UnboundLocalError as error:
        if isinstance(error.__context__, BaseException):  # a signal's exception, which the constructor has replaced
            raise error.__context__ from None
        raise
    if context is not None:
        connection.context = context
    return connection


class Link:
    """A connection that has one user at a time.

    Attributes:
        used_at: when it was last used, in seconds of the monotonic clock.

    """

    __slots__ = ("_connection", "_feed", "_gets", "_least", "_most", "_recv", "_sendall", "_socket", "used_at")

    def __init__(self, servers: Servers, node: Node, limit: float, context: ssl.SSLContext | None) -> None:
        """Connect within `limit` seconds, and have the server answer once; without a context there is no TLS.

        Raises:
            Unreachable: there is no connection now.
            StoreInaccessible: there will be none.

        """
        refuse_plaintext(servers, node)
        self.used_at = time.monotonic()
        self._least = self._most = 0.0  # seconds, between which the time limit is left as it is
        self._connection = _connection(servers, node, limit, context)
        try:
            self._connection.connect()
            self._connection.send_command("PING")
            self._connection.read_response()
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
        self._socket: socket.socket = self._connection._sock  # noqa: SLF001 - as above
        self._sendall, self._recv = self._socket.sendall, self._socket.recv
        reader = reply_reader()
        self._feed, self._gets = reader.feed, reader.gets

    def send(self, packed: bytes, limit: float) -> None:
        """Send packed commands, for whose replies `receive` waits about `limit` seconds each, at least `MIN_LIMIT`.

        Raises:
            LinkBroken: they may have been sent.

        """
        try:
            if not self._least < limit < self._most:
                limit = max(limit, MIN_LIMIT)
                self._least, self._most = limit * (1 - _TOLERANCE), limit * (1 + _TOLERANCE)
                self._socket.settimeout(limit)
            self._sendall(packed)
        except TimeoutError as error:
            raise LinkTimedOut from error
        except OSError as error:
            raise LinkBroken from error

    def receive(self, count: int, values: list[Any]) -> None:
        """Append replies to `values` until it has `count`; an error reply is an `ErrorReply` there.

        Raises:
            LinkBroken: no more will come.

        """
        gets = self._gets
        try:
            while True:
                received = self._recv(READ_BYTES)
                if not received:
                    raise LinkBroken
                self._feed(received)
                while (value := gets()) is not INCOMPLETE:
                    values.append(value)
                    if len(values) == count:
                        return
        except TimeoutError as error:
            raise LinkTimedOut from error
        except (ProtocolError, OSError) as error:
            raise LinkBroken from error

    def receive_together(self, count: int) -> list[Any]:
        """Return `count` replies; an error reply is an `ErrorReply` there.

        The parser is told that they are the elements of one, which takes it half of the time.

        Raises:
            LinkBroken: no more will come.

        """
        try:
            self._feed(b"*%d\r\n" % count)
            while True:
                received = self._recv(READ_BYTES)
                if not received:
                    raise LinkBroken
                self._feed(received)
                values: list[Any] = self._gets()
                if values is not INCOMPLETE:
                    return values
        except TimeoutError as error:
            raise LinkTimedOut from error
        except (ProtocolError, OSError) as error:
            raise LinkBroken from error

    def has_ended(self) -> bool:
        """Return whether the server closed the connection, which nothing is expected from."""
        self._most = 0.0  # to be set again: `can_read` changes that of the socket
        try:
            return bool(self._connection.can_read())
        except ValkeyError:
            return True

    def close(self) -> None:
        """Close the connection, whatever its state."""
        self._connection.disconnect()
