"""Authentication of clients: TLS, and access tokens sent as ``authorization: Bearer …``."""

import hmac
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import grpc

from crudjt._filesystem.contents import read_parameter_file
from crudjt._filesystem.ownership import readable_by_others
from crudjt._rpc.addresses import ACCESS_TOKEN
from crudjt.errors import InvalidParameter, InvalidType
from crudjt.server.handlers import Handler

MIN_ACCESS_TOKEN_CHARACTERS = 22  # of Base64: 128 bits and a little
_RULE = (
    f"each must be at least {MIN_ACCESS_TOKEN_CHARACTERS} printable ASCII characters without spaces (to make one: "
    "openssl rand -base64 32)"
)

# Orchestrators call this without a token. It reveals only whether the server serves.
OPEN_METHODS = frozenset({"/grpc.health.v1.Health/Check"})

MaybeHandler: TypeAlias = "Handler | None"

_logger = logging.getLogger("crudjt.server")


@dataclass(frozen=True)
class TLS:
    """The files of TLS, in PEM.

    Attributes:
        certificate: the certificate of the server, followed by those of its issuers.
        key: its private key, not encrypted.
        client_ca: CA certificates for client certificates; if given, clients must have one.

    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def read(self) -> tuple[bytes, bytes, bytes | None]:
        """Return the content of certificate, key and client CA.

        Raises:
            InvalidParameter: a file cannot be read or is not PEM, or the key does not match the certificate.

        """
        certificate, key = read_parameter_file("tls_cert", self.certificate), read_parameter_file("tls_key", self.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.certificate, self.key, password=lambda: b"")
        except (ssl.SSLError, ValueError):
            raise InvalidParameter(
                "tls_cert and tls_key",
                f"tls_cert ({self.certificate}) and tls_key ({self.key}) must be a certificate in PEM and its private "
                "key, not encrypted",
            ) from None
        if self.client_ca is None:
            return certificate, key, None
        authorities = read_parameter_file("client_ca", self.client_ca)
        try:
            context.load_verify_locations(self.client_ca)
        except ssl.SSLError:
            raise InvalidParameter("client_ca", f"client_ca ({self.client_ca}) holds no certificate in PEM") from None
        return certificate, key, authorities

    def credentials(self) -> grpc.ServerCredentials:
        """Return the credentials for gRPC; raises as `read` does."""
        certificate, key, authorities = self.read()
        mode = readable_by_others(self.key)
        if mode is not None:
            _logger.warning("others may use the private key in %s (mode %04o); chmod 600 it", self.key, mode)
        return grpc.ssl_server_credentials(
            [(key, certificate)], authorities, require_client_auth=authorities is not None
        )


def checked_access_tokens(access_tokens: Sequence[str]) -> list[bytes]:
    """Return access tokens as bytes, as they are sent.

    Raises:
        InvalidParameter: one is too short, or cannot be sent. The message does not contain it.

    """
    if isinstance(access_tokens, str):
        raise InvalidType("access_tokens", "access_tokens must be a list of str, not a str")
    for token in access_tokens:
        if not isinstance(token, str):
            raise InvalidType("access_tokens", f"access_tokens must be a list of str, and holds {type(token).__name__}")
        if not ACCESS_TOKEN.fullmatch(token):
            raise InvalidParameter("access_tokens", f"access_tokens holds one that is empty or cannot be sent; {_RULE}")
        if len(token) < MIN_ACCESS_TOKEN_CHARACTERS:
            raise InvalidParameter("access_tokens", f"access_tokens holds one of only {len(token)} characters; {_RULE}")
    return [token.encode() for token in access_tokens]


def read_access_tokens(path: Path) -> list[str]:
    """Return the access tokens of a file, one on each line. All are valid, so that they can be replaced one by one.

    Raises:
        InvalidParameter: the file cannot be read, is empty, or holds one that is too short.

    """
    content = read_parameter_file("access_token_file", path)
    try:
        tokens = content.decode().split()
    except UnicodeDecodeError:
        raise InvalidParameter("access_token_file", f"access_token_file {path} is not UTF-8 text") from None
    if not tokens:
        raise InvalidParameter("access_token_file", f"access_token_file {path} is empty; write one token on each line")
    mode = readable_by_others(path)
    if mode is not None:
        _logger.warning("others may use the access tokens in %s (mode %04o); chmod 600 it", path, mode)
    checked_access_tokens(tokens)
    return tokens


class BearerCheck(grpc.ServerInterceptor):
    """Interceptor that refuses calls without a valid access token."""

    def __init__(self, access_tokens: Sequence[bytes]) -> None:
        """Take the tokens; there is at least one."""
        self._expected = list(access_tokens)
        self._refuse: Handler = grpc.stream_stream_rpc_method_handler(_refuse)  # reads nothing of what is sent

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], MaybeHandler],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> MaybeHandler:
        """Return the handler of a call, or one that refuses it."""
        if handler_call_details.method in OPEN_METHODS or self._permits(handler_call_details):
            return continuation(handler_call_details)
        return self._refuse

    def _permits(self, details: grpc.HandlerCallDetails) -> bool:
        sent = [value for key, value in details.invocation_metadata if key == "authorization"]
        if len(sent) != 1 or not isinstance(sent[0], str):
            return False
        scheme, _, given = sent[0].partition(" ")
        # Compare with all, so that the time reveals nothing.
        matches = [hmac.compare_digest(given.encode(), expected) for expected in self._expected]
        return scheme.lower() == "bearer" and any(matches)


def _refuse(_messages: object, context: grpc.ServicerContext) -> None:
    context.abort(
        grpc.StatusCode.UNAUTHENTICATED, "no access token, or not a valid one; send it as: authorization: Bearer TOKEN"
    )
