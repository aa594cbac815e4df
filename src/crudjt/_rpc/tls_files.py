"""The certificate and the private key of a server, in files."""

import ssl
from pathlib import Path

from crudjt._filesystem.contents import read_parameter_file, read_secret_file
from crudjt.errors import InvalidParameter


def read_pair(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    """Return the content of a certificate, which its issuers may follow, and of its private key; both are PEM.

    Raises:
        InvalidParameter: a file cannot be read or is not PEM, or the key is encrypted or of another certificate.

    """
    contents = read_parameter_file("tls_cert", certificate), read_secret_file("tls_key", key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: b"")
    except (ssl.SSLError, ValueError):
        raise InvalidParameter(
            "tls_cert and tls_key",
            f"tls_cert ({certificate}) and tls_key ({key}) must be a certificate in PEM and its private key, not "
            "encrypted",
        ) from None
    return contents
