"""Proofs of possession: what is accepted, what is refused and how, and that each is accepted once."""

import asyncio
import json
import logging
import threading
from base64 import urlsafe_b64decode
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

import crudjt
import crudjt.aio
from crudjt.contrib._dpop_proof import InvalidProof, ProofAge, verified
from crudjt.contrib.dpop import AccessRefused, AsyncDpop, Dpop
from crudjt.testing import FakeClock
from tests.support.dpop_client import DROP, DpopClient, encoded, packed
from tests.support.processes import PATIENCE, Worker
from tests.support.valkey_stores import PATIENT, ServerPool, namespace

URL = "https://api.example.com/mail"
TOKEN = "a-token"
ANY_DPOP: Any = Dpop  # called with wrong types on purpose


@pytest.fixture
def client(clock: FakeClock) -> DpopClient:
    return DpopClient(clock=clock)


def refusal(dpop: Dpop, proofs: list[str], method: str, url: str, **token: str) -> AccessRefused:
    with pytest.raises(AccessRefused) as caught:
        dpop.prove(proofs, method, url, **token)
    return caught.value


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_a_proof_gives_the_thumbprint_of_its_key(store: crudjt.Store, clock: FakeClock, algorithm: Any) -> None:
    client, dpop = DpopClient(algorithm, clock), Dpop(store, clock=clock)
    assert dpop.prove([client.proof("POST", URL)], "POST", URL) == client.thumbprint
    proof = client.proof("GET", URL, TOKEN)
    assert dpop.prove([proof], "GET", URL, token=TOKEN, bound_to=client.thumbprint) == client.thumbprint
    assert store.create({}, bound_to=client.thumbprint)


@pytest.mark.slow
def test_a_key_of_rsa_has_to_have_2048_bits(store: crudjt.Store, clock: FakeClock) -> None:
    def proof(bits: int) -> str:
        key = generate_private_key(65537, bits)
        n = encoded(key.public_key().public_numbers().n.to_bytes(bits // 8, "big"))
        head = {"typ": "dpop+jwt", "alg": "PS256", "jwk": {"kty": "RSA", "n": n, "e": "AQAB"}}
        text = f"{packed(head)}.{packed({'htm': 'GET', 'htu': URL, 'iat': clock() // 10**9, 'jti': 'x'})}"
        return f"{text}.{encoded(key.sign(text.encode(), PSS(MGF1(SHA256()), 32), SHA256()))}"

    dpop = Dpop(store, clock=clock)
    assert dpop.prove([proof(2048)], "GET", URL)
    assert "less than 2048 bits" in refusal(dpop, [proof(1024)], "GET", URL).description


KEY_OF_RFC = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJo"
    "RjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19."
)
FOR_A_TOKEN = KEY_OF_RFC + (
    "eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0"
    "IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
WITH_A_TOKEN = KEY_OF_RFC + (
    "eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRy"
    "ZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9."
    "2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)


def test_the_proofs_that_the_rfc_has_as_examples_are_accepted(store: crudjt.Store) -> None:
    dpop, token = Dpop(store, clock=FakeClock(1562262618)), "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
    thumbprint = dpop.prove([FOR_A_TOKEN], "POST", "https://server.example.com/token")
    assert thumbprint == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    url = "https://resource.example.org/protectedresource"
    assert dpop.prove([WITH_A_TOKEN], "GET", url, token=token, bound_to=thumbprint) == thumbprint


@pytest.mark.parametrize(
    "url",
    [
        "HTTPS://API.example.com:443/mail",
        "https://api.example.com/mail?page=2#end",
        "https://api.example.com/m%61il",
        "https://api.example.com/a/../b/./../mail",
    ],
)
def test_another_spelling_of_the_url_is_the_same(store: crudjt.Store, clock: FakeClock, url: str) -> None:
    client = DpopClient(clock=clock)
    assert Dpop(store, clock=clock).prove([client.proof("GET", url)], "GET", URL) == client.thumbprint


OTHER = DpopClient()
BAD: dict[str, Callable[[DpopClient], str]] = {
    "empty": lambda _: "",
    "no JWT": lambda _: "a.b.c",
    "not ASCII": lambda _: "é.é.é",
    "four parts": lambda client: client.proof("GET", URL, TOKEN) + ".x",
    "too large": lambda client: client.proof("GET", URL, TOKEN, other="x" * 10_000),
    "claims that are a list": lambda client: signed(client, []),
    "claims that are no JSON": lambda client: signed(client, b"{"),
    "deep claims": lambda client: signed(client, b"[" * 3000),
    "typ": lambda client: client.proof("GET", URL, TOKEN, header={"typ": "JWT"}),
    "no typ": lambda client: client.proof("GET", URL, TOKEN, header={"typ": DROP}),
    "alg none": lambda client: client.proof("GET", URL, TOKEN, header={"alg": "none"}).rpartition(".")[0] + ".",
    "alg HS256": lambda client: client.proof("GET", URL, TOKEN, header={"alg": "HS256"}),
    "alg RS256": lambda client: client.proof("GET", URL, TOKEN, header={"alg": "RS256"}),
    "alg that is a list": lambda client: client.proof("GET", URL, TOKEN, header={"alg": ["ES256"]}),
    "alg of another key": lambda client: client.proof("GET", URL, TOKEN, header={"alg": "EdDSA"}),
    "crit": lambda client: client.proof("GET", URL, TOKEN, header={"crit": ["b64"], "b64": False}),
    "no jwk": lambda client: client.proof("GET", URL, TOKEN, header={"jwk": DROP}),
    "jwk that is a text": lambda client: client.proof("GET", URL, TOKEN, header={"jwk": "key"}),
    "a private jwk": lambda client: client.proof("GET", URL, TOKEN, header={"jwk": {**client.jwk, "d": "AA"}}),
    "a symmetric jwk": lambda client: client.proof("GET", URL, TOKEN, header={"jwk": {"kty": "oct", "k": "AA"}}),
    "a point off the curve": lambda client: client.proof("GET", URL, TOKEN, header={"jwk": {**client.jwk, "x": "AA"}}),
    "an unknown curve": lambda client: client.proof("GET", URL, TOKEN, header={"jwk": {**client.jwk, "crv": "P-1"}}),
    "the jwk of another": lambda client: client.proof("GET", URL, TOKEN, header={"jwk": OTHER.jwk}),
    "a changed payload": lambda client: changed(client.proof("GET", URL, TOKEN)),
    "no signature": lambda client: client.proof("GET", URL, TOKEN).rpartition(".")[0] + ".",
    "method": lambda client: client.proof("POST", URL, TOKEN),
    "method in lower case": lambda client: client.proof("get", URL, TOKEN),
    "no method": lambda client: client.proof("GET", URL, TOKEN, htm=DROP),
    "path": lambda client: client.proof("GET", URL + "/1", TOKEN),
    "host": lambda client: client.proof("GET", URL.replace("api", "www"), TOKEN),
    "scheme": lambda client: client.proof("GET", URL.replace("https", "http"), TOKEN),
    "port": lambda client: client.proof("GET", URL.replace(".com", ".com:8443"), TOKEN),
    "user in the URL": lambda client: client.proof("GET", URL.replace("api", "a@api"), TOKEN),
    "a URL that is none": lambda client: client.proof("GET", "https://[", TOKEN),
    "no URL": lambda client: client.proof("GET", URL, TOKEN, htu=DROP),
    "too old": lambda client: client.proof("GET", URL, TOKEN, iat=client._clock() // 10**9 - 61),
    "of the future": lambda client: client.proof("GET", URL, TOKEN, iat=client._clock() // 10**9 + 31),
    "no iat": lambda client: client.proof("GET", URL, TOKEN, iat=DROP),
    "iat that is a text": lambda client: client.proof("GET", URL, TOKEN, iat="now"),
    "a huge iat": lambda client: client.proof("GET", URL, TOKEN, iat=10**400),
    "iat that is true": lambda client: client.proof("GET", URL, TOKEN, iat=True),
    "no jti": lambda client: client.proof("GET", URL, TOKEN, jti=DROP),
    "an empty jti": lambda client: client.proof("GET", URL, TOKEN, jti=""),
    "a long jti": lambda client: client.proof("GET", URL, TOKEN, jti="x" * 257),
    "jti that is a number": lambda client: client.proof("GET", URL, TOKEN, jti=7),
    "no ath": lambda client: client.proof("GET", URL),
    "ath of another token": lambda client: client.proof("GET", URL, "other"),
    "ath that is a number": lambda client: client.proof("GET", URL, TOKEN, ath=7),
    "nonce that is a number": lambda client: client.proof("GET", URL, TOKEN, nonce=7),
}  # fmt: skip


def signed(client: DpopClient, claims: object) -> str:
    text = f"{packed({'typ': 'dpop+jwt', 'alg': client.algorithm, 'jwk': client.jwk})}.{packed(claims)}"
    return f"{text}.{encoded(client.sign(text))}"


def claims_of(proof: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(proof.split(".")[1] + "=="))
    return claims


def changed(proof: str) -> str:
    header, _, signature = proof.split(".")
    return f"{header}.{packed({**claims_of(proof), 'jti': 'other'})}.{signature}"


def test_a_bad_proof_is_refused_changes_nothing_and_is_not_logged(
    store: crudjt.Store, client: DpopClient, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    dpop = Dpop(store, clock=clock)
    caplog.set_level(logging.INFO, "crudjt.contrib")
    for name, make in BAD.items():
        proof = make(client)
        refused = refusal(dpop, [proof], "GET", URL, token=TOKEN)
        assert (refused.status, refused.error) == (401, "invalid_dpop_proof"), name
        assert proof[:20] not in refused.description or not proof
        refused = refusal(dpop, [proof], "GET", URL) if "ath" not in name else refused
        assert refused.status == (400 if "ath" not in name else 401), name
    assert store.stats().sessions == 0
    assert len(caplog.messages) > len(BAD)
    assert not any(claimed in caplog.text for claimed in (client.jwk["x"], URL, TOKEN, "eyJ"))


@given(st.text(max_size=40) | st.binary(max_size=40).map(encoded))
def test_no_text_makes_another_error(part: str) -> None:
    for text in (part, f"{part}.{part}.{part}", f"{packed({'typ': 'dpop+jwt', 'alg': 'ES256'})}.{part}.{part}"):
        with pytest.raises(InvalidProof):
            verified(text, method="GET", url=URL, now=0, age=ProofAge(1, 1), algorithms=["ES256"], token=None)


def test_there_has_to_be_one_proof_and_the_key_of_the_token(
    store: crudjt.Store, client: DpopClient, clock: FakeClock
) -> None:
    dpop = Dpop(store, clock=clock)
    proofs = [client.proof("GET", URL, TOKEN) for _ in range(3)]
    for several in ([], proofs[:2]):
        refused = refusal(dpop, several, "GET", URL, token=TOKEN)
        assert (refused.status, refused.error) == (401, "invalid_dpop_proof")
    refused = refusal(dpop, proofs[:1], "GET", URL, token=TOKEN, bound_to=OTHER.thumbprint)
    assert (refused.status, refused.error) == (401, "invalid_token")
    assert store.stats().sessions == 0


def test_a_proof_is_accepted_once_as_long_as_it_could_be_used(
    store: crudjt.Store, client: DpopClient, clock: FakeClock
) -> None:
    dpop = Dpop(store, clock=clock)
    proof = client.proof("GET", URL, iat=clock() // 10**9 + 30)
    same_id = client.proof("POST", URL, jti="1")
    assert dpop.prove([proof], "GET", URL)
    assert dpop.prove([same_id], "POST", URL)
    assert DpopClient(clock=clock).proof("POST", URL, jti="1")
    for seconds in (0, 60, 30):
        clock.advance(seconds)
        assert refusal(dpop, [proof], "GET", URL).description.endswith("(jti)")
    clock.advance(1)
    assert refusal(dpop, [proof], "GET", URL).description.endswith("(iat)")
    assert dpop.prove([client.proof("POST", URL, jti="1")], "POST", URL)
    other = DpopClient(clock=clock)
    assert dpop.prove([other.proof("POST", URL, jti="1")], "POST", URL) == other.thumbprint


def replay(pipe: Connection, url: str, options: dict[str, Any], proof: str) -> None:
    """Use one proof in several threads, at a sign."""
    with crudjt.open(url, **options) as store:
        dpop, ready, results = Dpop(store), threading.Barrier(5), list[str]()

        def use() -> None:
            ready.wait(PATIENCE)
            try:
                results.append(dpop.prove([proof], "GET", URL))
            except AccessRefused as refused:
                results.append(str(refused.error))

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        pipe.send("ready")
        assert pipe.poll(PATIENCE)
        ready.wait(PATIENCE)
        for thread in threads:
            thread.join(PATIENCE)
        pipe.send(results)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["directory", "cluster"])
def test_of_one_proof_in_several_processes_at_once_one_is_served(
    path: Path, secret_key: str, servers: ServerPool, place: str
) -> None:
    url, options = str(path), {"secret_key": secret_key}
    if place == "cluster":
        url, options = servers.cluster("valkey").url(namespace(path)), {**options, **PATIENT}
    client = DpopClient()
    proof = client.proof("GET", URL)
    with Worker(replay, url, options, proof) as one, Worker(replay, url, options, proof) as other:
        for worker in (one, other):
            assert worker.receive() == "ready"
        for worker in (one, other):
            worker.send("go")
        results = [*one.receive(), *other.receive()]
    assert sorted(results) == sorted([client.thumbprint, *["invalid_dpop_proof"] * 7])


def test_a_nonce_is_given_on_demand_and_says_the_time(
    store: crudjt.Store, client: DpopClient, clock: FakeClock
) -> None:
    dpop, elsewhere = (Dpop(store, require_nonce=True, nonce_ttl=100, clock=clock) for _ in range(2))
    refused = refusal(dpop, [client.proof("GET", URL, TOKEN)], "GET", URL, token=TOKEN)
    nonce = refused.nonce
    assert (refused.status, refused.error) == (401, "use_dpop_nonce")
    assert nonce is not None
    wrong_clock = client.proof("GET", URL, nonce=nonce, iat=7)
    assert elsewhere.prove([wrong_clock], "GET", URL) == client.thumbprint
    assert refusal(dpop, [wrong_clock], "GET", URL).error == "invalid_dpop_proof"
    assert dpop.prove([client.proof("GET", URL, nonce=nonce)], "GET", URL)  # another proof with the same nonce
    session = store.create({}, subject="server")
    for wrong in (session, "x", nonce[:-1], None):
        refused = refusal(dpop, [client.proof("GET", URL, nonce=wrong)], "GET", URL)
        assert (refused.status, refused.error, refused.nonce) == (400, "use_dpop_nonce", nonce)
    clock.advance(50)
    renewed = refusal(dpop, [client.proof("GET", URL)], "GET", URL).nonce
    assert renewed not in (None, nonce)
    assert dpop.prove([client.proof("GET", URL, nonce=nonce)], "GET", URL)
    clock.advance(50)
    assert refusal(dpop, [client.proof("GET", URL, nonce=nonce)], "GET", URL).nonce is not None


def test_the_origin_is_that_of_the_setting(store: crudjt.Store, client: DpopClient, clock: FakeClock) -> None:
    dpop = Dpop(store, origin="https://api.example.com", clock=clock)
    assert dpop.prove([client.proof("GET", URL)], "GET", "http://127.0.0.1:8000/mail?page=1")
    elsewhere = "https://other.example/mail"
    assert refusal(dpop, [client.proof("GET", elsewhere)], "GET", elsewhere).error == "invalid_dpop_proof"


def test_what_is_wrong_is_named(store: crudjt.Store) -> None:
    for parameter, wrong in (
        ("algorithms", ["HS256"]), ("algorithms", []), ("max_age", 0), ("leeway", "1"), ("nonce_ttl", 10**9),
        ("origin", "https://api.example.com/path"), ("origin", ""), ("origin", "https://"), ("origin", "//api"),
        ("origin", "https://api.example.com?"), ("origin", b"https://api"), ("algorithms", "ES256"), ("algorithms", 5),
    ):  # fmt: skip
        with pytest.raises(crudjt.InvalidParameter) as caught:
            ANY_DPOP(store, **{parameter: wrong})
        assert caught.value.parameter == parameter


def test_a_store_of_the_other_kind_by_which_nothing_would_be_checked_is_refused(store: crudjt.Store) -> None:
    wrong: list[tuple[Any, Any, str]] = [
        (Dpop, crudjt.aio.wrap(store), "begins with Async$"), (AsyncDpop, store, r"wrap\(store\)$"), (Dpop, None, "$")
    ]  # fmt: skip
    for made, other, remedy in wrong:
        with pytest.raises(crudjt.InvalidType, match=r"^store must be an? (Async)?Store, not .*" + remedy):
            made(other)


def test_the_asynchronous_one_does_the_same(store: crudjt.Store, client: DpopClient, clock: FakeClock) -> None:
    async def run() -> None:
        dpop = AsyncDpop(crudjt.aio.wrap(store), require_nonce=True, clock=clock)
        with pytest.raises(AccessRefused) as caught:
            await dpop.prove([client.proof("GET", URL)], "GET", URL)
        proof = client.proof("GET", URL, nonce=caught.value.nonce)
        assert await dpop.prove([proof], "GET", URL) == client.thumbprint
        with pytest.raises(AccessRefused, match="jti"):
            await dpop.prove([proof], "GET", URL)

    asyncio.run(run())
