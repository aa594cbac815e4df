"""`crudjt admin` as operators run it: the link, signals, TLS, and what it refuses."""

import signal
import ssl
from pathlib import Path
from urllib.request import HTTPCookieProcessor, HTTPSHandler, Request, build_opener

import pytest
from click.testing import CliRunner, Result

import crudjt
from crudjt.cli import main
from tests.admin.command import admin
from tests.admin.page import ACCESS_TOKEN
from tests.support.certificates import Authority
from tests.support.waiting import PATIENCE


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text(ACCESS_TOKEN)
    file.chmod(0o600)
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["admin", *map(str, arguments)], prog_name="crudjt")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_link_opens_the_page_and_a_signal_ends_it_with_nothing_secret_said(
    path: Path, secret_key: str, number: int
) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({}, subject="bob")
        with admin(path, secret_key) as command:
            browser = build_opener(HTTPCookieProcessor())
            with browser.open(command.url, timeout=PATIENCE) as answer:
                assert answer.url == f"{command.base}/"
                assert "at the terminal" in answer.read().decode()
            search = Request(f"{command.base}/search", f"wanted={token}".encode(), {"Sec-Fetch-Site": "same-origin"})
            with browser.open(search, timeout=PATIENCE) as answer:
                assert "bob" in answer.read().decode()
            check = Request(f"{command.base}/check", b"", {"Sec-Fetch-Site": "same-origin"})
            with browser.open(check, timeout=PATIENCE) as answer:
                assert "2 sessions, as base and log say" in answer.read().decode()
            live = browser.open(f"{command.base}/live", timeout=PATIENCE)  # a stream does not hold the end up
            assert live.readline().startswith(b"data: ")
            code, said = command.stop(number)
            live.close()
    assert code == 0
    assert token not in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_through_tls_an_access_token_signs_in(path: Path, secret_key: str, tokens: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    pair = authority.issue("server")
    options = ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key), "--access-token-file", str(tokens))
    crudjt.open(path, secret_key=secret_key).close()
    with admin(path, secret_key, *options) as command:
        context = ssl.create_default_context(cafile=str(authority.file))
        cookies = HTTPCookieProcessor()
        browser = build_opener(HTTPSHandler(context=context), cookies)
        form = Request(
            f"{command.base}/sign-in", f"access_token={ACCESS_TOKEN}".encode(), {"Sec-Fetch-Site": "same-origin"}
        )
        with browser.open(form, timeout=PATIENCE) as answer:
            assert "access token 1" in answer.read().decode()
        (cookie,) = cookies.cookiejar
        assert (cookie.name, cookie.secure) == ("__Host-crudjt_admin", True)
        code, said = command.stop()
    assert (code, "enter" in said) == (0, False)


def test_an_address_that_other_hosts_reach_needs_tls_and_an_access_token(path: Path, tokens: Path) -> None:
    for options in ((), ("--access-token-file", tokens)):
        refused = run("--store", path, "--listen", "0.0.0.0:0", *options)
        assert refused.exit_code == 2
        assert "requires TLS" in refused.stderr
    assert not path.exists()


def test_other_options_that_cannot_be_used_are_refused_in_words(path: Path, tokens: Path) -> None:
    for options, words in (
        (("--listen", "unix:/x"), "not a Unix socket"),
        (("--listen", "nowhere"), "listen must be HOST:PORT"),
        (("--tls-cert", tokens), "must be given together"),
        (("--access-token-file", path), "access_token_file"),
    ):
        refused = run("--store", path, *options)
        assert (refused.exit_code, words in refused.stderr) == (2, True), refused.stderr


def test_a_store_is_not_made(path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUDJT_SECRET_KEY", secret_key)
    refused = run("--store", path)
    assert refused.exit_code == 3
    assert "there is no store here" in refused.stderr
