"""A client of ``token.TokenService``: the four calls, sent to a master, ours or the original's."""

import os
from collections.abc import Callable
from typing import Any

import grpc
import msgspec
from google.protobuf.message import Message

from crudjt import original
from crudjt.errors import CrudjtError, StoreError, StoreUnavailable
from crudjt.proto import token_pb2
from crudjt.wire import ERROR_KEY, error_of

NO_LIMIT = -1

_TIMEOUT_SECONDS = 30.0
_NO_ANSWER = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
# A forked child must not be given a connection of its parent.
_OPTIONS = [("grpc.use_local_subchannel_pool", 1)]


class TokenClient:
    """Sends what `crudjt.original` would do; what that refuses is refused here, unsent.

    Threads may share it. A forked child connects anew. A lost connection is made again by the next call; no call is
    repeated, since the master may have carried it out.
    """

    def __init__(self, host: str, port: int) -> None:
        """Prepare; the first call connects."""
        self._target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._connect()

    def create(self, data: Any, ttl: Any, silence_read: Any) -> str:
        """Start a session and return its token."""
        checked = original.checked_session(data, ttl, silence_read)
        request = token_pb2.CreateTokenRequest(
            packed_data=checked.packed, ttl=_sent(checked.ttl), silence_read=_sent(checked.silence_read)
        )
        token: str = self._call("CreateToken", request, token_pb2.CreateTokenResponse).token
        return token

    def read(self, token: Any) -> original.Answer | None:
        """Return data and limits of a session, counting the read; ``None`` if there is none."""
        request = token_pb2.ReadTokenRequest(token=original.checked_token(token))
        packed = self._call("ReadToken", request, token_pb2.ReadTokenResponse).packed_data
        answer: original.Answer | None = msgspec.msgpack.decode(packed)
        return answer

    def update(self, token: Any, data: Any, ttl: Any, silence_read: Any) -> bool:
        """Replace data and limits of a live session; return whether there was one."""
        original.checked_token(token)
        checked = original.checked_session(data, ttl, silence_read)
        request = token_pb2.UpdateTokenRequest(
            token=token,
            packed_data=checked.packed,
            ttl=_sent(checked.ttl),
            silence_read=_sent(checked.silence_read),
        )
        result: bool = self._call("UpdateToken", request, token_pb2.UpdateTokenResponse).result
        return result

    def delete(self, token: Any) -> bool:
        """End a session; return whether there was one."""
        request = token_pb2.DeleteTokenRequest(token=original.checked_token(token))
        result: bool = self._call("DeleteToken", request, token_pb2.DeleteTokenResponse).result
        return result

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def _connect(self) -> None:
        self._pid = os.getpid()
        self._channel = grpc.insecure_channel(self._target, options=_OPTIONS)
        self._methods: dict[str, Callable[..., Any]] = {}

    def _call(self, method: str, request: Message, response: type[Message]) -> Any:
        if os.getpid() != self._pid:
            self._connect()
        send = self._methods.get(method)
        if send is None:
            send = self._methods[method] = self._channel.unary_unary(
                f"/token.TokenService/{method}", type(request).SerializeToString, response.FromString
            )
        try:
            return send(request, timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise self._translated(error) from error

    def _translated(self, error: grpc.RpcError) -> CrudjtError:
        """Return the error that our master sent, or what the status code of another comes to."""
        encoded = (value for key, value in error.trailing_metadata() or () if key == ERROR_KEY)
        known = error_of(next(encoded, b""))
        if known is not None:
            return known
        if error.code() in _NO_ANSWER:
            return StoreUnavailable(self._target, f"the master did not answer ({error.code().name}): {error.details()}")
        return StoreError(f"{self._target}: the master failed ({error.code().name}): {error.details()}")


def _sent(limit: int | None) -> int:
    return NO_LIMIT if limit is None else limit
