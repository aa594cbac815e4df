"""``token.TokenService``, as the SDKs of the original engine speak it; ``proto/token.proto`` is its definition.

The protocol cannot say that there is no limit, so clients send -1, and some 0.
"""

from crudjt._core.codec import pack_again
from crudjt._original import semantics
from crudjt._rpc.proto.token_pb2 import (
    CreateTokenRequest,
    CreateTokenResponse,
    DeleteTokenRequest,
    DeleteTokenResponse,
    ReadTokenRequest,
    ReadTokenResponse,
    UpdateTokenRequest,
    UpdateTokenResponse,
)
from crudjt.base import Store
from crudjt.server.services.method import Method

NAME = "token.TokenService"

_NIL = b"\xc0"
_NO_LIMIT = (-1, 0)


def create_token(store: Store, request: CreateTokenRequest) -> CreateTokenResponse:
    """Create a session and return its token."""
    data = semantics.unpack(request.packed_data)
    token = semantics.create(store, data, _limit(request.ttl), _limit(request.silence_read))
    return CreateTokenResponse(token=token)


def read_token(store: Store, request: ReadTokenRequest) -> ReadTokenResponse:
    """Return data and limits of a session as MessagePack, nil if there is no session."""
    answer = semantics.read(store, request.token)
    return ReadTokenResponse(packed_data=_NIL if answer is None else pack_again(answer))


def update_token(store: Store, request: UpdateTokenRequest) -> UpdateTokenResponse:
    """Replace data and limits of a session; return whether it existed."""
    data = semantics.unpack(request.packed_data)
    result = semantics.update(store, request.token, data, _limit(request.ttl), _limit(request.silence_read))
    return UpdateTokenResponse(result=result)


def delete_token(store: Store, request: DeleteTokenRequest) -> DeleteTokenResponse:
    """End a session; return whether it existed."""
    return DeleteTokenResponse(result=semantics.delete(store, request.token))


METHODS = {
    "CreateToken": Method(CreateTokenRequest, CreateTokenResponse, create_token),
    "ReadToken": Method(ReadTokenRequest, ReadTokenResponse, read_token),
    "UpdateToken": Method(UpdateTokenRequest, UpdateTokenResponse, update_token),
    "DeleteToken": Method(DeleteTokenRequest, DeleteTokenResponse, delete_token),
}


def _limit(sent: int) -> int | None:
    return None if sent in _NO_LIMIT else sent
