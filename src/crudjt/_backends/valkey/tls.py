"""TLS to the servers of a store. Certificates that are replaced on disk are used from the next connection on."""

import ssl
from pathlib import Path

from crudjt._backends.valkey.location import Servers
from crudjt.errors import InvalidParameter


class Tls:
    """The certificates of one store."""

    def __init__(self, servers: Servers) -> None:
        """Load the files of a store that is reached by TLS.

        Raises:
            InvalidParameter: a file holds no certificate, or no key that belongs to the certificate.

        """
        self._servers = servers
        self._read_at = self._times()
        self._context = _load(servers)

    def context(self) -> ssl.SSLContext:
        """Return the context of a new connection."""
        try:
            times = self._times()
            if times != self._read_at:
                self._context, self._read_at = _load(self._servers), times
        except (OSError, InvalidParameter):
            pass  # files that are being replaced; those that were read before may still be valid
        return self._context

    def _times(self) -> list[int]:
        files = (self._servers.ca, self._servers.certificate, self._servers.key)
        return [Path(file).stat().st_mtime_ns for file in files if file is not None]


def _load(servers: Servers) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=servers.ca)
    except (OSError, ValueError):
        raise InvalidParameter("tls_ca", "tls_ca must be a file of certificates in PEM") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if servers.certificate is not None:
        try:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(servers.certificate, servers.key, password="")
        except (OSError, ValueError):
            raise InvalidParameter(
                "tls_cert", "tls_cert and tls_key must be a certificate and its key in PEM, the key without a password"
            ) from None
    return context
