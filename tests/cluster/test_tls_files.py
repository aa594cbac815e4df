"""The certificates of a store on servers: which are trusted, and what happens when they are replaced."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from crudjt._backends.valkey.connections import Connections
from crudjt._backends.valkey.location import servers as parse
from crudjt._backends.valkey.requests import Ask, Reply, Steps
from crudjt._backends.valkey.tls import Tls
from crudjt._backends.valkey.topology import Topology
from crudjt.errors import InvalidParameter, StoreError, StoreInaccessible, StoreUnavailable
from tests.support.certificates import Authority
from tests.support.valkey_servers import SingleServer
from tests.support.valkey_servers import Tls as Certificates

URL = "valkeys://127.0.0.1:1"


def get() -> Steps[list[Reply]]:
    return (yield [Ask(b"a", (b"GET", b"a"))])


def test_only_the_authority_of_the_store_is_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    context = Tls(parse(URL, tls_ca=authority.file)).context()
    assert len(context.get_ca_certs()) == 1
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_files_without_certificates_are_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    pair, other = authority.issue("a"), authority.issue("b")
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(InvalidParameter, match="tls_ca"):
        Tls(parse(URL, tls_ca=empty))
    for certificate, key in ((empty, pair.key), (pair.certificate, empty), (pair.certificate, other.key)):
        with pytest.raises(InvalidParameter, match="tls_cert"):
            Tls(parse(URL, tls_ca=authority.file, tls_cert=certificate, tls_key=key))


def test_key_with_a_password_is_refused_and_none_is_asked_for(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    pair = authority.issue("a")
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    with pytest.raises(InvalidParameter, match="without a password"):
        Tls(parse(URL, tls_ca=authority.file, tls_cert=pair.certificate, tls_key=pair.key))


def test_certificates_that_are_replaced_are_used_from_the_next_connection_on(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    tls = Tls(parse(URL, tls_ca=authority.file))
    before = tls.context()
    assert tls.context() is before
    authority.file.write_bytes(b"is being written")
    assert tls.context() is before
    authority.file.write_bytes(Authority(tmp_path, "other").file.read_bytes())
    after = tls.context()
    assert after is not before
    assert after.get_ca_certs() != before.get_ca_certs()


@pytest.mark.slow
def test_server_without_tls_is_named(tmp_path: Path) -> None:
    certificates = Certificates.issue(tmp_path)
    with SingleServer(tmp_path / "server") as server:
        place = parse(server.url().replace("valkey:", "valkeys:"), tls_ca=certificates.authority.file, timeout=1.0)
        driver = Connections(place, Topology(place.nodes, clustered=False))
        with pytest.raises(StoreError, match=r"without TLS|is TLS on at this port\?"):
            driver.run(get())
        driver.close()


@pytest.mark.slow
def test_missing_client_certificate_is_named(tmp_path: Path) -> None:
    certificates = Certificates.issue(tmp_path)
    with SingleServer(tmp_path / "server", tls=certificates, mutual=True) as server:
        place = parse(server.url(), tls_ca=certificates.authority.file, timeout=1.0)
        driver = Connections(place, Topology(place.nodes, clustered=False))
        with pytest.raises(StoreInaccessible, match="tls_cert"):
            driver.run(get())
        driver.close()


@pytest.mark.slow
def test_server_that_requires_tls_is_named(tmp_path: Path) -> None:
    with SingleServer(tmp_path / "server", tls=Certificates.issue(tmp_path)) as server:
        place = parse(server.url().replace("valkeys:", "valkey:"), timeout=1.0)
        driver = Connections(place, Topology(place.nodes, clustered=False))
        with pytest.raises(StoreUnavailable, match=r"does it require TLS\?"):
            driver.run(get())
        driver.close()
