"""What is refused: proofs that prove nothing, challenges of others, and requests of those who have copied a cookie."""

import json
import logging
from collections.abc import Callable
from contextlib import closing

import pytest
from cryptography.hazmat.primitives import hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

import crudjt
from crudjt.contrib._device_bound.binding import binding_of
from crudjt.contrib._device_bound.tickets import new_challenge, new_cookie
from crudjt.testing import FakeClock
from tests.support.device_sites import (
    AsgiDeviceSite,
    DeviceSite,
    FastApiDeviceSite,
    LitestarDeviceSite,
    StarletteDeviceSite,
)
from tests.support.devices import DeviceBrowser, encoded, jwk, proof, signature

OTHER = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
RSA = rsa.generate_private_key(65537, 2048)
HOUR = 3600


def by_hmac(key: bytes) -> Callable[[bytes], bytes]:
    def sign(message: bytes) -> bytes:
        keyed = hmac.HMAC(key, SHA256())
        keyed.update(message)
        return keyed.finalize()

    return sign


def longer(signed: bytes) -> bytes:
    """Return a signature with a zero that changes neither of its numbers."""
    return signed[:32] + b"\0" + signed[32:]


def off_the_curve(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    return jwk(key) | {"y": encoded(bytes(32))}


def bad_registrations(key: ec.EllipticCurvePrivateKey, challenge: str) -> dict[str, str]:
    """Return texts that register nothing, by what is wrong with them."""
    own = {"jwk": jwk(key)}
    good = proof(key, challenge, head=own)
    head, claims, signed = good.split(".")
    public = encoded(jwk(key)["x"].encode()).encode()
    return {
        "no proof": "",
        "no JWT": "a.b",
        "no base64url": f"{head}=.{claims}.{signed}",
        "no JSON": f"{encoded(b'{')}.{claims}.{signed}",
        "no object": f"{encoded(b'[]')}.{claims}.{signed}",
        "deep JSON": f"{encoded(b'[' * 3000)}.{claims}.{signed}",
        "too long": proof(key, challenge, head=own, claims={"more": "x" * 4096}),
        "no key": proof(key, challenge),
        "the key of another": proof(key, challenge, head={"jwk": jwk(OTHER)}),
        "signed by another": proof(OTHER, challenge, head=own),
        "none": proof(key, challenge, head=own | {"alg": "none"}, sign=lambda _: b""),
        "none, signed": proof(key, challenge, head=own | {"alg": "none"}),
        "HS256": proof(key, challenge, head=own | {"alg": "HS256"}, sign=by_hmac(public)),
        "RS256": proof(
            key, challenge, head=own | {"alg": "RS256"}, sign=lambda m: RSA.sign(m, padding.PKCS1v15(), SHA256())
        ),
        "another typ": proof(key, challenge, head=own | {"typ": "JWT"}),
        "no typ": proof(key, challenge, head=own | {"typ": None}),
        "crit": proof(key, challenge, head=own | {"crit": ["x"]}),
        "off the curve": proof(key, challenge, head={"jwk": off_the_curve(key)}),
        "P-384": proof(P384, challenge, head={"jwk": jwk(P384)}, sign=lambda m: P384.sign(m, ec.ECDSA(SHA256()))),
        "P-384 named P-256": proof(
            P384, challenge, head={"jwk": jwk(P384) | {"crv": "P-256"}}, sign=lambda _: bytes(64)
        ),
        "a DER signature": proof(key, challenge, head=own, sign=lambda m: key.sign(m, ec.ECDSA(SHA256()))),
        "a signature of zeros": proof(key, challenge, head=own, sign=lambda _: bytes(64)),
        "P-256 under another name": proof(key, challenge, head={"jwk": jwk(key) | {"crv": "P-384"}}),
        "a long signature": proof(key, challenge, head=own, sign=lambda m: longer(signature(key, m))),
        "a short signature": proof(key, challenge, head=own, sign=lambda m: signature(key, m)[:63]),
        "jti is no string": proof(key, 7, head=own),
        "no jti": proof(key, None, head=own),
        "the audience is another URL": proof(key, challenge, head=own, claims={"aud": "https://testserver/elsewhere"}),
        "the audience is no string": proof(
            key, challenge, head=own, claims={"aud": ["https://testserver/-/device/register"]}
        ),
        "a challenge with another signature": proof(
            key, challenge[:-1] + ("A" if challenge[-1] != "A" else "B"), head=own
        ),
    }


def test_no_bad_registration_is_taken_and_each_leaves_the_session_as_it_was(
    site: DeviceSite, store: crudjt.Store, caplog: pytest.LogCaptureFixture
) -> None:
    browser = DeviceBrowser(site)
    browser.get("/login?user=ada")
    assert browser.offered is not None
    before = store.peek(browser.token)
    assert before is not None
    caplog.set_level(logging.INFO)
    for what, text in bad_registrations(browser.key, browser.offered["challenge"]).items():
        assert browser.register(text).status == 403, what
        assert not text or text not in caplog.text
    after = store.peek(browser.token)
    assert after is not None
    assert after.version == before.version
    assert browser.get().json["user"] == "ada"


def test_proofs_with_quotes_and_with_the_right_audience_are_taken(site: DeviceSite) -> None:
    browser = DeviceBrowser(site)
    browser.get("/login?user=ada")
    claims = {"aud": "https://testserver/-/device/register", "authorization": "x", "iat": 1, "sub": "y"}
    assert browser.register(claims=claims).status == 200
    browser.identifier = browser.register().json["session_identifier"]
    assert browser.refresh(f'"{browser.signed()}"').status == 200


def bad_refreshes(browser: DeviceBrowser) -> dict[str, str]:
    """Return proofs that get no cookie, by what is wrong with them."""
    key, challenge = browser.key, browser.challenge
    return {
        "signed by another": proof(OTHER, challenge),
        "with a key of its own": proof(OTHER, challenge, head={"jwk": jwk(OTHER)}),
        "none": proof(key, challenge, head={"alg": "none"}, sign=lambda _: b""),
        "HS256": proof(key, challenge, head={"alg": "HS256"}, sign=by_hmac(jwk(key)["x"].encode())),
        "another typ": proof(key, challenge, head={"typ": "JWT"}),
        "a bound cookie as challenge": proof(key, browser.bound or ""),
        "no challenge of ours": proof(key, "x"),
    }


def test_a_wrong_proof_gets_a_challenge_no_cookie_and_never_ends_the_session(browser: DeviceBrowser) -> None:
    for what, text in bad_refreshes(browser).items():
        answer = browser.refresh(text)
        assert answer.status == 403, what
        assert answer.cookies == [], what
    assert browser.refresh().status == 200
    assert browser.get().json["user"] == "ada"


def test_challenges_and_cookies_of_other_sessions_kinds_and_times_are_refused(
    browser: DeviceBrowser, clock: FakeClock, store: crudjt.Store
) -> None:
    other = DeviceBrowser(browser.site).log_in("bob")
    assert browser.refresh(proof(browser.key, other.challenge)).status == 403
    session = store.peek(browser.token)
    assert session is not None
    binding = binding_of(session.data)
    assert binding is not None
    now = clock() // 10**9
    for seconds, status in ((now - 901, 403), (now - 899, 200), (now + 5, 200), (now + 6, 403)):
        assert browser.refresh(proof(browser.key, new_challenge(binding.secret, seconds))).status == status
    clock.advance(60)
    now += 60
    bound = browser.bound
    for value, user in (
        (other.bound, None),
        (browser.challenge, None),
        (new_cookie(binding.secret, now - 601), None),
        (new_cookie(binding.secret, now + 6), None),
        (new_cookie(binding.secret, now + 5), "ada"),
        (f"{now}.", None),
        ("٣" + new_cookie(binding.secret, now)[1:], None) if browser.site.is_asgi else ("x", None),
        (bound, "ada"),
    ):
        assert value is not None
        browser.cookies[browser.site.bound_cookie] = value
        assert browser.get().json["user"] == user, value


def test_the_first_key_wins_and_the_same_key_again_is_welcome(browser: DeviceBrowser) -> None:
    assert browser.register().status == 200
    owner, browser.key = browser.key, OTHER
    assert browser.register().status == 403
    browser.key = owner
    assert browser.refresh().status == 200
    assert browser.get().json["user"] == "ada"


def test_the_token_alone_is_served_to_no_client_and_does_not_harm_the_owner(
    browser: DeviceBrowser, clock: FakeClock, caplog: pytest.LogCaptureFixture, store: crudjt.Store
) -> None:
    clock.advance(60)
    thief = browser.without_proof()
    caplog.set_level(logging.INFO, "crudjt.contrib")
    answer = thief.get()
    assert answer.json["user"] is None
    assert answer.cookies == []
    [session] = store.sessions("ada")
    assert f"bound session used without proof, and not served: {session.id}" in caplog.text
    assert browser.token not in caplog.text
    skipped = thief.get(secure_session_skipped=f'quota_exceeded;session_identifier="{browser.identifier}"')
    assert (skipped.status, skipped.cookies) == (503, [])
    assert skipped.header("secure-session-challenge")
    thief.get("/put?cart=1")
    assert thief.token != browser.token
    assert browser.without_proof().get("/login?user=eve").status == 200
    shown = browser.get().json
    assert (shown["user"], shown["keys"]) == ("ada", [])


def test_both_cookies_are_served_until_the_bound_one_ends(browser: DeviceBrowser, clock: FakeClock) -> None:
    thief = browser.without_proof()
    thief.cookies = dict(browser.cookies)
    clock.advance(600)
    assert thief.get().json["user"] == "ada"
    clock.advance(1)
    assert thief.get().json["user"] is None


def test_a_page_that_another_site_links_to_asks_for_itself_again(browser: DeviceBrowser, clock: FakeClock) -> None:
    clock.advance(60)
    late = browser.without_proof()
    for site in ("cross-site", "same-site"):
        page = late.get(sec_fetch_site=site, sec_fetch_mode="navigate")
        assert page.status == 200
        assert b'http-equiv="refresh"' in page.body
        assert page.header("cache-control") == "no-store"
        assert late.get(sec_fetch_site=site, sec_fetch_mode="cors").status == 401
        assert late.send("POST", "/put?a=1", {"sec_fetch_site": site, "sec_fetch_mode": "navigate"}).status == 401
    assert late.get(sec_fetch_site="same-origin", sec_fetch_mode="navigate").json["user"] is None
    assert browser.get(sec_fetch_site="cross-site", sec_fetch_mode="navigate").json["user"] == "ada"


def test_a_clock_that_is_set_back_is_mended_by_a_refresh(browser: DeviceBrowser, clock: FakeClock) -> None:
    clock.set_back(HOUR)
    assert browser.get().json["user"] is None
    assert browser.refresh().status == 403
    assert browser.refresh().status == 200
    assert browser.get().json["user"] == "ada"


def test_a_refresh_for_another_session_ends_that_alone(browser: DeviceBrowser) -> None:
    answer = browser.send("POST", "/-/device/refresh", {"sec_secure_session_id": "another"})
    assert (answer.status, answer.json) == (200, {"session_identifier": "another", "continue": False})
    assert browser.send("POST", "/-/device/refresh").status == 400
    assert browser.refresh().status == 200


@pytest.mark.parametrize("kind", [StarletteDeviceSite, LitestarDeviceSite])
def test_a_websocket_without_proof_is_refused(
    kind: Callable[[crudjt.Store], AsgiDeviceSite], store: crudjt.Store, clock: FakeClock
) -> None:
    with closing(kind(store)) as site:
        browser = DeviceBrowser(site).log_in()
        clock.advance(60)
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        assert site.websocket({"cookie": cookie}).status == 101
        assert site.websocket({"cookie": f"session={browser.token}"}).status == 403


def test_a_bound_session_is_no_bearer_token(store: crudjt.Store) -> None:
    site = FastApiDeviceSite(store)
    browser = DeviceBrowser(site)
    browser.get("/login?user=ada")
    bearer = {"authorization": f"Bearer {browser.token}"}
    assert json.loads(site.call("GET", "/bearer", bearer).body) == "['user']"
    browser.register()
    assert site.call("GET", "/bearer", bearer).status == 401
    site.close()
