"""Where a remote store is, and what it takes to connect."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import crudjt
from crudjt._backends.grpc.location import remote as parsed
from crudjt.server import TLS
from tests.support.remote_server import Serve

SECRET = "hunter2-hunter2-hunter2-hunter2-hunter2"
LOCAL = "grpc://localhost"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("grpc://localhost", "localhost:50051"),
        ("grpc://127.0.0.1:1234", "127.0.0.1:1234"),
        ("grpc://[::1]:1234", "[::1]:1234"),
        ("grpc://[::1]", "[::1]:50051"),
        ("grpcs://store.example.org:443/", "store.example.org:443"),
        ("unix:///run/crudjt.sock", "unix:/run/crudjt.sock"),
    ],
)
def test_a_location_names_a_server(location: str, target: str) -> None:
    assert parsed(location).target == target
    with crudjt.open(location) as store:
        assert repr(store) == f"<RemoteStore {location!r} open>"


@pytest.mark.parametrize(
    "location",
    [
        "grpc://", "grpc://:50051", "grpc://host:port", "grpc://host:0", "grpc://host:70000", "grpc://[::1",
        "grpc://a b",
        "grpc://user:password@host", "grpc://host/path", "grpc://host?query", "grpc://host#fragment", "grpc://hóst",
        "unix://", "unix://relative", "unix:///" + "x" * 107, "unix:///a\0b",
    ],
)  # fmt: skip
def test_a_location_that_names_no_server_is_refused(location: str) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open(location)
    assert caught.value.parameter == "location"
    assert "password" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("secret_key", "x"), ("durability", "full"), ("sync_interval", 1), ("sweep_interval", 1), ("max_size", 2**30),
        ("max_data_bytes", 100), ("clock", lambda: 0),
    ],
)  # fmt: skip
def test_an_option_of_a_directory_is_refused_for_a_server(name: str, value: Any) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open(LOCAL, **{name: value})
    assert caught.value.parameter == name


@pytest.mark.parametrize("name", ["access_token", "tls_ca", "tls_cert", "tls_key", "timeout"])
def test_an_option_of_a_server_is_refused_for_a_directory(path: Path, secret_key: str, name: str) -> None:
    options: dict[str, Any] = {name: 1 if name == "timeout" else "x"}
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open(path, secret_key=secret_key, **options)
    assert caught.value.parameter == name
    assert not path.exists()


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 3601, True, "5"])
def test_a_timeout_out_of_range_is_refused(timeout: Any) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open(LOCAL, timeout=timeout)
    assert caught.value.parameter == "timeout"


@pytest.mark.parametrize("name", ["tls_ca", "tls_cert", "tls_key"])
def test_certificates_without_tls_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    options: dict[str, Any] = {name: tmp_path / "file"}
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open(LOCAL, **options)
    assert caught.value.parameter == name


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open("grpcs://localhost", tls_cert=tmp_path / "file")
    assert "tls_key" in str(caught.value)


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open("grpcs://localhost", tls_ca=tmp_path / "missing")
    assert caught.value.parameter == "tls_ca"


def test_files_with_secrets_that_others_may_use_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = [tmp_path / name for name in ("access-token", "certificate", "key")]
    for file in files:
        file.write_text("secret")
    monkeypatch.setenv("CRUDJT_ACCESS_TOKEN_FILE", str(files[0]))
    for mode, warned in ((0o600, False), (0o640, True)):
        for file in files:
            file.chmod(mode)
        crudjt.open("grpcs://localhost", tls_cert=files[1], tls_key=files[2]).close()
        assert [str(file) in caplog.text for file in files] == [warned, False, warned]


# Plaintext

OTHER_HOSTS = ["grpc://192.0.2.1", "GRPC://[2001:db8::1]:1", "grpc://store.example.org", "grpc://localhost.example.org"]


@pytest.mark.parametrize("location", OTHER_HOSTS)
def test_another_host_needs_tls_unless_plaintext_is_allowed(location: str) -> None:
    with pytest.raises(crudjt.InvalidParameter, match="allow_plaintext=True") as caught:
        crudjt.open(location)
    assert caught.value.parameter == "location"
    crudjt.open(location, allow_plaintext=True).close()
    crudjt.open(location.lower().replace("grpc", "grpcs")).close()


@pytest.mark.parametrize("location", ["grpc://127.8.9.10", "grpc://[::1]", "grpc://LocalHost:1", "unix:/socket"])
def test_this_host_needs_no_tls(location: str) -> None:
    crudjt.open(location).close()


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_plaintext_is_allowed_by_a_bool_alone(value: Any) -> None:
    with pytest.raises(crudjt.InvalidType, match="allow_plaintext"):
        crudjt.open(LOCAL, allow_plaintext=value)


# Access tokens


@pytest.mark.parametrize("location", ["grpc://192.0.2.1", "grpc://store.example.org", "grpc://localhost.example.org"])
@pytest.mark.parametrize("by_environment", [False, True])
def test_an_access_token_does_not_travel_in_plaintext_over_the_network(
    location: str, monkeypatch: pytest.MonkeyPatch, by_environment: bool
) -> None:
    """Not even where plaintext is allowed."""
    options: dict[str, Any] = {"allow_plaintext": True} if by_environment else {"access_token": SECRET}
    if by_environment:
        monkeypatch.setenv("CRUDJT_ACCESS_TOKEN", SECRET)
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open(location, **options)
    assert "grpcs://" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("bad", ["", " ", "two words", "line\n", "ünï", 5, b"bytes"])
def test_an_access_token_that_cannot_be_sent_is_refused_and_not_repeated(bad: Any) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open(LOCAL, access_token=bad)
    assert caught.value.parameter == "access_token"
    assert not bad or str(bad).strip() == "" or str(bad) not in str(caught.value)


def from_parameter(_monkeypatch: pytest.MonkeyPatch, _tmp_path: Path) -> dict[str, str]:
    return {"access_token": SECRET}


def from_environment(monkeypatch: pytest.MonkeyPatch, _tmp_path: Path) -> dict[str, str]:
    monkeypatch.setenv("CRUDJT_ACCESS_TOKEN", SECRET)
    return {}


def from_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "access_token").write_text(SECRET + "\n")
    monkeypatch.setenv("CRUDJT_ACCESS_TOKEN_FILE", str(tmp_path / "access_token"))
    return {}


@pytest.mark.parametrize("source", [from_parameter, from_environment, from_file])
def test_the_access_token_is_sent(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    source: Callable[[pytest.MonkeyPatch, Path], dict[str, str]],
) -> None:
    with crudjt.open(serve(access_tokens=[SECRET]), **source(monkeypatch, tmp_path)) as store:  # type: ignore[arg-type] # one of the options
        assert store.create_many([{}, {}])
        assert store.stats().sessions == 2
        assert SECRET not in repr(store)


@pytest.mark.parametrize("wrong", [None, SECRET + "x"])
def test_a_wrong_access_token_makes_the_store_inaccessible(serve: Serve, wrong: str | None) -> None:
    location = serve(access_tokens=[SECRET])
    with crudjt.open(location, access_token=wrong) as store:
        for call in (store.stats, lambda: list(store.sessions("x")), lambda: store.create_many([{}])):
            with pytest.raises(crudjt.StoreInaccessible) as caught:
                call()
            assert caught.value.path == location
            assert SECRET not in str(caught.value)


# TLS


def certified(directory: Path, name: str) -> tuple[Path, Path]:
    """Write a certificate that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / f"{name}.pem", directory / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def test_a_store_is_reached_through_tls_with_a_certificate_of_our_own(serve: Serve, tmp_path: Path) -> None:
    server, server_key = certified(tmp_path, "server")
    client, client_key = certified(tmp_path, "client")
    location = serve(listen="127.0.0.1:0", tls=TLS(server, server_key, client)).replace("grpc:", "grpcs:")
    with crudjt.open(location, tls_ca=server, tls_cert=client, tls_key=client_key, timeout=60) as store:
        assert store.read(store.create({})) is not None
    for options in ({"tls_cert": client, "tls_key": client_key}, {"tls_ca": server}):
        with crudjt.open(location, timeout=60, **options) as store, pytest.raises(crudjt.StoreUnavailable):  # type: ignore[arg-type] # as above
            store.create({})
