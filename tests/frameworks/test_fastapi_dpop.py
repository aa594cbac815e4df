"""Tokens that are bound to a key in FastAPI: served with a proof of the key, and answered as RFC 9449 says without."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Security
from fastapi.testclient import TestClient

import crudjt
import crudjt.aio
from crudjt import Session
from crudjt.contrib.api_tokens import ApiToken, ApiTokens, AsyncApiTokens
from crudjt.contrib.dpop import AsyncDpop
from crudjt.contrib.fastapi import RequiredSession, use_store
from crudjt.contrib.fastapi_dpop import DpopApiToken, DpopKey, DpopSession
from crudjt.contrib.fastapi_tokens import ApiTokenBearer
from crudjt.contrib.starlette import SessionMiddleware, session_of
from crudjt.testing import FakeClock
from tests.support.dpop_client import DpopClient

SITE = "http://testserver"


@pytest.fixture
def key(clock: FakeClock) -> DpopClient:
    return DpopClient(clock=clock)


@pytest.fixture
def client(store: crudjt.Store, clock: FakeClock) -> TestClient:
    app = FastAPI()
    used = use_store(app, store)
    dpop, strict = AsyncDpop(used, clock=clock), AsyncDpop(used, require_nonce=True, clock=clock)
    tokens = AsyncApiTokens(used, "myapp")
    sessions, only, fresh = DpopSession(used, dpop), DpopSession(used, dpop, required=True), DpopSession(used, strict)
    api_token = DpopApiToken(tokens, dpop)
    app.add_middleware(SessionMiddleware, store=used, subject_key=None)

    @app.post("/login")
    async def login(key: Annotated[str, Depends(DpopKey(dpop))]) -> str:
        return await used.create({}, idle=100, subject="alice", bound_to=key)

    @app.post("/fresh/login")
    async def fresh_login(key: Annotated[str, Depends(DpopKey(strict))]) -> str:
        return await used.create({}, subject="alice", bound_to=key)

    @app.get("/me")
    async def me(session: Annotated[Session, Depends(sessions)]) -> str | None:
        return session.subject

    @app.get("/only")
    async def only_bound(session: Annotated[Session, Depends(only)]) -> str | None:
        return session.subject

    @app.get("/fresh")
    async def with_nonce(session: Annotated[Session, Depends(fresh)]) -> str | None:
        return session.subject

    @app.get("/a b/{part:path}")
    async def odd(part: str, session: Annotated[Session, Depends(sessions)]) -> str:
        return part

    @app.get("/mail")
    async def mail(token: Annotated[ApiToken, Security(api_token, scopes=["mail"])]) -> str:
        return token.name

    @app.get("/bearer/session")
    async def bearer_session(session: RequiredSession) -> str | None:
        return session.subject

    @app.get("/bearer/token")
    async def bearer_token(token: Annotated[ApiToken, Depends(ApiTokenBearer(tokens))]) -> str:
        return token.name

    @app.get("/cookie", dependencies=[Depends(session_of)])
    async def cookie(session: Annotated[Any, Depends(session_of)]) -> str | None:
        subject: str | None = session.subject
        return subject

    return TestClient(app, base_url=SITE)


def challenged(response: Any) -> tuple[int, str]:
    return response.status_code, response.headers["WWW-Authenticate"]


def test_a_token_is_bound_at_login_and_served_with_a_proof_once(client: TestClient, key: DpopClient) -> None:
    token = client.post("/login", headers={"DPoP": key.proof("POST", f"{SITE}/login")}).json()
    headers = key.headers("GET", f"{SITE}/me", token)
    assert client.get("/me?page=1", headers=headers).json() == "alice"
    status, challenge = challenged(client.get("/me", headers=headers))
    assert status == 401
    assert challenge.startswith('DPoP algs="ES256 ES384 EdDSA Ed25519 PS256", error="invalid_dpop_proof"')
    assert challenge.endswith(", Bearer")
    odd = f"{SITE}/a%20b/c%252Fd%3Fe"
    assert client.get(odd, headers=key.headers("GET", odd, token)).status_code == 200


def test_a_bound_token_alone_opens_nothing(
    client: TestClient, store: crudjt.Store, key: DpopClient, caplog: pytest.LogCaptureFixture
) -> None:
    session = store.create({}, subject="alice", bound_to=key.thumbprint)
    token = ApiTokens(store, "myapp").create("alice", "laptop", ["mail"], bound_to=key.thumbprint)
    for path, text in (
        ("/me", session), ("/mail", token), ("/bearer/session", session), ("/bearer/token", token), ("/only", session),
    ):  # fmt: skip
        status, challenge = challenged(client.get(path, headers={"Authorization": f"Bearer {text}"}))
        assert status == 401, path
        assert ('error="invalid_token"' in challenge) is (path != "/only"), path
    assert caplog.text.count("presented without a proof, and refused") == 3  # those that know of keys
    assert session not in caplog.text
    assert client.get("/cookie", headers={"cookie": f"session={session}"}).json() is None


def test_only_the_key_of_the_token_proves_it(client: TestClient, store: crudjt.Store, clock: FakeClock) -> None:
    key, thief = DpopClient("EdDSA", clock), DpopClient(clock=clock)
    token, used = (store.create({}, idle=100, subject="alice", bound_to=key.thumbprint) for _ in range(2))
    clock.advance(60)
    url = f"{SITE}/me"
    proof_of_another_token = {"Authorization": f"DPoP {token}", "DPoP": key.proof("GET", url, "other")}
    for headers, error in (
        (thief.headers("GET", url, token), "invalid_token"),
        (key.headers("POST", url, token), "invalid_dpop_proof"),
        (proof_of_another_token, "invalid_dpop_proof"),
        ({"Authorization": f"DPoP {token}"}, "invalid_dpop_proof"),
        (key.headers("GET", url, "A" * 22), "invalid_token"),
        (key.headers("GET", url, store.create({}, ttl=1, subject="bob")), "invalid_token"),
    ):
        status, challenge = challenged(client.get("/me", headers=headers))
        assert status == 401
        assert challenge.startswith("DPoP ")
        assert f'error="{error}"' in challenge
    twice = [("Authorization", f"DPoP {token}"), ("DPoP", "a"), ("DPoP", "b")]
    assert 'error="invalid_dpop_proof"' in challenged(client.get("/me", headers=twice))[1]
    both = [("Authorization", f"DPoP {token}"), ("Authorization", f"Bearer {token}")]
    assert client.get("/me", headers=both).status_code == 400
    assert client.get("/me", headers=key.headers("GET", url, used)).json() == "alice"
    clock.advance(40)  # the idle timeout began again at the request that was served, and not at those before
    assert client.get("/me", headers=key.headers("GET", url, used)).json() == "alice"
    assert client.get("/me", headers=key.headers("GET", url, token)).status_code == 401


def test_a_token_that_is_bound_to_no_key_is_a_bearer_unless_keys_are_required(
    client: TestClient, store: crudjt.Store
) -> None:
    headers = {"Authorization": f"Bearer {store.create({}, subject='alice')}"}
    assert client.get("/me", headers=headers).json() == "alice"
    assert challenged(client.get("/only", headers=headers)) == (401, 'DPoP algs="ES256 ES384 EdDSA Ed25519 PS256"')
    assert client.get("/me").status_code == 401


def test_a_nonce_is_asked_for_and_given(client: TestClient, key: DpopClient) -> None:
    url = f"{SITE}/fresh/login"
    response = client.post("/fresh/login", headers={"DPoP": key.proof("POST", url)})
    assert response.status_code == 400
    assert 'error="use_dpop_nonce"' in response.headers["WWW-Authenticate"]
    nonce = response.headers["DPoP-Nonce"]
    token = client.post("/fresh/login", headers={"DPoP": key.proof("POST", url, nonce=nonce)}).json()
    response = client.get("/fresh", headers=key.headers("GET", f"{SITE}/fresh", token))
    assert (response.status_code, response.headers["DPoP-Nonce"]) == (401, nonce)
    assert client.get("/fresh", headers=key.headers("GET", f"{SITE}/fresh", token, nonce=nonce)).json() == "alice"
    assert client.post("/login").status_code == 400


def test_an_api_token_is_bound_too_and_has_scopes(client: TestClient, store: crudjt.Store, key: DpopClient) -> None:
    tokens = ApiTokens(store, "myapp", idle=100)
    good, poor = (tokens.create("alice", "laptop", scopes, bound_to=key.thumbprint) for scopes in (["mail"], []))
    url = f"{SITE}/mail"
    assert client.get("/mail", headers=key.headers("GET", url, good)).json() == "laptop"
    status, challenge = challenged(client.get("/mail", headers=key.headers("GET", url, poor)))
    assert status == 403
    assert 'error="insufficient_scope"' in challenge
    assert 'error="invalid_token"' in challenged(client.get("/mail", headers=key.headers("GET", url, good + "x")))[1]
    session = store.create({}, subject="alice", bound_to=key.thumbprint)
    assert client.get("/mail", headers=key.headers("GET", url, session)).status_code == 401
    assert client.get("/me", headers=key.headers("GET", f"{SITE}/me", good[6:28])).status_code == 401


def test_openapi_shows_the_scheme(client: TestClient) -> None:
    described: dict[str, Any] = client.get("/openapi.json").json()
    scheme = described["components"]["securitySchemes"]["DPoP session"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "DPoP")
    assert described["paths"]["/mail"]["get"]["security"] == [{"DPoP API token": ["mail"]}]
