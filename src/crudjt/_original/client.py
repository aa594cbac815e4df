"""A client of ``token.TokenService``: the four calls, sent to a master of this package or of the original."""

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from crudjt._core.codec import unpack
from crudjt._original import semantics
from crudjt._rpc.addresses import is_this_host
from crudjt._rpc.channel_options import CHANNEL_OPTIONS
from crudjt._rpc.errors import ERROR_KEY, error_of
from crudjt._rpc.proto import token_pb2
from crudjt.errors import CrudjtError, StoreClosed, StoreError, StoreUnavailable

NO_LIMIT = -1

logger = logging.getLogger("crudjt")

_TIMEOUT_SECONDS = 30.0
_NO_ANSWER = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
_METHODS: dict[str, tuple[type[Message], type[Message]]] = {
    "CreateToken": (token_pb2.CreateTokenRequest, token_pb2.CreateTokenResponse),
    "ReadToken": (token_pb2.ReadTokenRequest, token_pb2.ReadTokenResponse),
    "UpdateToken": (token_pb2.UpdateTokenRequest, token_pb2.UpdateTokenResponse),
    "DeleteToken": (token_pb2.DeleteTokenRequest, token_pb2.DeleteTokenResponse),
}


class TokenClient:
    """Sends the calls of `crudjt._original.semantics`. Invalid arguments are refused before sending.

    Threads may share it. A forked child makes its own connection. A lost connection is made again by the next call; no
    call is repeated, since the master may have carried it out.
    """

    def __init__(self, host: str, port: int) -> None:
        """Prepare; the first call connects."""
        if not is_this_host(host):
            logger.warning("tokens and data cross the network in plaintext to a master on another host: %s", host)
        self._target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._connecting = threading.Lock()
        self._connect()

    def create(self, data: Any, ttl: Any, silence_read: Any) -> str:
        """Create a session and return its token."""
        checked = semantics.checked_session(data, ttl, silence_read)
        request = token_pb2.CreateTokenRequest(
            packed_data=checked.packed, ttl=_sent(checked.ttl), silence_read=_sent(checked.silence_read)
        )
        token: str = self._call("CreateToken", request).token
        return token

    def read(self, token: Any) -> semantics.OriginalAnswer | None:
        """Return data and limits of a session and count the read; ``None`` if it does not exist."""
        request = token_pb2.ReadTokenRequest(token=semantics.checked_token(token))
        packed = self._call("ReadToken", request).packed_data
        answer: semantics.OriginalAnswer | None = unpack(packed)
        return answer

    def update(self, token: Any, data: Any, ttl: Any, silence_read: Any) -> bool:
        """Replace data and limits of a live session; return whether there was one."""
        semantics.checked_token(token)
        checked = semantics.checked_session(data, ttl, silence_read)
        request = token_pb2.UpdateTokenRequest(
            token=token,
            packed_data=checked.packed,
            ttl=_sent(checked.ttl),
            silence_read=_sent(checked.silence_read),
        )
        result: bool = self._call("UpdateToken", request).result
        return result

    def delete(self, token: Any) -> bool:
        """End a session; return whether there was one."""
        request = token_pb2.DeleteTokenRequest(token=semantics.checked_token(token))
        result: bool = self._call("DeleteToken", request).result
        return result

    def close(self) -> None:
        """End the connection."""
        if self._pid == os.getpid():
            self._channel.close()

    def _connect(self) -> None:
        self._channel = grpc.insecure_channel(self._target, CHANNEL_OPTIONS)
        self._methods = {name: self._method(name, *types) for name, types in _METHODS.items()}
        self._pid = os.getpid()

    def _method(self, name: str, request: type[Message], response: type[Message]) -> Callable[..., Any]:
        made: Callable[..., Any] = self._channel.unary_unary(
            f"/token.TokenService/{name}", request.SerializeToString, response.FromString
        )
        return made

    def _call(self, name: str, request: Message) -> Any:
        if os.getpid() != self._pid:
            with self._connecting:
                if os.getpid() != self._pid:
                    self._connect()
        try:
            return self._methods[name](request, timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise self._translated(error) from error
        except ValueError:  # closed by another thread
            raise StoreClosed from None

    def _translated(self, error: Any) -> CrudjtError:
        """Return the error that a master of this package sent, or the one for the status code of the original."""
        for key, value in error.trailing_metadata() or ():
            if key == ERROR_KEY and (known := error_of(value)) is not None:
                return known
        if error.code() in _NO_ANSWER:
            return StoreUnavailable(self._target, f"the master did not answer ({error.code().name}): {error.details()}")
        return StoreError(f"{self._target}: the master failed ({error.code().name}): {error.details()}")


def _sent(limit: int | None) -> int:
    return NO_LIMIT if limit is None else limit
