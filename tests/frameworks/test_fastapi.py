"""The dependencies for bearer tokens: whom they let in, what they answer to others, what OpenAPI says of them."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

import crudjt
from crudjt.contrib.fastapi import BearerToken, CurrentSession, CurrentStore, RequiredSession, use_store
from crudjt.testing import FakeClock


@pytest.fixture
def client(store: crudjt.Store) -> TestClient:
    app = FastAPI()
    use_store(app, store)

    @app.get("/open")
    async def anybody(session: CurrentSession) -> Any:
        return None if session is None else session.data

    @app.get("/closed")
    async def somebody(session: RequiredSession) -> Any:
        return session.data

    @app.post("/logout")
    async def leave(session: RequiredSession, store: CurrentStore) -> bool:
        return await store.revoke_id(session.id)

    @app.post("/rotate")
    async def rotate(_session: RequiredSession, token: BearerToken, store: CurrentStore) -> str | None:
        return await store.rotate(token or "")

    return TestClient(app)


class User(BaseModel):
    id: int
    role: str = "guest"


def test_the_data_of_a_session_is_an_instance_of_the_model(store: crudjt.Store) -> None:
    app = FastAPI()
    use_store(app, store, model=User, migrate=lambda data: {"id": data["user_id"]})

    @app.get("/me")
    async def me(session: RequiredSession[User]) -> str:
        assert type(session.data) is User
        return f"{session.data.id} {session.data.role}"

    @app.get("/either")
    async def either(session: CurrentSession[User]) -> int | None:
        return None if session is None else session.data.id

    with TestClient(app) as client:
        current = store.typed(User).create(User(id=1, role="editor"))
        assert client.get("/me", headers=bearer(current)).json() == "1 editor"
        assert client.get("/me", headers=bearer(store.create({"user_id": 2}))).json() == "2 guest"
        assert client.get("/either", headers=bearer(current)).json() == 1
        assert client.get("/either").json() is None
        assert client.get("/me").status_code == 401


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_token_opens_its_session(client: TestClient, store: crudjt.Store) -> None:
    token = store.create({"user_id": 42})
    for path in ("/open", "/closed"):
        assert client.get(path, headers=bearer(token)).json() == {"user_id": 42}


def test_without_a_token_the_answer_is_401_and_how_to_authenticate(client: TestClient) -> None:
    response = client.get("/closed")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert client.get("/open").json() is None


@pytest.mark.parametrize(
    "token", ["A" * 22, "x", "%00", "a b", "é" * 22, "A" * 5000], ids=["foreign", "short", "nul", "two", "é", "long"]
)
def test_a_token_that_we_did_not_mint_is_invalid(client: TestClient, token: str) -> None:
    response = client.get("/closed", headers=[(b"Authorization", f"Bearer {token}".encode("latin-1"))])
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert response.json() == {"detail": "no valid session token"}


def test_another_scheme_is_no_token(client: TestClient, store: crudjt.Store) -> None:
    token = store.create({})
    response = client.get("/closed", headers={"Authorization": f"Basic {token}"})
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_a_token_in_the_address_or_a_cookie_is_none(client: TestClient, store: crudjt.Store) -> None:
    token = store.create({})
    assert client.get(f"/closed?access_token={token}").status_code == 401
    assert client.get("/closed", headers={"Cookie": f"session={token}"}).status_code == 401


def test_a_token_of_limited_reads_is_no_session(client: TestClient, store: crudjt.Store) -> None:
    assert client.get("/closed", headers=bearer(store.create({}, max_reads=5))).status_code == 401


def test_an_expired_token_is_invalid(client: TestClient, store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=60)
    assert client.get("/closed", headers=bearer(token)).status_code == 200
    clock.advance(60)
    assert client.get("/closed", headers=bearer(token)).status_code == 401


def test_a_session_that_was_ended_is_gone_at_the_next_request(client: TestClient, store: crudjt.Store) -> None:
    token = store.create({})
    assert client.post("/logout", headers=bearer(token)).json() is True
    assert client.get("/closed", headers=bearer(token)).status_code == 401


def test_a_rotated_token_is_invalid_and_the_new_one_good(client: TestClient, store: crudjt.Store) -> None:
    token = store.create({"a": 1})
    new = client.post("/rotate", headers=bearer(token)).json()
    assert client.get("/closed", headers=bearer(token)).status_code == 401
    assert client.get("/closed", headers=bearer(new)).json() == {"a": 1}


def test_a_store_that_fails_is_no_missing_session(client: TestClient, store: crudjt.Store) -> None:
    token = store.create({})
    store.close()
    with pytest.raises(crudjt.StoreClosed):
        client.get("/open", headers=bearer(token))


def test_openapi_describes_the_scheme_where_it_is_used(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    [(name, scheme)] = description["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "opaque")
    for path in ("/open", "/closed"):
        operation = description["paths"][path]["get"]
        assert operation["security"] == [{name: []}]
        assert "parameters" not in operation


def test_an_application_without_a_store_says_so() -> None:
    app = FastAPI()

    @app.get("/")
    async def somebody(session: RequiredSession) -> Any:
        return session.data

    with pytest.raises(RuntimeError, match="use_store"):
        TestClient(app).get("/")
