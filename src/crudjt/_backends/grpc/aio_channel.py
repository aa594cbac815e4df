"""The connection to a remote store for asyncio: a channel in each event loop, and calls."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio

from crudjt._backends.grpc.channel import channel_to, metadata_for, methods_of
from crudjt._backends.grpc.failures import translated
from crudjt._backends.grpc.location import Remote
from crudjt._backends.grpc.requests import Answer, Request
from crudjt._core.event_loops import runs_trio
from crudjt.errors import StoreClosed


class AsyncConnection:
    """Sends calls of `crudjt.v1.Store`. Connects on use, separately in each event loop and forked child."""

    def __init__(self, remote: Remote) -> None:
        """Store the target; nothing is sent."""
        self._remote = remote
        self._metadata = metadata_for(remote)
        self._pid = 0
        self._channels: dict[asyncio.AbstractEventLoop, tuple[Any, dict[str, Callable[..., Any]]]] = {}
        self.closed = False

    def require_open(self) -> None:
        """Raise `StoreClosed` after `close`."""
        if self.closed:
            raise StoreClosed

    async def ask(self, request: Request[Answer]) -> Answer:
        """Send a request and return its answer.

        Raises:
            CrudjtError: the error that the server raised; `StoreUnavailable` if it did not answer.

        """
        method = self._methods()[request.method]
        with self._translated_errors():
            sent = method(request.message, timeout=self._remote.timeout, metadata=self._metadata)
            return request.answer([response async for response in sent] if request.streams else await sent)

    async def stream(self, name: str, message: Any) -> AsyncGenerator[Any, None]:
        """Yield the responses of a streaming method, without a time limit. Raises as `ask` does."""
        method = self._methods()[name]
        sent = None
        try:
            with self._translated_errors():
                sent = method(message, timeout=None, metadata=self._metadata)
                async for response in sent:
                    yield response
        finally:
            if sent is not None:
                sent.cancel()  # if the caller stops early

    async def close(self) -> None:
        """Disconnect permanently."""
        self.closed = True
        if runs_trio():
            return
        known = self._channels.pop(asyncio.get_running_loop(), None)
        if known is not None and self._pid == os.getpid():
            await known[0].close()

    @contextmanager
    def _translated_errors(self) -> Generator[None, None, None]:
        try:
            yield
        except grpc.RpcError as error:
            self.require_open()
            raise translated(error, self._remote.location) from error
        except (asyncio.CancelledError, asyncio.InvalidStateError, grpc.aio.UsageError):
            self.require_open()  # closing raises these in running calls
            raise

    def _methods(self) -> dict[str, Callable[..., Any]]:
        self.require_open()
        if self._pid != os.getpid():
            self._channels = {}
            self._pid = os.getpid()
        loop = asyncio.get_running_loop()
        known = self._channels.get(loop)
        if known is None:
            channel = channel_to(self._remote, grpc.aio)
            known = channel, methods_of(channel)
            self._channels = {each: used for each, used in self._channels.items() if not each.is_closed()}
            self._channels[loop] = known
        return known[1]
