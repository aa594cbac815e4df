"""Tokens of strangers whose JSON is nested deeply, in threads that are as small as with musl."""

import subprocess
import sys

import pytest

from tests.support.project import ROOT

REFUSED = """
import tempfile, threading
from base64 import urlsafe_b64encode
import crudjt
from crudjt.contrib._device_bound.proofs import BadProof, Proof
from crudjt.contrib.back_channel_logout import BackChannelLogout, LogoutTokenRefused
from crudjt.contrib.dpop import AccessRefused, Dpop

def verify():
    store = crudjt.open(tempfile.mkdtemp(), secret_key=crudjt.generate_secret_key())
    logout = BackChannelLogout(store, issuer="https://a", client_id="b", jwks_uri="https://a/keys")
    url = "https://c/"
    for token in (f"{deep}.e30.AA", f"eyJhbGciOiJFUzI1NiJ9.{deep}.AA"):
        for refusal, verifier in (
            (BadProof, Proof),
            (AccessRefused, lambda token: Dpop(store).prove([token], "GET", url)),
            (LogoutTokenRefused, logout.end),
        ):
            try:
                verifier(token)
            except refusal:
                print("refused")

deep = urlsafe_b64encode(b"[" * 3000).decode()
threading.stack_size(128 * 1024)
thread = threading.Thread(target=verify)
thread.start()
thread.join()
"""


@pytest.mark.slow
def test_they_are_refused_before_a_parser_overruns_its_stack() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", REFUSED], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout.split()) == (0, ["refused"] * 6), ended.stderr
