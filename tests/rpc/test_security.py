"""Who may reach a server, and by what: plaintext stays on the host, everything else needs TLS and an access token."""

import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest

import crudjt
from crudjt._rpc.access_tokens import read_access_tokens
from crudjt.server import Server
from crudjt.server.auth import TLS
from crudjt.testing import temporary_store
from tests.support.certificates import Authority, Pair
from tests.support.servers import CHECK, bearer, call, described_methods, plaintext, refusal, serves

ACCESS_TOKEN = "an-access-token-of-enough-characters"
OTHER_TOKEN = "another-access-token-of-enough-characters"
STATS = "/crudjt.v1.Store/Stats"


@pytest.fixture(scope="module")
def store() -> Iterator[crudjt.Store]:
    """Serve one store to all: no test looks into it."""
    with temporary_store() as store:
        yield store


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("server")


@contextmanager
def running(store: crudjt.Store, listen: str = "127.0.0.1:0", **options: Any) -> Iterator[str]:
    server = Server(store, [listen], **options)
    server.start()
    try:
        yield server.addresses[0]
    finally:
        server.stop(0)


def secure(address: str, authority: Authority, pair: Pair | None = None) -> Any:
    key, certificate = (None, None) if pair is None else (pair.key.read_bytes(), pair.certificate.read_bytes())
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(authority.file.read_bytes(), key, certificate))


# Addresses


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.8.9.10:0", "[::1]:0", "localhost:0"])
def test_loopback_may_be_plaintext(store: crudjt.Store, listen: str) -> None:
    Server(store, [listen])


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[2001:db8::1]:0", "[::ffff:192.0.2.1]:0"])
@pytest.mark.parametrize("given", ["tls", "access_tokens", "neither"])
def test_an_address_that_others_reach_needs_both_tls_and_an_access_token(
    store: crudjt.Store, pair: Pair, listen: str, given: str
) -> None:
    options: dict[str, Any] = {"tls": {"tls": TLS(*pair)}, "access_tokens": {"access_tokens": [ACCESS_TOKEN]}}
    with pytest.raises(crudjt.InvalidParameter) as raised:
        Server(store, [listen], **options.get(given, {}))
    assert raised.value.parameter == " and ".join({"tls", "access_tokens"} - {given}) or given == "neither"
    assert listen in str(raised.value)
    Server(store, [listen], **options["tls"], **options["access_tokens"])


def test_one_open_address_among_others_is_refused(store: crudjt.Store) -> None:
    with pytest.raises(crudjt.InvalidParameter, match=r"0\.0\.0\.0:0 can be reached from other hosts"):
        Server(store, ["127.0.0.1:0", "0.0.0.0:0"])


@pytest.mark.parametrize(
    "listen",
    ["", "127.0.0.1", ":50051", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:²", "::1:0",
     "[::1", "unix:", "unix:x", "unix://x", "unix:/" + "x" * 107, 5],
)  # fmt: skip
def test_what_is_no_address_is_refused_by_name(store: crudjt.Store, listen: Any) -> None:
    with pytest.raises(crudjt.InvalidParameter, match="listen"):
        Server(store, [listen])


@pytest.mark.parametrize("listen", [[], "127.0.0.1:0"])
def test_addresses_come_as_a_list_that_is_not_empty(store: crudjt.Store, listen: Any) -> None:
    with pytest.raises(crudjt.InvalidParameter, match="listen"):
        Server(store, listen)


# Unix sockets


def test_a_unix_socket_is_for_its_owner_alone_and_goes_when_the_server_does(
    store: crudjt.Store, tmp_path: Path
) -> None:
    path = tmp_path / "socket"
    with running(store, f"unix:{path}") as address, plaintext(address) as channel:
        assert serves(channel)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [each.name for each in tmp_path.iterdir()] == ["socket"]
    assert not path.exists()


def test_a_socket_that_nobody_listens_on_is_replaced(store: crudjt.Store, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with running(store, f"unix:{path}") as address, plaintext(address) as channel:
        assert serves(channel)


def test_a_socket_that_somebody_listens_on_is_left_alone(store: crudjt.Store, tmp_path: Path) -> None:
    listen = f"unix:{tmp_path / 'socket'}"
    with running(store, listen) as address, plaintext(address) as channel:
        with pytest.raises(crudjt.InvalidParameter, match="another process listens"):
            Server(store, [listen]).start()
        assert serves(channel)


def test_a_file_that_is_no_socket_is_left_alone(store: crudjt.Store, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("content")
    with pytest.raises(crudjt.InvalidParameter, match="a file of another kind"):
        Server(store, [f"unix:{path}"]).start()
    assert path.read_text() == "content"


def test_a_socket_in_a_directory_that_is_not_there_is_refused(store: crudjt.Store, tmp_path: Path) -> None:
    with pytest.raises(crudjt.InvalidParameter, match="no such file"):
        Server(store, [f"unix:{tmp_path / 'missing' / 'socket'}"]).start()


def test_a_socket_that_another_server_has_put_there_since_is_not_removed(store: crudjt.Store, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with running(store, f"unix:{path}"):
        path.unlink()
        path.write_text("of another")
    assert path.read_text() == "of another"


# TLS


def test_a_client_that_trusts_the_authority_gets_through(store: crudjt.Store, authority: Authority, pair: Pair) -> None:
    with running(store, tls=TLS(*pair)) as address, secure(address, authority) as channel:
        assert serves(channel)


def test_with_tls_there_is_no_plaintext_on_loopback(store: crudjt.Store, pair: Pair) -> None:
    with running(store, tls=TLS(*pair)) as address, plaintext(address) as channel:
        assert refusal(channel, CHECK).code() is grpc.StatusCode.UNAVAILABLE


def test_with_a_client_ca_only_its_clients_get_through(
    store: crudjt.Store, authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    strangers = Authority(tmp_path, "strangers")
    with running(store, tls=TLS(*pair, authority.file)) as address:
        with secure(address, authority, authority.issue("client")) as channel:
            assert serves(channel)
        with secure(address, authority) as channel:
            assert refusal(channel, CHECK).code() is grpc.StatusCode.UNAVAILABLE
        with secure(address, authority, strangers.issue("stranger")) as channel:
            assert refusal(channel, CHECK).code() is grpc.StatusCode.UNAVAILABLE


def test_files_of_tls_that_do_not_work_are_named(
    store: crudjt.Store, authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    other = authority.issue("other")
    nothing = tmp_path / "nothing"
    nothing.write_text("nothing")
    for tls, parameter in (
        (TLS(tmp_path / "missing", pair.key), "tls_cert"),
        (TLS(pair.certificate, tmp_path / "missing"), "tls_key"),
        (TLS(pair.certificate, other.key), "tls_cert and tls_key"),
        (TLS(nothing, nothing), "tls_cert and tls_key"),
        (TLS(*pair, tmp_path / "missing"), "client_ca"),
        (TLS(*pair, nothing), "client_ca"),
    ):
        with pytest.raises(crudjt.InvalidParameter) as raised:
            Server(store, ["127.0.0.1:0"], tls=tls)
        assert raised.value.parameter == parameter


def test_a_private_key_that_others_may_use_is_warned_of(
    store: crudjt.Store, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    pair = authority.issue("exposed")
    Server(store, ["127.0.0.1:0"], tls=TLS(*pair))
    assert not caplog.messages
    pair.key.chmod(0o604)
    Server(store, ["127.0.0.1:0"], tls=TLS(*pair))
    assert f"{pair.key} (mode 0604)" in caplog.text


# Access tokens


@pytest.fixture
def guarded(store: crudjt.Store) -> Iterator[Any]:
    with (
        running(store, access_tokens=[OTHER_TOKEN, ACCESS_TOKEN]) as address,
        plaintext(address) as channel,
    ):
        yield channel


@pytest.mark.parametrize("token", [ACCESS_TOKEN, OTHER_TOKEN])
def test_each_of_the_access_tokens_opens_a_server_on_loopback_too(guarded: Any, token: str) -> None:
    call(guarded, STATS, metadata=bearer(token))


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        bearer(""),
        bearer(ACCESS_TOKEN[:-1]),
        bearer(ACCESS_TOKEN + "x"),
        bearer(ACCESS_TOKEN.upper()),
        (("authorization", ACCESS_TOKEN),),
        (("authorization", f"Basic {ACCESS_TOKEN}"),),
        (("authorization-bin", f"Bearer {ACCESS_TOKEN}".encode()),),
        bearer(ACCESS_TOKEN) + bearer("second"),
    ],
)
def test_without_a_valid_access_token_every_call_is_unauthenticated(
    guarded: Any, metadata: tuple[tuple[str, str], ...]
) -> None:
    for method in (STATS, "/token.TokenService/ReadToken", "/grpc.health.v1.Health/Watch", "/no.Such/Method"):
        status = refusal(guarded, method, metadata=metadata)
        assert status.code() is grpc.StatusCode.UNAUTHENTICATED
        assert ACCESS_TOKEN not in str(status.details())


def test_health_checks_alone_need_no_access_token(guarded: Any) -> None:
    """No other method can be called or seen described without one."""
    listed = described_methods(guarded, metadata=bearer(ACCESS_TOKEN))
    methods = {f"/{service}/{name}" for service, names in listed.items() for name in names}
    reflection = "/grpc.reflection.{}.ServerReflection/ServerReflectionInfo"
    assert methods > {CHECK, STATS, reflection.format("v1"), reflection.format("v1alpha")}
    for method in methods - {CHECK}:
        assert refusal(guarded, method).code() is grpc.StatusCode.UNAUTHENTICATED, method
    assert serves(guarded)


def test_the_scheme_may_be_written_in_any_case(guarded: Any) -> None:
    call(guarded, STATS, metadata=(("authorization", f"bearer {ACCESS_TOKEN}"),))


@pytest.mark.parametrize("tokens", [["short" * 4], ["with space " * 3], ["umlaut-ä" * 5], [12345], [""], "x" * 30])
def test_an_access_token_that_could_be_guessed_or_not_be_sent_is_refused(store: crudjt.Store, tokens: Any) -> None:
    with pytest.raises(crudjt.InvalidParameter, match="access_tokens") as raised:
        Server(store, ["127.0.0.1:0"], access_tokens=tokens)
    assert not any(str(token) in str(raised.value) for token in tokens if len(str(token)) > 1)


def test_a_file_of_access_tokens_holds_one_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"{ACCESS_TOKEN}\n\n{OTHER_TOKEN}\n")
    path.chmod(0o600)
    assert read_access_tokens(path) == [ACCESS_TOKEN, OTHER_TOKEN]
    assert not caplog.messages
    path.chmod(0o640)
    read_access_tokens(path)
    assert "mode 0640" in caplog.text


@pytest.mark.parametrize("content", [b"", b"\n", b"short\n", b"\xff\xfe", None])
def test_a_file_of_access_tokens_without_a_good_one_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tokens"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(crudjt.InvalidParameter, match="access_token"):
        read_access_tokens(path)


# What a client is told


def told(location: str, **options: Any) -> str:
    """Return what a client is told that cannot use a server."""
    with crudjt.open(location, **options) as remote, pytest.raises(crudjt.StoreUnavailable) as caught:
        remote.stats()
    assert str(caught.value) == f"{location}: {caught.value.reason}"
    return caught.value.reason


def test_a_client_with_tls_is_told_that_the_server_has_none(store: crudjt.Store) -> None:
    with running(store) as address:
        wanted = "the server answers without TLS; start it with TLS, or use grpc://host:port"
        assert told(f"grpcs://{address}") == wanted


def test_a_client_is_told_why_a_connection_with_tls_fails(
    store: crudjt.Store, authority: Authority, pair: Pair
) -> None:
    with running(store, tls=TLS(*pair)) as address:
        assert "requires TLS (grpcs://host:port)" in told(f"grpc://{address}")
        assert "tls_ca" in told(f"grpcs://{address}")
    with running(store, "127.8.9.10:0", tls=TLS(*pair)) as address:  # an address that is not in the certificate
        assert "for another host name" in told(f"grpcs://{address}", tls_ca=authority.file)
    with running(store, tls=TLS(*pair, authority.file)) as address:
        assert "tls_cert and tls_key" in told(f"grpcs://{address}", tls_ca=authority.file)


def test_a_client_is_told_that_no_server_is_there(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nothing = f"grpc://127.0.0.1:{taken.getsockname()[1]}"
        assert told(nothing) == "no server listens there; start it (crudjt serve), or correct the location"
    assert told(f"unix:{tmp_path}/socket").startswith("there is no such socket; start the server")


def test_a_client_is_told_that_another_server_is_there() -> None:
    class Page(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        try:
            assert "no server of crudjt" in told(f"grpc://127.0.0.1:{other.server_port}")
        finally:
            other.shutdown()
            thread.join()
