"""API tokens: named and scoped, shown once, listed and ended one by one, and never the session of a browser."""

import asyncio
import re
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import crudjt
import crudjt.aio
from crudjt.contrib.api_tokens import ApiTokens, AsyncApiTokens
from crudjt.contrib.links import Links
from crudjt.contrib.starlette import SessionMiddleware, session_of
from crudjt.testing import FakeClock

ANY_TOKENS: Any = ApiTokens  # called with wrong types on purpose


def token_of(text: str) -> str:
    """Return the token of the store in the text of an API token."""
    return text[len("myapp_") : -6]


def test_a_token_says_who_it_is_for_and_what_it_allows(store: crudjt.Store) -> None:
    tokens = ApiTokens(store, "myapp")
    text = tokens.create("alice", "laptop", ["mail:read", "mail:send"], {"team": 7})
    token = tokens.read(text)
    assert token is not None
    assert (token.subject, token.name, token.data) == ("alice", "laptop", {"team": 7})
    assert token.allows("mail:read", "mail:send")
    assert not token.allows("mail:read", "admin")
    assert (token.expires_at, token.last_seen) == (None, None)
    assert "alice" not in repr(token)


def test_the_text_has_a_form_that_scanners_find_and_a_checksum(store: crudjt.Store) -> None:
    tokens = ApiTokens(store, "myapp")
    text = tokens.create("alice", "laptop")
    assert re.fullmatch(r"myapp_[A-Za-z0-9_-]{22}[A-Za-z0-9]{6}", text)
    store.close()  # so that a text that reaches the store raises
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
    for other in (wrong, text[:-1], text + "1", "other" + text[5:], text.upper(), token_of(text), "", "é" * 34):
        assert tokens.read(other) is None
    with pytest.raises(crudjt.StoreClosed):
        tokens.read(text)


def test_tokens_are_listed_and_ended_one_by_one_or_all(store: crudjt.Store, clock: FakeClock) -> None:
    tokens = ApiTokens(store, "myapp")
    texts = list[str]()
    for name in ("laptop", "phone", "server"):
        clock.advance(1)
        texts.append(tokens.create("alice", name))
    other = tokens.create("bob", "laptop")
    first = tokens.of("alice")[0]
    assert [token.name for token in tokens.of("alice")] == ["laptop", "phone", "server"]
    assert not tokens.revoke_id(first.id, subject="bob")
    assert not tokens.revoke_id("no handle", subject="alice")
    assert tokens.revoke_id(first.id, subject="alice")
    assert tokens.read(texts[0]) is None
    assert tokens.delete(texts[1])
    assert not tokens.delete(texts[1])
    tokens.create("alice", "tablet")
    assert tokens.revoke("alice", keep=texts[2]) == 1
    assert [token.name for token in tokens.of("alice")] == ["server"]
    assert tokens.read(other) is not None


def test_sessions_and_tokens_of_a_user_are_apart(store: crudjt.Store) -> None:
    tokens, others = ApiTokens(store, "myapp"), ApiTokens(store, "deploy")
    session, text = store.create({"name": "x", "scopes": ["all"]}, subject="alice"), tokens.create("alice", "laptop")
    assert [each.data["scopes"] for each in store.sessions("alice")] == [["all"]]
    assert [each.name for each in tokens.of("alice")] == ["laptop"]
    assert others.of("alice") == []
    link = Links(store, "reset").create("alice")
    for foreign in (session, link, token_of(others.create("alice", "ci"))):
        assert tokens.read(tokens._form.text(foreign)) is None
    assert not tokens.delete(tokens._form.text(session))
    forged = store.create({"name": "x"}, subject="\x1fapi\x1fmyapp\x1falice")  # who may choose a user id
    assert tokens.read(tokens._form.text(forged)) is None
    assert others.read(text) is None
    assert store.revoke("alice") == 1
    assert tokens.read(text) is not None


def test_a_token_in_the_cookie_of_a_browser_is_no_session(store: crudjt.Store) -> None:
    def show(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(session_of(request).subject))

    app = Starlette(
        routes=[Route("/", show)], middleware=[Middleware(SessionMiddleware, store=store, subject_key=None)]
    )
    client = TestClient(app, base_url="https://testserver")
    name = "session"
    for token, shown in (
        (store.create({}, subject="alice"), "alice"),
        (token_of(ApiTokens(store, "myapp").create("alice", "laptop")), "None"),
    ):
        assert client.get("/", headers={"cookie": f"{name}={token}"}).text == shown


def test_limits_of_time_are_those_of_the_kind_or_of_the_token(store: crudjt.Store, clock: FakeClock) -> None:
    tokens = ApiTokens(store, "myapp", ttl=1000, idle=100)
    used, unused, short = (
        tokens.create("alice", "used"), tokens.create("alice", "unused"), tokens.create("alice", "short", ttl=50),
    )  # fmt: skip
    clock.advance(60)
    assert tokens.read(short) is None
    token = tokens.read(used)
    assert token is not None
    clock.advance(60)
    assert [(each.name, each.last_seen) for each in tokens.of("alice")] == [("used", token.last_seen)]
    assert tokens.peek(unused) is None
    assert token.last_seen is not None
    assert token.last_seen.timestamp() == clock() / 1e9 - 60


def test_a_user_has_no_more_tokens_than_the_limit(store: crudjt.Store) -> None:
    tokens = ApiTokens(store, "myapp", max_tokens=2)
    first = tokens.create("alice", "1")
    tokens.create("alice", "2")
    store.create({}, subject="alice")
    with pytest.raises(crudjt.TooManySessions):
        tokens.create("alice", "3")
    tokens.create("bob", "1")
    assert tokens.delete(first)
    tokens.create("alice", "3")


def test_a_rotated_token_keeps_all_but_its_text(store: crudjt.Store) -> None:
    tokens = ApiTokens(store, "myapp")
    text = tokens.create("alice", "laptop", ["mail:read"])
    rotated = tokens.rotate(text) or ""
    token = tokens.read(rotated)
    assert tokens.read(text) is None
    assert tokens.rotate(text) is None
    assert token is not None
    assert (token.name, token.scopes) == ("laptop", frozenset({"mail:read"}))


@pytest.mark.parametrize(
    ("parameter", "call"),
    [
        ("prefix", lambda store: ApiTokens(store, "My App")),
        ("prefix", lambda store: ANY_TOKENS(store, 7)),
        ("name", lambda store: ApiTokens(store, "myapp").create("alice", "")),
        ("name", lambda store: ANY_TOKENS(store, "myapp").create("alice", None)),
        ("name", lambda store: ApiTokens(store, "myapp").create("alice", "\ud800")),
        ("store", lambda store: ANY_TOKENS(crudjt.aio.wrap(store), "myapp")),
        ("scopes", lambda store: ApiTokens(store, "myapp").create("alice", "x", "mail")),
        ("scopes", lambda store: ApiTokens(store, "myapp").create("alice", "x", ["mail read"])),
        ("text", lambda store: ANY_TOKENS(store, "myapp").read(b"myapp_")),
        ("subject", lambda store: ApiTokens(store, "myapp").create("", "x")),
    ],
)
def test_what_is_wrong_is_named(store: crudjt.Store, parameter: str, call: Any) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        call(store)
    assert caught.value.parameter == parameter


def test_the_asynchronous_ones_do_the_same(store: crudjt.Store) -> None:
    async def run() -> None:
        tokens = AsyncApiTokens(crudjt.aio.wrap(store), "myapp", max_tokens=3)
        text = await tokens.create("alice", "laptop", ["mail:read"])
        token = await tokens.read(text)
        assert token is not None
        assert token == ApiTokens(store, "myapp").read(text)
        assert token.scopes == {"mail:read"}
        rotated = await tokens.rotate(text) or ""
        assert await tokens.rotate(text) is None
        assert (await tokens.peek(text), (await tokens.of("alice"))[0].name) == (None, "laptop")
        assert not await tokens.revoke_id(token.id, subject="alice")  # the handle went with the old text
        assert await tokens.delete(rotated)
        kept = await tokens.create("alice", "phone")
        await tokens.create("alice", "tablet")
        assert await tokens.revoke("alice", keep=kept) == 1
        assert await tokens.revoke_id((await tokens.of("alice"))[0].id, subject="alice")
        assert await tokens.read("myapp_") is None

    asyncio.run(run())
