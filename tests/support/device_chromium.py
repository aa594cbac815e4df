"""A real Chromium whose device keeps its keys in software, and sites that it reaches by TLS."""

import os
import shutil
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from werkzeug.serving import make_server

from tests.support.certificates import Authority, Pair
from tests.support.device_sites import DeviceSite
from tests.support.processes import PATIENCE, eventually

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
_FEATURES = "DeviceBoundSessions,EnableBoundSessionCredentialsSoftwareKeysForManualTesting"


class Certificate(NamedTuple):
    """A certificate for this host."""

    files: Pair
    key_hash: str


def certificate(directory: Path) -> Certificate:
    """Make a certificate for this host."""
    files = Authority(directory, "authority").issue("site")
    public = x509.load_pem_x509_certificate(files.certificate.read_bytes()).public_key()
    hashed = sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    return Certificate(files, b64encode(hashed).decode())


def arguments(used: Certificate) -> list[str]:
    """Return the arguments of a Chromium that trusts the certificate: an error of one would switch the feature off."""
    return [
        f"--enable-features={_FEATURES}",
        f"--ignore-certificate-errors-spki-list={used.key_hash}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # it refuses to run as root with one
    ]


@contextmanager
def serving(site: DeviceSite, used: Certificate) -> Iterator[str]:
    """Serve a site beside the block; gives its URL."""
    server = _asgi_server(site.app, used) if site.is_asgi else _wsgi_server(site.app, used)
    port, stop = server
    try:
        yield f"https://localhost:{port}"
    finally:
        stop()


def _asgi_server(app: Any, used: Certificate) -> tuple[int, Any]:
    config = uvicorn.Config(
        app,
        port=0,
        log_level="warning",
        lifespan="off",
        timeout_graceful_shutdown=1,
        ssl_certfile=used.files.certificate,
        ssl_keyfile=used.files.key,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert eventually(lambda: server.started, PATIENCE)

    def stop() -> None:
        server.should_exit = True
        thread.join(PATIENCE)

    return server.servers[0].sockets[0].getsockname()[1], stop


def _wsgi_server(app: Any, used: Certificate) -> tuple[int, Any]:
    files = (str(used.files.certificate), str(used.files.key))
    server = make_server("localhost", 0, app, threaded=True, ssl_context=files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        thread.join(PATIENCE)
        server.server_close()

    return server.server_port, stop
