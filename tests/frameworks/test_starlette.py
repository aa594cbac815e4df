"""`SessionMiddleware`: what a browser and an attacker see of it."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

import crudjt
from crudjt._backends.embedded.async_store import AsyncEmbeddedStore
from crudjt.aio import wrap
from crudjt.contrib.starlette import SessionMiddleware, revoke_user, session_of
from crudjt.testing import FakeClock
from tests.support.asgi import Act, Answer, Browser, acting, delay_the_next_write
from tests.support.loops import Loop
from tests.support.processes import eventually


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with closing(Loop()) as loop:
        yield loop


class Site:
    """An application with sessions, a browser, and what the browser's requests do."""

    def __init__(self, store: Any, loop: Loop, **settings: Any) -> None:
        self._loop = loop
        self.store = store
        self._middleware: Callable[[Any], SessionMiddleware] = lambda app: SessionMiddleware(app, store, **settings)
        self.browser = Browser(self._serve)
        self._application: Any = None

    async def _serve(self, *arguments: Any) -> None:
        await self._application(*arguments)

    def do(self, act: Act, afterwards: Act | None = None, kind: str = "http") -> Answer:
        """Let the browser make a request that does something."""
        self._application = self._middleware(acting(act, afterwards))
        answer: Answer = self._loop.run(self.browser.request(kind))
        return answer

    def data(self) -> dict[str, Any]:
        """Return what the next request finds."""
        return dict(self.do(dict).result)


def put(**values: Any) -> Act:
    return lambda session: session.update(values)


def log_in(subject: str) -> Act:
    return lambda session: setattr(session, "subject", subject)


def ada_logs_in(session: Any) -> None:
    session["a"] = 1
    session.subject = "ada"


@pytest.fixture
def site(store: crudjt.Store, loop: Loop) -> Site:
    return Site(store, loop)


# Cookie and data


def test_what_a_request_puts_into_the_session_the_next_one_finds(site: Site) -> None:
    site.do(put(a=1, b=[1, {"c": None}]))
    assert site.data() == {"a": 1, "b": [1, {"c": None}]}


def test_an_async_store_serves_as_well(store: crudjt.Store, loop: Loop) -> None:
    site = Site(wrap(store), loop)
    site.do(put(a=1))
    assert site.data() == {"a": 1}


def test_the_cookie_holds_the_token_and_nothing_else(site: Site, store: crudjt.Store) -> None:
    site.do(put(secret="hunter2"))
    assert site.browser.cookie is not None
    session = store.peek(site.browser.cookie)
    assert session is not None
    assert session.data == {"secret": "hunter2"}
    assert len(site.browser.cookie) == 22


def test_the_cookie_is_secure_unless_told_otherwise(site: Site) -> None:
    [cookie] = site.do(put(a=1)).set_cookies
    value, *attributes = cookie.split("; ")
    assert value == f"session={site.browser.cookie}"
    assert set(attributes) == {"Max-Age=1209600", "path=/", "httponly", "samesite=lax", "secure"}


def test_the_cookie_is_made_as_the_parameters_say(store: crudjt.Store, loop: Loop) -> None:
    site = Site(
        store,
        loop,
        max_age=None,
        idle_timeout=60,
        path="/app",
        same_site="strict",
        domain="example.org",
        partitioned=True,
    )
    [cookie] = site.do(put(a=1)).set_cookies
    assert set(cookie.split("; ")[1:]) == {
        "path=/app", "httponly", "samesite=strict", "secure", "domain=example.org", "partitioned",
    }  # fmt: skip
    insecure = Site(store, loop, https_only=False).do(put(a=1)).set_cookies[0]
    assert "secure" not in insecure


def test_a_response_with_a_token_is_not_cached(site: Site) -> None:
    assert site.do(put(a=1)).header("cache-control") == "no-store"
    assert site.do(dict).header("cache-control") is None


def test_a_response_that_depends_on_the_session_says_so(site: Site) -> None:
    assert site.do(dict).header("vary") == "Cookie"


def test_nothing_is_written_when_nothing_was_changed(site: Site, store: crudjt.Store) -> None:
    site.do(put(a=[1]))
    before = store.stats().log_bytes
    assert site.do(lambda session: session["a"]).set_cookies == []
    assert site.do(put(a=[1])).set_cookies == []
    assert store.stats().log_bytes == before
    assert Site(store, site._loop).do(dict).set_cookies == []
    assert store.stats().sessions == 1


def test_a_change_deep_inside_a_value_is_kept(site: Site) -> None:
    site.do(put(cart=[1]))
    site.do(lambda session: session["cart"].append(2))
    assert site.data() == {"cart": [1, 2]}


@pytest.mark.parametrize("key", ["theme", "user_id"])
def test_a_change_deep_inside_after_the_request_has_written_is_kept(store: crudjt.Store, loop: Loop, key: str) -> None:
    """Also after a login, of which the session that goes on is compared with what that wrote."""
    site = Site(store, loop, subject_key="user_id")
    site.do(put(cart=[1]))
    site.do(put(**{key: "ada"}), afterwards=lambda session: session["cart"].append(2))
    assert site.data() == {"cart": [1, 2], key: "ada"}


def test_a_change_of_type_alone_is_kept(site: Site) -> None:
    site.do(put(a=1))
    site.do(put(a=True))
    assert site.data()["a"] is True


def test_a_change_sends_no_cookie_again(site: Site) -> None:
    site.do(put(a=1))
    assert site.do(put(a=2)).set_cookies == []


def test_keys_can_be_removed(site: Site) -> None:
    site.do(put(a=1, b=2))
    site.do(lambda session: session.pop("a"))
    assert site.data() == {"b": 2}


def test_data_that_is_too_large_is_refused_and_changes_nothing(site: Site) -> None:
    site.do(put(a=1))
    with pytest.raises(crudjt.DataTooLarge):
        site.do(put(a="x" * 70_000))
    assert site.data() == {"a": 1}


def test_what_is_put_in_after_the_response_has_begun_is_kept(site: Site) -> None:
    site.do(put(a=1))
    site.do(put(b=2), afterwards=put(c=3))
    assert site.data() == {"a": 1, "b": 2, "c": 3}


def test_a_session_that_begins_after_the_response_has_is_not_stored(site: Site, store: crudjt.Store) -> None:
    site.do(dict, afterwards=put(a=1))
    assert store.stats().sessions == 0


def test_a_new_token_is_refused_when_it_cannot_be_sent_any_more(site: Site) -> None:
    site.do(put(a=1))
    for late in (lambda session: session.rotate(), log_in("ada")):
        with pytest.raises(RuntimeError, match="begun"):
            site.do(dict, afterwards=late)


def test_repr_shows_no_data(site: Site) -> None:
    assert site.do(lambda session: (session.update(secret="hunter2"), repr(session))[1]).result == (
        "<BrowserSession of 1 keys>"
    )


# Foreign cookies


@pytest.mark.parametrize("value", ["A" * 22, "attacker", "", "null", "Q" * 21, "é" * 22, "x" * 5000])
def test_a_value_that_we_did_not_mint_is_never_adopted(site: Site, store: crudjt.Store, value: str) -> None:
    site.browser.cookie = value
    assert site.data() == {}
    site.do(put(a=1))
    assert site.browser.cookie != value
    assert store.peek(site.browser.cookie or "") is not None


def test_a_token_of_limited_reads_is_no_session(site: Site, store: crudjt.Store) -> None:
    """One of a link that was mailed, say."""
    link = store.create({"user_id": 42}, max_reads=5)
    site.browser.cookie = link
    assert site.data() == {}
    site.do(put(a=1))
    assert site.browser.cookie != link


def test_a_foreign_cookie_is_left_alone(site: Site) -> None:
    """Another response may have replaced it by now, and a late answer must not log anybody out."""
    site.browser.cookie = "A" * 22
    assert site.do(dict).set_cookies == []


# Login, logout, rotation


def test_a_login_gets_a_new_token_and_the_old_one_dies(site: Site, store: crudjt.Store) -> None:
    site.do(put(cart=[1]))
    before = site.browser.cookie
    assert len(site.do(log_in("ada")).set_cookies) == 1
    assert site.browser.cookie != before
    assert store.peek(before or "") is None
    assert site.data() == {"cart": [1]}
    assert [session.data for session in store.sessions("ada")] == [{"cart": [1]}]


def test_a_change_of_the_subject_gets_a_new_token(site: Site, store: crudjt.Store) -> None:
    site.do(log_in("ada"))
    before = site.browser.cookie
    site.do(log_in("root"))
    assert store.peek(before or "") is None
    assert list(store.sessions("ada")) == []
    assert site.do(lambda session: session.subject).result == "root"


def test_who_logs_in_again_gets_a_new_token(site: Site, store: crudjt.Store) -> None:
    site.do(ada_logs_in)
    before = site.browser.cookie
    site.do(ada_logs_in)
    assert site.browser.cookie != before
    assert store.peek(before or "") is None
    assert store.stats().sessions == 1


@pytest.mark.parametrize("subject", ["root", None])
def test_the_data_of_one_subject_does_not_go_over_to_another(site: Site, subject: str | None) -> None:
    site.do(ada_logs_in)

    def change_hands(session: Any) -> None:
        session.subject = subject
        session["b"] = 2

    site.do(change_hands)
    assert site.data() == {"b": 2}
    assert site.do(lambda session: session.subject).result == subject


def test_rotation_on_request_keeps_data_and_subject(site: Site, store: crudjt.Store) -> None:
    site.do(ada_logs_in)
    before = site.browser.cookie
    site.do(lambda session: (session.update(b=2), session.rotate()))
    assert site.browser.cookie != before
    assert store.peek(before or "") is None
    assert site.data() == {"a": 1, "b": 2}
    assert site.do(lambda session: session.subject).result == "ada"


def test_clearing_ends_the_session_and_takes_the_cookie_away(site: Site, store: crudjt.Store) -> None:
    site.do(ada_logs_in)
    before = site.browser.cookie
    [cookie] = site.do(lambda session: session.clear()).set_cookies
    assert cookie.startswith("session=null; expires=Thu, 01 Jan 1970")
    assert store.peek(before or "") is None
    assert site.browser.cookie is None


def test_what_is_put_in_after_clearing_begins_another_session(site: Site, store: crudjt.Store) -> None:
    site.do(ada_logs_in)
    before = site.browser.cookie
    site.do(lambda session: (session.clear(), session.update(message="goodbye")))
    assert site.browser.cookie not in (before, None)
    assert store.peek(before or "") is None
    assert site.data() == {"message": "goodbye"}
    assert site.do(lambda session: session.subject).result is None


def test_a_session_without_its_last_key_ends(site: Site, store: crudjt.Store) -> None:
    site.do(put(user_id=42))
    before = site.browser.cookie
    site.do(lambda session: session.pop("user_id"))
    assert site.browser.cookie is None
    assert store.peek(before or "") is None


def test_the_application_knows_the_session_by_its_handle(site: Site, store: crudjt.Store) -> None:
    assert site.do(lambda session: (session.id, session.token)).result == (None, None)
    site.do(log_in("ada"))
    handle, token = site.do(lambda session: (session.id, session.token)).result
    assert [session.id for session in store.sessions("ada")] == [handle]
    assert token == site.browser.cookie


# What happens while a request is under way


def test_concurrent_requests_keep_each_others_keys(site: Site, loop: Loop) -> None:
    site.do(put(a=1, gone=1, same=0))
    other = Site(site.store, loop)
    other.browser.cookie = site.browser.cookie

    async def meanwhile(session: Any) -> None:
        session["b"] = 2
        session["same"] = 1
        await _request(other, lambda theirs: (theirs.update(c=3, same=2), theirs.pop("gone")))

    site.do(meanwhile, afterwards=put(d=4))
    assert site.data() == {"a": 1, "b": 2, "c": 3, "d": 4, "same": 1}


def test_forty_requests_at_once_lose_nothing(site: Site, loop: Loop) -> None:
    site.do(put(n=0))
    everybody = asyncio.Barrier(40) if hasattr(asyncio, "Barrier") else None

    async def one(number: int) -> None:
        other = Site(site.store, loop)
        other.browser.cookie = site.browser.cookie

        async def act(session: Any) -> None:
            if everybody is not None:
                await everybody.wait()
            session[f"key{number}"] = number

        await _request(other, act)

    async def all_at_once() -> None:
        await asyncio.gather(*map(one, range(40)))

    loop.run(all_at_once())
    assert site.data() == {"n": 0} | {f"key{number}": number for number in range(40)}


async def _request(site: Site, act: Act) -> Answer:
    browser = Browser(site._middleware(acting(act)))
    browser.cookie = site.browser.cookie
    return await browser.request()


@pytest.mark.parametrize(
    "act",
    [put(a=2), lambda session: session.rotate(), lambda session: (session.update(a=2), session.rotate()), dict],
    ids=["changed", "rotated", "both", "read"],
)
def test_a_session_that_is_ended_during_a_request_stays_ended(site: Site, store: crudjt.Store, act: Act) -> None:
    site.do(ada_logs_in)

    def revoked_meanwhile(session: Any) -> None:
        act(session)
        store.revoke("ada")

    answer = site.do(revoked_meanwhile, afterwards=put(b=1))
    assert answer.set_cookies == []
    assert site.data() == {}
    assert store.stats().sessions == 0


def test_a_login_during_which_the_old_session_ends_takes_nothing_of_it_over(site: Site, store: crudjt.Store) -> None:
    site.do(put(cart=[1]))
    old = site.browser.cookie or ""

    def ended_meanwhile(session: Any) -> None:
        store.delete(old)
        session.subject = "ada"
        session["theme"] = "dark"

    site.do(ended_meanwhile)
    assert site.data() == {"theme": "dark"}
    assert [session.data for session in store.sessions("ada")] == [{"theme": "dark"}]


def test_an_old_session_that_ends_at_the_last_moment_of_a_login_is_not_taken_over(
    site: Site, store: crudjt.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate = AsyncEmbeddedStore.rotate

    async def too_late(self: AsyncEmbeddedStore, token: str, **more: Any) -> str | None:
        assert store.delete(token)
        return await rotate(self, token, **more)

    site.do(put(cart=[1]))
    monkeypatch.setattr(AsyncEmbeddedStore, "rotate", too_late)
    site.do(ada_logs_in)
    assert site.data() == {"a": 1}


def test_a_store_that_fails_is_no_empty_session(site: Site, store: crudjt.Store) -> None:
    site.do(put(a=1))
    store.close()
    with pytest.raises(crudjt.StoreClosed):
        site.do(dict)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_logout_holds_if_the_request_is_cancelled(store: crudjt.Store, loop: Loop, when: str) -> None:
    """As when the browser closes the connection; a task group cancels what it waits for again and again."""
    asynchronous = wrap(store)
    site = Site(asynchronous, loop)
    site.do(ada_logs_in)
    token = site.browser.cookie or ""

    async def log_out_and_wait(session: Any) -> None:
        session.clear()
        await asyncio.Event().wait()

    async def cancelled() -> None:
        acts = (log_out_and_wait, None) if when == "before" else (dict, log_out_and_wait)
        browser = Browser(site._middleware(acting(*acts)))
        browser.cookie = token
        request = asyncio.create_task(browser.request())
        await asyncio.sleep(0.01)
        request.cancel()
        await asyncio.sleep(0.01)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request

    delay_the_next_write(asynchronous)
    loop.run(cancelled())
    assert eventually(lambda: store.peek(token) is None)


def test_a_logout_on_a_websocket_holds(site: Site, store: crudjt.Store) -> None:
    for acts in (
        {"act": lambda session: session.clear()},
        {"act": dict, "afterwards": lambda session: session.clear()},
    ):
        site.do(ada_logs_in)
        token = site.browser.cookie or ""
        site.do(**acts, kind="websocket")
        assert store.peek(token) is None
        site.browser.cookie = None


def test_a_websocket_that_is_refused_may_begin_a_session(store: crudjt.Store, loop: Loop) -> None:
    async def refuse(scope: Any, _receive: Any, send: Any) -> None:
        scope["session"]["reason"] = "full"
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})

    browser = Browser(SessionMiddleware(refuse, store, subject_key=None))
    loop.run(browser.request("websocket"))
    assert store.peek(browser.cookie or "") is not None


def test_a_cookie_is_removed_with_its_attributes(store: crudjt.Store, loop: Loop) -> None:
    site = Site(store, loop, path="/app", domain="example.org", partitioned=True)
    site.do(put(a=1))
    [cookie] = site.do(lambda session: session.clear()).set_cookies
    assert set(cookie.split("; ")[2:]) == {
        "path=/app", "httponly", "samesite=lax", "secure", "domain=example.org", "partitioned",
    }  # fmt: skip


def test_a_login_in_place_of_an_anonymous_session_keeps_the_idle_timeout(
    store: crudjt.Store, clock: FakeClock, loop: Loop
) -> None:
    site = Site(store, loop, idle_timeout=60)
    site.do(put(a=1))
    site.do(log_in("ada"))
    clock.advance(60)
    assert site.data() == {}


def test_the_session_of_a_request_without_the_middleware_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="add its SessionMiddleware"):
        session_of(Request({"type": "http", "headers": []}))


def test_the_helpers_need_a_request(loop: Loop) -> None:
    with pytest.raises(RuntimeError, match="no request with a session is being served"):
        loop.run(revoke_user("ada"))


def test_a_secure_cookie_over_plain_http_is_warned_of_once(
    store: crudjt.Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def visit(request: Request) -> JSONResponse:
        request.session["visits"] = 1
        return JSONResponse(None)

    middleware = [Middleware(SessionMiddleware, store=store, subject_key=None)]
    client = TestClient(Starlette(routes=[Route("/", visit)], middleware=middleware))
    for _ in range(2):
        client.get("/")
    assert caplog.text.count("came over plain HTTP") == 1


def test_without_a_subject_key_the_start_says_what_a_login_has_to_do(
    store: crudjt.Store, caplog: pytest.LogCaptureFixture
) -> None:
    SessionMiddleware(acting(dict), store, subject_key=None)
    assert caplog.text == ""
    SessionMiddleware(acting(dict), store)
    assert "no subject_key is given" in caplog.text


# Expiry


def test_a_session_ends_at_its_absolute_lifetime_however_much_it_is_used(
    store: crudjt.Store, clock: FakeClock, loop: Loop
) -> None:
    site = Site(store, loop, max_age=100)
    site.do(put(n=0))
    for n in range(9):
        clock.advance(11)
        site.do(put(n=n))
    assert site.data() == {"n": 8}
    clock.advance(1)
    assert site.data() == {}


def test_an_idle_timeout_rolls_with_each_request(store: crudjt.Store, clock: FakeClock, loop: Loop) -> None:
    site = Site(store, loop, max_age=None, idle_timeout=100)
    site.do(put(a=1))
    for _ in range(5):
        clock.advance(60)
        assert site.data() == {"a": 1}
    clock.advance(100)
    assert site.data() == {}


def test_a_rotation_does_not_prolong_the_absolute_lifetime(store: crudjt.Store, clock: FakeClock, loop: Loop) -> None:
    site = Site(store, loop, max_age=100)
    site.do(put(a=1))
    clock.advance(60)
    site.do(lambda session: session.rotate())
    clock.advance(40)
    assert site.data() == {}


# Parameters


@pytest.mark.parametrize(
    ("settings", "parameter"),
    [
        ({"max_age": float("nan")}, "max_age"),
        ({"subject_key": 1}, "subject_key"),
        ({"max_age": True}, "max_age"),
        ({"max_age": "60"}, "max_age"),
        ({"idle_timeout": -1}, "idle_timeout"),
        ({"max_sessions": 0}, "max_sessions"),
        ({"idle_timeout": float("nan")}, "idle_timeout"),
        ({"session_cookie": "a b"}, "session_cookie"),
        ({"session_cookie": ""}, "session_cookie"),
        ({"session_cookie": "__Host-s", "path": "/app"}, "session_cookie"),
        ({"session_cookie": "__Host-s", "domain": "example.org"}, "session_cookie"),
        ({"session_cookie": "__Host-s", "https_only": False}, "https_only"),
        ({"session_cookie": "__Secure-s", "https_only": False}, "https_only"),
        ({"same_site": "none", "https_only": False}, "https_only"),
        ({"partitioned": True, "https_only": False}, "https_only"),
        ({"same_site": "Lax"}, "same_site"),
        ({"https_only": "false"}, "https_only"),
        ({"partitioned": 1}, "partitioned"),
        ({"record_client": "no"}, "record_client"),
        ({"renew_keys": None}, "renew_keys"),
        ({"path": "/; domain=evil"}, "path"),
        ({"domain": "a\r\nSet-Cookie: b=c"}, "domain"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(store: crudjt.Store, settings: dict[str, Any], parameter: str) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        SessionMiddleware(acting(dict), store, **settings)
    assert caught.value.parameter == parameter


def test_a_store_is_needed() -> None:
    with pytest.raises(crudjt.InvalidParameter, match="not str"):
        SessionMiddleware(acting(dict), "secret")  # type: ignore[arg-type] # what Starlette's own takes


# Websockets


def test_a_websocket_has_the_session_and_keeps_what_it_changes(site: Site) -> None:
    site.do(put(a=1))
    assert site.do(dict, kind="websocket").result == {"a": 1}
    site.do(put(b=2), afterwards=put(c=3), kind="websocket")
    assert site.data() == {"a": 1, "b": 2, "c": 3}


def test_a_websocket_that_is_accepted_may_begin_a_session(site: Site) -> None:
    site.do(put(a=1), kind="websocket")
    assert site.data() == {"a": 1}


def test_other_scopes_pass_through(store: crudjt.Store, loop: Loop) -> None:
    seen = []

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope)

    loop.run(SessionMiddleware(application, store)({"type": "lifespan"}, None, None))  # type: ignore[arg-type] # unused
    assert seen == [{"type": "lifespan"}]


# In a real application


def test_no_token_and_no_data_is_logged(site: Site, store: crudjt.Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    site.browser.cookie = "B" * 21 + "A"
    site.do(put(secret="hunter2"))
    site.do(log_in("ada"), afterwards=lambda _session: store.revoke("ada"))
    site.do(dict, afterwards=put(late=1))
    assert "no live session" in caplog.text
    assert "after the response had begun" in caplog.text
    for secret in ("B" * 21, "hunter2", site.browser.cookie or "", "ada"):
        assert secret not in caplog.text


def test_starlette_serves_sessions_over_http_and_websockets(store: crudjt.Store) -> None:
    async def visit(request: Request) -> JSONResponse:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return JSONResponse(request.session["visits"])

    async def stream(request: Request) -> StreamingResponse:
        async def parts() -> Any:
            yield b"one"
            request.session["streamed"] = True
            yield b"two"

        return StreamingResponse(parts())

    async def look(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(dict(websocket.session))
        await websocket.close()

    application = Starlette(
        routes=[Route("/", visit), Route("/stream", stream), WebSocketRoute("/look", look)],
        middleware=[Middleware(SessionMiddleware, store=store)],
    )
    with TestClient(application, base_url="https://testserver") as client:
        assert [client.get("/").json() for _ in range(3)] == [1, 2, 3]
        assert client.get("/stream").text == "onetwo"
        with client.websocket_connect("wss://testserver/look") as websocket:
            assert websocket.receive_json() == {"visits": 3, "streamed": True}
