"""Authentication of clients: TLS, and access tokens sent as ``authorization: Bearer …``."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import grpc

from crudjt._filesystem.contents import read_parameter_file
from crudjt._rpc.access_tokens import matching
from crudjt._rpc.tls_files import read_pair
from crudjt.errors import InvalidParameter
from crudjt.server.handlers import Handler

# Orchestrators call this without a token. It reveals only whether the server serves.
OPEN_METHODS = frozenset({"/grpc.health.v1.Health/Check"})

MaybeHandler: TypeAlias = "Handler | None"


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
        certificate, key = read_pair(self.certificate, self.key)
        if self.client_ca is None:
            return certificate, key, None
        authorities = read_parameter_file("client_ca", self.client_ca)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_verify_locations(self.client_ca)
        except ssl.SSLError:
            raise InvalidParameter("client_ca", f"client_ca ({self.client_ca}) holds no certificate in PEM") from None
        return certificate, key, authorities

    def credentials(self) -> grpc.ServerCredentials:
        """Return the credentials for gRPC; raises as `read` does."""
        certificate, key, authorities = self.read()
        return grpc.ssl_server_credentials(
            [(key, certificate)], authorities, require_client_auth=authorities is not None
        )


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
        return scheme.lower() == "bearer" and matching(given.encode(), self._expected) is not None


def _refuse(_messages: object, context: grpc.ServicerContext) -> None:
    context.abort(
        grpc.StatusCode.UNAUTHENTICATED, "no access token, or not a valid one; send it as: authorization: Bearer TOKEN"
    )
