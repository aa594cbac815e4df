"""Locations and options of a store on Valkey or Redis."""

from pathlib import Path

import pytest

from crudjt._backends.valkey.location import PASSWORD_FILE_VARIABLE, PASSWORD_VARIABLE, USER_VARIABLE, servers
from crudjt._backends.valkey.requests import Node
from crudjt.errors import InvalidParameter, InvalidType


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (USER_VARIABLE, PASSWORD_VARIABLE, PASSWORD_FILE_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("location", "nodes", "clustered", "tls", "namespace"),
    [
        ("valkey://localhost", [("localhost", 6379)], False, False, "crudjt"),
        ("REDIS://127.0.0.1:1/", [("127.0.0.1", 1)], False, False, "crudjt"),
        ("rediss://h.example:1/a.b:c", [("h.example", 1)], False, True, "a.b:c"),
        ("valkeys+cluster://[::1]:7000,h2:7001/ns", [("::1", 7000), ("h2", 7001)], True, True, "ns"),
        ("redis+cluster://127.0.0.1:1,127.0.0.1:2", [("127.0.0.1", 1), ("127.0.0.1", 2)], True, False, "crudjt"),
    ],
)
def test_location_names_servers_and_a_namespace(
    location: str, nodes: list[tuple[str, int]], clustered: bool, tls: bool, namespace: str
) -> None:
    parsed = servers(location)
    assert parsed.nodes == tuple(Node(*node) for node in nodes)
    assert (parsed.clustered, parsed.tls, parsed.namespace) == (clustered, tls, namespace)


@pytest.mark.parametrize(
    "location",
    [
        "valkey:localhost",
        "valkey://",
        "valkey+cluster://a:1,,b:2",
        "valkey://localhost:0",
        "valkey://localhost:70000",
        "valkey://localhost:port",
        "valkey://localhost/?db=1",
        "valkey://localhost/{a}",
        "valkey://localhost/a/b",
        "valkey://127.0.0.1:1,127.0.0.1:2",
        "valkey://[::1",
        "valkey://local host",
        "valkey://localhost?x",
        "valkey+unix://x",
    ],
)
def test_other_location_is_refused(location: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        servers(location)
    assert caught.value.parameter == "location"


@pytest.mark.parametrize(
    "location", ["valkeys://user:s3cret@h", "valkeys://:s3cret@h:1/x", "valkeys+cluster://a,u:s3cret@b"]
)
def test_password_in_a_location_is_refused_with_a_remedy_and_not_shown(location: str) -> None:
    with pytest.raises(InvalidParameter, match=PASSWORD_FILE_VARIABLE) as caught:
        servers(location)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("location", ["valkey://10.0.0.1", "valkey+cluster://127.0.0.1,h2", "redis://example.org"])
def test_plaintext_to_another_host_is_refused_unless_it_is_allowed(location: str) -> None:
    with pytest.raises(InvalidParameter, match="allow_plaintext"):
        servers(location)
    assert servers(location, allow_plaintext=True).allow_plaintext


def test_user_and_password_come_from_the_environment_and_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USER_VARIABLE, "application")
    monkeypatch.setenv(PASSWORD_VARIABLE, "s3cret")
    parsed = servers("valkey://localhost")
    assert (parsed.user, parsed.password) == ("application", "s3cret")
    assert "s3cret" not in repr(parsed)


def test_password_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    monkeypatch.setenv(PASSWORD_FILE_VARIABLE, str(file))
    parsed = servers("valkey://localhost")
    assert (parsed.user, parsed.password) == (None, "s3cret")


def test_files_with_secrets_that_others_may_use_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = [tmp_path / name for name in ("password", "certificate", "key")]
    for file in files:
        file.write_text("s3cret")
        file.chmod(0o644)
    monkeypatch.setenv(PASSWORD_FILE_VARIABLE, str(files[0]))
    servers("valkeys://localhost", tls_cert=files[1], tls_key=files[2])
    assert [str(file) in caplog.text for file in files] == [True, False, True]
    assert "s3cret" not in caplog.text


def test_file_of_a_password_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(PASSWORD_FILE_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(InvalidParameter, match=PASSWORD_FILE_VARIABLE):
        servers("valkey://localhost")


def test_user_without_a_password_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USER_VARIABLE, "application")
    with pytest.raises(InvalidParameter, match=PASSWORD_VARIABLE):
        servers("valkey://localhost")


def test_certificates_are_for_tls_and_readable(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    with pytest.raises(InvalidParameter, match="valkeys://"):
        servers("valkey://localhost", tls_ca=file)
    with pytest.raises(InvalidParameter, match="cannot read"):
        servers("valkeys://localhost", tls_ca=file)
    file.touch()
    assert servers("valkeys://localhost", tls_ca=file).ca == str(file)
    with pytest.raises(InvalidParameter, match="together"):
        servers("valkeys://localhost", tls_cert=file)


@pytest.mark.parametrize("timeout", [0, -1, 4000.0])
def test_timeout_out_of_range_is_refused(timeout: float) -> None:
    with pytest.raises(InvalidParameter):
        servers("valkey://localhost", timeout=timeout)


def test_options_of_wrong_types_are_refused() -> None:
    for options in ({"timeout": "1"}, {"timeout": True}, {"allow_plaintext": 1}, {"assume": "aof"}, {"assume": 7}):
        with pytest.raises(InvalidType):
            servers("valkey://localhost", **options)


def test_assumption_is_one_that_is_known() -> None:
    assert servers("valkey://localhost", assume=["aof", "noeviction"]).assume == {"aof", "noeviction"}
    with pytest.raises(InvalidParameter, match="'noeviction'"):
        servers("valkey://localhost", assume=["eviction"])  # type: ignore[list-item]
