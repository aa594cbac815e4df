"""A minimal HTTP/2 client, for what gRPC's own clients never send."""

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from tests.support.processes import PATIENCE

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
MAX_CONCURRENT_STREAMS = 3
REFUSED_STREAM, CANCEL = 7, 8

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER_BYTES = 9


class Frame(NamedTuple):
    """A frame of HTTP/2."""

    kind: int
    flags: int
    stream: int
    body: bytes

    @property
    def ends_stream(self) -> bool:
        return self.kind == RST_STREAM or (self.kind in (HEADERS, DATA) and bool(self.flags & END_STREAM))

    @property
    def code(self) -> int:
        """The error code of a RST_STREAM."""
        return int.from_bytes(self.body, "big")

    def encoded(self) -> bytes:
        size = struct.pack(">I", len(self.body))[1:]
        return size + struct.pack(">BBI", self.kind, self.flags, self.stream) + self.body


def reset(stream: int) -> bytes:
    return Frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)).encoded()


def head(stream: int, path: str) -> bytes:
    """Return the headers of a call; its stream stays open."""
    block = b"\x83\x86\x04" + _text(path) + b"\x01" + _text("localhost")
    block += b"\x0f\x10" + _text("application/grpc") + b"\x00" + _text("te") + _text("trailers")
    return Frame(HEADERS, END_HEADERS, stream, block).encoded()


def call(stream: int, path: str, message: bytes) -> bytes:
    """Return a whole call with one message."""
    body = b"\0" + struct.pack(">I", len(message)) + message
    return head(stream, path) + Frame(DATA, END_STREAM, stream, body).encoded()


def _text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode()


class RawConnection:
    """A connection to a server at ``127.0.0.1:PORT``; the server's settings are read and acknowledged."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), PATIENCE)
        self._received = b""
        self.send(PREFACE, Frame(SETTINGS, 0, 0, b"").encoded(), Frame(8, 0, 0, struct.pack(">I", 1 << 30)).encoded())
        settings = next(frame for frame in self.frames() if frame.kind == SETTINGS)
        self.settings = dict(struct.iter_unpack(">HI", settings.body))
        self.send(Frame(SETTINGS, ACK, 0, b"").encoded())

    def send(self, *frames: bytes) -> None:
        self.socket.sendall(b"".join(frames))

    def frames(self) -> Iterator[Frame]:
        """Yield what the server sends, until it disconnects; answer its pings."""
        while True:
            while len(self._received) >= _HEADER_BYTES:
                end = _HEADER_BYTES + int.from_bytes(self._received[:3], "big")
                if len(self._received) < end:
                    break
                kind, flags, stream = struct.unpack(">BBI", self._received[3:_HEADER_BYTES])
                frame = Frame(kind, flags, stream, self._received[_HEADER_BYTES:end])
                self._received = self._received[end:]
                if kind == PING and not flags & ACK:
                    self.send(Frame(PING, ACK, 0, frame.body).encoded())
                yield frame
            part = self.socket.recv(65536)
            if not part:
                return
            self._received += part

    def __enter__(self) -> "RawConnection":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.socket.close()
