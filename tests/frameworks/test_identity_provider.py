"""A login at a real OpenID provider, by a real client, and a logout there, which ends the session here."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.support.ports import free_port
from tests.support.processes import PATIENCE, eventually
from tests.support.project import ROOT
from tests.support.web import serving

pytestmark = pytest.mark.slow

SECRET = "a secret of the tests"
INSTALLATION_SECONDS = 120
ACTION = re.compile(r'action="([^"]+)"')
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


@contextmanager
def provider(place: Path, port: int, application: str) -> Iterator[None]:
    """Run the provider beside the block."""
    shutil.copytree(Path(__file__).with_name("provider"), place)
    npm = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--no-update-notifier"]
    subprocess.run(npm, check=True, cwd=place, timeout=INSTALLATION_SECONDS, capture_output=True)
    arguments = [str(port), f"{application}/callback", f"{application}/oidc/logout"]
    with subprocess.Popen(["node", "provider.js", *arguments], cwd=place, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.kill()


def submit(browser: httpx2.Client, page: httpx2.Response, **fields: str) -> httpx2.Response:
    """Send the form of a page, with its hidden fields."""
    action = ACTION.search(page.text)
    assert action is not None, page.text
    return browser.post(str(page.url.join(action[1])), data=dict(HIDDEN.findall(page.text)) | fields)


def test_a_logout_at_the_provider_ends_the_session_of_the_application(tmp_path: Path, secret_key: str) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    environment = {
        "CRUDJT_SECRET_KEY": secret_key,
        "DIRECTORY": str(tmp_path),
        "OIDC_ISSUER": issuer,
        "OIDC_CLIENT_ID": "shop",
        "OIDC_CLIENT_SECRET": SECRET,
    }

    def command(number: int) -> list[str]:
        site = ["--app-dir", str(ROOT / "examples"), "--factory", "oidc_logout.oidc_site:create_app"]
        return ["uvicorn", "--fd", str(number), "--log-level", "warning", *site]

    with (
        serving(command, **environment) as own,
        provider(tmp_path / "provider", port, application := f"http://127.0.0.1:{own}"),
        httpx2.Client(follow_redirects=True, timeout=PATIENCE) as desk,
        httpx2.Client(follow_redirects=True, timeout=PATIENCE) as phone,
    ):
        for browser in (desk, phone):
            page = browser.get(f"{application}/login")
            page = submit(browser, page, login="alice", password="any")
            page = submit(browser, page)  # consents
            assert (str(page.url), page.text) == (f"{application}/", "alice")
        submit(desk, desk.get(f"{issuer}/session/end"), logout="yes")
        assert eventually(lambda: desk.get(application).text == "nobody")
        assert phone.get(application).text == "alice"  # a login of its own at the provider, with another sid
