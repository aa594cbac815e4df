"""Logout by the identity provider: which logout tokens end which sessions, and the endpoint of each framework."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import fastapi
import fastapi.testclient
import flask
import jwt
import litestar
import litestar.testing
import pytest
import starlette.testclient
import trio
from django.test import RequestFactory
from jwt.utils import base64url_encode
from starlette.applications import Starlette
from starlette.routing import Route

import crudjt
import crudjt.aio
from crudjt.contrib.back_channel_logout import AsyncBackChannelLogout, BackChannelLogout, LogoutTokenRefused
from crudjt.contrib.back_channel_logout import django as django_endpoint
from crudjt.contrib.back_channel_logout import flask as flask_endpoint
from crudjt.contrib.back_channel_logout import litestar as litestar_endpoint
from crudjt.contrib.back_channel_logout import starlette as starlette_endpoint
from crudjt.testing import FakeClock
from tests.support.django_project import urlpatterns
from tests.support.identity_provider import CLIENT, EVENT, IdentityProvider, identity_provider

PATH = "/logout"
FORM = "application/x-www-form-urlencoded"
USER, OTHER = "248289", "other"


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as provider:
        yield provider


def parameters(provider: IdentityProvider, **changed: Any) -> dict[str, Any]:
    return {"issuer": provider.issuer, "client_id": CLIENT, "jwks_uri": provider.jwks_uri, **changed}


@pytest.fixture
def logout(store: crudjt.Store, provider: IdentityProvider) -> BackChannelLogout:
    return BackChannelLogout(store, **parameters(provider))


def log_in(
    logout: BackChannelLogout, store: crudjt.Store, provider: IdentityProvider, sub: str, sid: str | None
) -> str:
    claims = {"iss": provider.issuer, "sub": sub} | ({} if sid is None else {"sid": sid})
    return store.create({}, subject=f"our {sub}", labels=logout.labels(claims))


@pytest.mark.parametrize(
    ("claims", "ended"),
    [
        ({"sub": USER}, {"phone", "desk", "old"}),
        ({"sub": None, "sid": "phone"}, {"phone"}),
        ({"sub": USER, "sid": "desk"}, {"desk"}),
        ({"sub": OTHER, "sid": "desk"}, set[str]()),  # another's session
        ({"sub": "nobody"}, set[str]()),
    ],
)
def test_a_logout_token_ends_the_sessions_that_it_names(
    logout: BackChannelLogout,
    store: crudjt.Store,
    provider: IdentityProvider,
    claims: dict[str, Any],
    ended: set[str],
) -> None:
    tokens = {sid: log_in(logout, store, provider, USER, sid) for sid in ("phone", "desk")}
    tokens["old"] = log_in(logout, store, provider, USER, None)
    tokens["theirs"] = log_in(logout, store, provider, OTHER, "theirs")
    tokens["without"] = store.create({}, subject=f"our {USER}")
    assert logout.end(provider.token(**claims)) == len(ended)
    assert {name for name, token in tokens.items() if store.peek(token) is None} == ended


def test_tokens_of_another_issuer_end_nothing_though_they_name_the_same_user(
    logout: BackChannelLogout, store: crudjt.Store, provider: IdentityProvider
) -> None:
    log_in(logout, store, provider, USER, "phone")
    other = BackChannelLogout(store, **parameters(provider, issuer="https://other.example"))
    assert other.end(provider.token(iss="https://other.example")) == 0


BAD: dict[str, Callable[[IdentityProvider], str]] = {
    "empty": lambda _: "",
    "no JWT": lambda _: "a.b",
    "unsigned": lambda p: jwt.encode(p.claims(), "", "none", headers={"kid": "rsa"}),
    "signed by the public key as a secret": lambda p: jwt.encode(
        p.claims(), "secret" * 8, "HS256", headers={"kid": "rsa"}
    ),
    "signed by another key": lambda p: jwt.encode(p.claims(), p.ec, "ES256", headers={"kid": "rsa"}),
    "an algorithm that is not accepted": lambda p: jwt.encode(p.claims(), p.ec, "ES256", headers={"kid": "ec"}),
    "another signature": lambda p: p.token()[:-8] + "AAAAAAAA",
    "a key that is not published": lambda p: p.token(header={"kid": "unknown"}),
    "no key named": lambda p: jwt.encode(p.claims(), p.rsa, "RS256"),
    "an access token": lambda p: p.token(header={"typ": "at+jwt"}),
    "an ID token": lambda p: p.token(nonce="n"),
    "another issuer": lambda p: p.token(iss="https://evil.example"),
    "another client": lambda p: p.token(aud="other"),
    "other clients": lambda p: p.token(aud=["other", "third"]),
    "too old": lambda p: p.token(iat=int(time.time()) - 181),
    "expired": lambda p: p.token(exp=int(time.time()) - 61),
    "from the future": lambda p: p.token(iat=int(time.time()) + 70),
    "a time that is a text": lambda p: p.token(iat="now"),
    "a time that is true": lambda p: p.token(exp=True),
    "no time": lambda p: p.token(iat=None),
    "no end": lambda p: p.token(exp=None),
    "no audience": lambda p: p.token(aud=None),
    "no identifier": lambda p: p.token(jti=None),
    "an empty identifier": lambda p: p.token(jti=""),
    "nobody": lambda p: p.token(sub=None),
    "a user that is no text": lambda p: p.token(sub=None, sid=7),
    "no events": lambda p: p.token(events=None),
    "another event": lambda p: p.token(events={"http://schemas.openid.net/event/other": {}}),
    "an event that is no object": lambda p: p.token(events={EVENT: 1}),
    "events that are a list": lambda p: p.token(events=[EVENT]),
    "a header of many lists": lambda p: ".".join([base64url_encode(b"[" * 30_000).decode(), *p.token().split(".")[1:]]),
}


@pytest.mark.parametrize("name", BAD)
def test_a_token_that_is_not_right_changes_nothing_and_is_logged_without_its_content(
    name: str,
    logout: BackChannelLogout,
    store: crudjt.Store,
    provider: IdentityProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    session, token = log_in(logout, store, provider, USER, "phone"), BAD[name](provider)
    with pytest.raises(LogoutTokenRefused) as refused:
        logout.end(token)
    assert store.peek(session) is not None
    assert store.count() == 1
    for secret in filter(None, (token, USER, "evil")):
        assert secret not in str(refused.value)
        assert secret not in caplog.text


def test_several_audiences_types_of_old_providers_and_other_signatures_are_accepted(
    store: crudjt.Store, provider: IdentityProvider
) -> None:
    logout = BackChannelLogout(store, **parameters(provider, algorithms=("RS256", "ES256")))
    for token in (
        provider.token(aud=["other", CLIENT]),
        provider.token(header={"typ": "JWT"}),
        jwt.encode(provider.claims(), provider.ec, "ES256", headers={"kid": "ec"}),
    ):
        assert logout.end(token) == 0


def test_a_token_is_good_for_one_use_and_cannot_end_later_logins(
    logout: BackChannelLogout, store: crudjt.Store, provider: IdentityProvider
) -> None:
    token = provider.token()
    assert logout.end(token) == 0
    later = log_in(logout, store, provider, USER, "phone")
    with pytest.raises(LogoutTokenRefused, match="used before"):
        logout.end(token)
    assert store.peek(later) is not None


def test_a_token_is_noted_as_used_until_its_last_moment(
    store: crudjt.Store, clock: FakeClock, provider: IdentityProvider
) -> None:
    logout = BackChannelLogout(store, **parameters(provider, clock=clock))
    made = clock() // 10**9
    token = provider.token(iat=made + 60, exp=made + 600)
    assert logout.end(token) == 0
    clock.advance(240.5)
    with pytest.raises(LogoutTokenRefused, match="used before"):
        logout.end(token)
    clock.advance(1)
    with pytest.raises(LogoutTokenRefused, match="too old"):
        logout.end(token)


def test_of_one_token_sent_many_times_at_once_one_is_accepted(
    logout: BackChannelLogout, store: crudjt.Store, provider: IdentityProvider
) -> None:
    token = provider.token()
    log_in(logout, store, provider, USER, "phone")

    def end(_: int) -> int | None:
        try:
            return logout.end(token)
        except LogoutTokenRefused:
            return None

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(end, range(8)), key=str) == [1, *[None] * 7]


def test_where_the_store_fails_the_provider_may_send_the_same_token_again(
    logout: BackChannelLogout, store: crudjt.Store, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(logout, store, provider, USER, "phone")
    token = provider.token()

    def fail(**_: Any) -> int:
        raise crudjt.StoreUnavailable("the store", "it is down")

    with monkeypatch.context() as broken:
        broken.setattr(type(store), "revoke", lambda _, **named: fail(**named))
        with pytest.raises(crudjt.StoreUnavailable):
            logout.end(token)
    assert logout.end(token) == 1


def test_the_keys_are_kept_and_fetched_again_for_a_key_that_is_new(store: crudjt.Store) -> None:
    with identity_provider() as provider:
        logout = BackChannelLogout(store, **parameters(provider))
        for _ in range(3):
            logout.end(provider.token())
        assert provider.fetches == 1
        for _ in range(3):  # the keys were fetched a moment ago
            with pytest.raises(LogoutTokenRefused, match="no such key"):
                logout.end(provider.token(header={"kid": "forged"}))
        assert provider.fetches == 1
        fresh = BackChannelLogout(store, **parameters(provider))
        provider.fails = True
        for _ in range(3):  # each failed fetch may take seconds, and any stranger's token needs one
            with pytest.raises(LogoutTokenRefused, match="cannot be fetched"):
                fresh.end(provider.token())
        assert provider.fetches == 2


def test_what_is_no_set_of_keys_is_a_fetch_that_has_failed(store: crudjt.Store, provider: IdentityProvider) -> None:
    for answer in (b"<html>", b"\xff", b"[]", b'{"keys": []}', None):
        provider.says = answer
        logout = BackChannelLogout(store, **parameters(provider))
        with pytest.raises(LogoutTokenRefused, match="cannot be fetched"):
            logout.end(provider.token())
    provider.says = b""


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("issuer", ""),
        ("client_id", ""),
        ("jwks_uri", "http://login.example.com/jwks"),
        ("algorithms", ()),
        ("algorithms", ("HS256",)),
        ("algorithms", ("none",)),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(store: crudjt.Store, parameter: str, value: Any) -> None:
    right: dict[str, Any] = {"issuer": "https://a.example", "client_id": "b", "jwks_uri": "https://a.example/jwks"}
    with pytest.raises(crudjt.InvalidParameter, match=f"^{parameter}"):
        BackChannelLogout(store, **(right | {parameter: value}))


@pytest.mark.parametrize("claims", [{}, {"iss": "https://evil.example", "sub": USER}, {"sub": ""}, {"sub": 7}])
def test_labels_are_made_of_an_id_token_of_the_issuer_alone(
    logout: BackChannelLogout, provider: IdentityProvider, claims: dict[str, Any]
) -> None:
    with pytest.raises(crudjt.InvalidParameter, match=r"^claims"):
        logout.labels({"iss": provider.issuer} | claims if claims else claims)


class Answer(NamedTuple):
    """The response of an endpoint."""

    status: int
    cache_control: str | None
    text: str


Post = Callable[[str, str], Answer]


@pytest.fixture(params=["starlette", "fastapi", "flask", "django", "litestar"])
def post(request: pytest.FixtureRequest, store: crudjt.Store, provider: IdentityProvider) -> Iterator[Post]:
    """Post a body of a content type to the endpoint of a framework."""
    client: Any
    given = parameters(provider)
    shared = AsyncBackChannelLogout(crudjt.aio.wrap(store), **given)
    if request.param == "django":
        assert urlpatterns  # Django is set up
        view = django_endpoint.view(BackChannelLogout(store, **given))
        requests = RequestFactory(enforce_csrf_checks=True)

        def ask_django(body: str, content_type: str) -> Answer:
            response = view(requests.post(PATH, body, content_type=content_type))
            return Answer(response.status_code, response["Cache-Control"], response.content.decode())

        yield ask_django
        return
    if request.param == "flask":
        app = flask.Flask("app")
        app.add_url_rule(PATH, view_func=flask_endpoint.view(BackChannelLogout(store, **given)), methods=["POST"])
        client = app.test_client()
    elif request.param == "litestar":
        client = litestar.testing.TestClient(litestar.Litestar([litestar_endpoint.handler(PATH, shared)]))
    elif request.param == "fastapi":
        api = fastapi.FastAPI()
        api.add_route(PATH, starlette_endpoint.endpoint(shared), methods=["POST"])
        client = fastapi.testclient.TestClient(api)
    else:
        routes = [Route(PATH, starlette_endpoint.endpoint(shared), methods=["POST"])]
        client = starlette.testclient.TestClient(Starlette(routes=routes))

    def ask(body: str, content_type: str) -> Answer:
        body_argument = "data" if request.param == "flask" else "content"
        response = client.post(PATH, **{body_argument: body.encode()}, headers={"Content-Type": content_type})
        return Answer(response.status_code, response.headers.get("Cache-Control"), response.text)

    yield ask


def test_a_form_that_the_application_has_looked_at_before_is_read_all_the_same(
    store: crudjt.Store, provider: IdentityProvider
) -> None:
    logout = BackChannelLogout(store, **parameters(provider))
    app = flask.Flask("app")
    app.before_request(lambda: flask.request.values and None)
    app.add_url_rule(PATH, view_func=flask_endpoint.view(logout), methods=["POST"])
    assert app.test_client().post(PATH, data={"logout_token": provider.token()}).status_code == 200
    assert app.test_client().post(PATH, data={"logout_token": ["a", "b"]}).status_code == 400
    assert urlpatterns  # Django is set up
    request = RequestFactory().post(PATH, urlencode({"logout_token": provider.token()}), content_type=FORM)
    assert request.POST
    assert django_endpoint.view(logout)(request).status_code == 200


def test_each_framework_ends_the_sessions_and_answers_as_the_specification_says(
    post: Post,
    logout: BackChannelLogout,
    store: crudjt.Store,
    provider: IdentityProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = log_in(logout, store, provider, USER, "phone")
    right = f"logout_token={provider.token()}"
    for body, content_type in (
        ("logout_token=no", FORM),
        (right, "text/plain"),
        (f"{right}&{right}", FORM),
        ("", FORM),
        ("logout_token=" + "a" * 70_000, FORM),
    ):
        refused = post(body, content_type)
        assert refused.status in {400, 413}  # Litestar itself refuses a body that is too long
        assert provider.issuer not in refused.text
    assert store.peek(session) is not None
    assert post(right, f"{FORM}; charset=utf-8")[:2] == (200, "no-store")
    assert store.peek(session) is None
    again = post(right, FORM)
    assert again[:2] == (400, "no-store")
    assert '"error": "invalid_request"' in again.text

    def fail(*_: Any, **__: Any) -> str:
        raise crudjt.StoreUnavailable("the store", "it is down")

    monkeypatch.setattr(type(store), "create", fail)
    failed = post(f"logout_token={provider.token()}", FORM)
    assert (failed.status, "server_error" in failed.text) == (400, True)


def test_a_logout_that_is_cancelled_leaves_its_token_to_be_sent_again(
    path: Path, secret_key: str, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = crudjt.aio.open(path, writes="thread", secret_key=secret_key)
    logout = AsyncBackChannelLogout(shared, **parameters(provider))
    token = provider.token()

    async def cancel_and_repeat() -> int:
        with trio.CancelScope() as scope, monkeypatch.context() as stuck:

            async def revoke(**_: Any) -> None:
                scope.cancel()
                await trio.sleep_forever()

            stuck.setattr(shared, "revoke", revoke, raising=False)
            await logout.end(token)
        async with shared:
            return await logout.end(token)

    assert trio.run(cancel_and_repeat) == 0


def test_an_asynchronous_logout_fetches_keys_beside_the_loop(store: crudjt.Store, provider: IdentityProvider) -> None:
    async def end() -> int:
        return await AsyncBackChannelLogout(crudjt.aio.wrap(store), **parameters(provider)).end(provider.token())

    assert asyncio.run(end()) == 0
