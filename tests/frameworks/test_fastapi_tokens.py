"""The dependency for API tokens in FastAPI: what it lets in, what it answers, and what OpenAPI says of it."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Security
from fastapi.testclient import TestClient

import crudjt
import crudjt.aio
from crudjt.contrib.api_tokens import ApiToken, ApiTokens, AsyncApiTokens
from crudjt.contrib.fastapi import RequiredSession, use_store
from crudjt.contrib.fastapi_tokens import ApiTokenBearer
from crudjt.testing import FakeClock


@pytest.fixture
def tokens(store: crudjt.Store) -> ApiTokens:
    return ApiTokens(store, "myapp")


@pytest.fixture
def client(store: crudjt.Store) -> TestClient:
    app = FastAPI()
    bearer = ApiTokenBearer(AsyncApiTokens(use_store(app, store), "myapp"))

    def sender(token: Annotated[ApiToken, Security(bearer, scopes=["send"])]) -> ApiToken:
        return token

    @app.get("/any")
    async def any_token(token: Annotated[ApiToken, Depends(bearer)]) -> str:
        return token.subject

    @app.get("/send")
    async def send(token: Annotated[ApiToken, Security(sender, scopes=["mail"])]) -> str:
        return token.subject

    @app.get("/session")
    async def of_session(session: RequiredSession) -> str | None:
        return session.subject

    return TestClient(app)


def answer(client: TestClient, path: str, authorization: str | None) -> tuple[int, str | None]:
    response = client.get(path, headers={} if authorization is None else {"Authorization": authorization})
    return response.status_code, response.headers.get("WWW-Authenticate")


def test_a_token_opens_what_its_scopes_allow(client: TestClient, tokens: ApiTokens) -> None:
    all_scopes = tokens.create("alice", "laptop", ["mail", "send"])
    assert client.get("/send", headers={"Authorization": f"bearer {all_scopes}"}).json() == "alice"
    some = tokens.create("alice", "laptop", ["mail"])
    assert answer(client, "/any", f"Bearer {some}") == (200, None)
    status, challenge = answer(client, "/send", f"Bearer {some}")
    assert status == 403
    assert challenge is not None
    assert challenge.startswith('Bearer error="insufficient_scope"')
    assert challenge.endswith('scope="mail send"')


def test_a_request_that_is_refused_does_not_restart_the_idle_timeout(
    client: TestClient, tokens: ApiTokens, clock: FakeClock
) -> None:
    used, few, bound = (
        tokens.create("alice", "x", scopes, idle=100, bound_to=key)
        for scopes, key in ((["mail", "send"], None), ([], None), (["mail", "send"], "k" * 43))
    )
    for statuses in ([200, 403, 401], [200, 401, 401]):
        clock.advance(60)
        assert [answer(client, "/send", f"Bearer {each}")[0] for each in (used, few, bound)] == statuses
    assert [tokens.peek(each) is None for each in (used, few, bound)] == [False, True, True]


def test_what_is_no_token_is_answered_as_rfc_6750_says(client: TestClient, tokens: ApiTokens) -> None:
    for authorization in (None, "Basic YTpi", ""):
        assert answer(client, "/any", authorization) == (401, "Bearer")
    ended = tokens.create("alice", "laptop")
    tokens.delete(ended)
    for authorization in (f"Bearer {ended}", "Bearer A"):
        status, challenge = answer(client, "/any", authorization)
        assert (status, (challenge or "").partition(",")[0]) == (401, 'Bearer error="invalid_token"')
    for authorization in ("Bearer", "Bearer ", "Bearer a b", "Bearer é"):
        response = client.get("/any", headers=[(b"Authorization", authorization.encode())])
        assert response.status_code == 400
        assert 'error="invalid_request"' in response.headers["WWW-Authenticate"]
    twice = client.get("/any", headers=[("Authorization", "Bearer a"), ("Authorization", "Bearer b")])
    assert twice.status_code == 400


def test_a_session_is_no_api_token_and_an_api_token_is_no_session(
    client: TestClient, store: crudjt.Store, tokens: ApiTokens
) -> None:
    text = tokens.create("alice", "laptop")
    session = store.create({}, subject="alice")
    assert answer(client, "/session", f"Bearer {session}")[0] == 200
    for token in (text, text[len("myapp_") : -6]):
        assert answer(client, "/session", f"Bearer {token}")[0] == 401
    assert answer(client, "/any", f"Bearer {session}")[0] == 401


def test_openapi_shows_the_scheme_and_the_scopes(client: TestClient) -> None:
    described: dict[str, Any] = client.get("/openapi.json").json()
    scheme = described["components"]["securitySchemes"]["api token"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "opaque")
    assert described["paths"]["/any"]["get"]["security"] == [{"api token": []}]
    assert sorted(described["paths"]["/send"]["get"]["security"][0]["api token"]) == ["mail", "send"]
