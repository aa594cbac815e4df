"""Device bound sessions under load, with a store that fails, and where they are switched off or set up wrong."""

import logging
import random
import threading
from contextlib import closing
from typing import Any

import flask
import litestar
import litestar.testing
import pytest
import starlette.applications
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.checks import run_checks
from django.test import override_settings
from litestar.middleware import DefineMiddleware

import crudjt
import crudjt.contrib.flask
import crudjt.contrib.litestar
import crudjt.contrib.starlette
from crudjt.contrib._device_bound.answers import Answer
from crudjt.contrib._device_bound.binding import Binding, binding_of, rebound, with_binding
from crudjt.contrib._device_bound.endpoints import answer
from crudjt.contrib._device_bound.settings import PATH, DeviceBound
from crudjt.contrib._device_bound.tickets import new_challenge
from crudjt.contrib._sessions import sync
from crudjt.contrib._sessions.browser import BrowserSession
from crudjt.contrib._sessions.calls import Lifetime
from crudjt.contrib._sessions.core import save
from crudjt.contrib._sessions.states import Held, Phase, found
from crudjt.testing import FakeClock
from tests.support.device_sites import (
    DEVICE_SITES,
    DJANGO_SETTINGS,
    DeviceSite,
    DjangoDeviceSite,
    FlaskDeviceSite,
    StarletteDeviceSite,
)
from tests.support.devices import DeviceBrowser, jwk, proof

# Beside other requests


def test_two_hundred_refreshes_at_once_are_all_answered_and_write_nothing(store: crudjt.Store) -> None:
    with closing(StarletteDeviceSite(store)) as site:
        browser = DeviceBrowser(site).log_in()
        before = store.peek(browser.token)
        written = store.stats().log_bytes
        headers = {
            "cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items()),
            "sec-secure-session-id": browser.identifier,
            "secure-session-response": browser.signed(),
        }
        replies = site.together(200, "POST", "/-/device/refresh", headers)
        after = store.peek(browser.token)
    assert {reply.status for reply in replies} == {200}
    assert before is not None
    assert after is not None
    assert after.version == before.version
    assert store.stats().log_bytes == written


SETTINGS = DeviceBound(offers=True, path=PATH, cookie_name="session", same_site="lax")


def offered(store: crudjt.Store) -> tuple[str, Any]:
    """Log in with a session of one key; return its token, and its binding."""
    session = BrowserSession(None, None, "user")
    session["user"] = "ada"
    left = session.left(lambda *_: Lifetime(3600, None), Phase.BEFORE_HEADERS, binds=True)
    held = sync.run(store, save(None, left)).held
    assert held is not None
    return held.token, held.device


def opened(store: crudjt.Store, token: str) -> BrowserSession:
    read = store.read(token)
    assert read is not None
    return BrowserSession(read.data, found(token, read), "user")


def stored(store: crudjt.Store, session: BrowserSession) -> Any:
    left = session.left(lambda *_: Lifetime(), Phase.BEFORE_HEADERS, binds=True)
    return sync.run(store, save(session.held, left))


def registered(store: crudjt.Store, token: str, text: str, held: Held | None = None) -> Answer:
    """Register a key; `held` is the session as it was read before."""
    held = held or found(token, store.peek(token))
    return sync.run(store, answer(SETTINGS, SETTINGS.registration, "", held, {"secure-session-response": text}.get))


@pytest.mark.slow
def test_neither_a_registration_nor_a_write_beside_it_is_lost(store: crudjt.Store, clock: FakeClock) -> None:
    """The request reads first, writes last, or the other way round; a thousand times, with real threads too."""
    key = ec.generate_private_key(ec.SECP256R1())
    chance = random.Random(1)
    for number in range(1000):
        token, binding = offered(store)
        text = proof(key, new_challenge(binding.secret, clock() // 10**9), head={"jwk": jwk(key)})
        session = opened(store, token)
        session["n"] = number
        if number % 10 == 0:  # truly at once
            answers: list[Answer] = []
            thread = threading.Thread(
                target=lambda text=text, token=token, answers=answers: answers.append(registered(store, token, text))
            )
            thread.start()
            stored(store, session)
            thread.join()
        elif chance.random() < 0.5:
            answers = [registered(store, token, text)]
            stored(store, session)
        else:
            held = found(token, store.peek(token))
            stored(store, session)
            answers = [registered(store, token, text, held)]
        assert answers[0].status == 200
        after = store.peek(token)
        assert after is not None
        assert after.data["n"] == number
        assert opened(store, token).device_bound
        store.delete(token)


def test_a_rotation_or_revocation_beside_a_registration_loses_nothing_and_revives_nothing(
    store: crudjt.Store, clock: FakeClock
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())

    def begun() -> tuple[str, Any, BrowserSession, str]:
        token, binding = offered(store)
        text = proof(key, new_challenge(binding.secret, clock() // 10**9), head={"jwk": jwk(key)})
        return token, found(token, store.peek(token)), opened(store, token), text

    token, _, session, text = begun()  # registered while a request was about to rotate
    assert registered(store, token, text).status == 200
    session.rotate()
    done = stored(store, session)
    assert done.held.device.registered
    assert opened(store, done.held.token).device_bound

    token, held, session, text = begun()  # rotated while the registration was under way
    session.rotate()
    done = stored(store, session)
    assert registered(store, token, text, held).status == 401
    assert not opened(store, done.held.token).device_bound

    token, held, _, text = begun()
    store.revoke("ada")
    assert registered(store, token, text, held).status == 401
    assert store.peek(token) is None


def test_a_binding_stays_with_its_user() -> None:
    bound = with_binding({}, Binding(bytes(32), bytes(16), bytes(64), 1))
    assert rebound(bound, offers=True, same_user=True) == bound
    assert rebound(bound, offers=False, same_user=True) == bound
    assert rebound(bound, offers=False, same_user=False) == {}
    another = binding_of(rebound(bound, offers=True, same_user=False))
    assert another is not None
    assert (another.registered, another.secret != bytes(32), another.identifier != bytes(16)) == (False, True, True)


# A store that fails


def test_a_store_that_fails_answers_503_at_a_refresh_and_the_session_stays(
    site: DeviceSite, store: crudjt.Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    browser = DeviceBrowser(site).log_in()
    caplog.set_level(logging.CRITICAL)

    def fails(*_: Any, **__: Any) -> Any:
        raise crudjt.StoreClosed

    with monkeypatch.context() as broken:
        for kind in {type(store), type(crudjt.aio.wrap(store))}:
            broken.setattr(kind, "read", fails)
        assert browser.refresh().status == 503
        assert browser.register().status == 503
    assert browser.refresh().status == 200
    assert browser.get().json["user"] == "ada"


@pytest.mark.parametrize("kind", [StarletteDeviceSite, FlaskDeviceSite])
def test_a_login_that_cannot_be_offered_to_the_device_succeeds(
    kind: type[StarletteDeviceSite | FlaskDeviceSite],
    store: crudjt.Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)

    def fails(*_: Any, **__: Any) -> Any:
        raise crudjt.StoreClosed

    with closing(kind(store)) as site:
        browser = DeviceBrowser(site)
        with monkeypatch.context() as broken:
            for each in {type(store), type(crudjt.aio.wrap(store))}:
                broken.setattr(each, "peek", fails)
            assert browser.get("/login?user=ada").status == 200
        assert browser.offered is None
        assert browser.get().json["user"] == "ada"


# Switched off


def test_the_answers_to_unbound_sessions_are_the_same_when_it_is_off_and_one_header_more_at_login_when_it_is_on(
    store: crudjt.Store,
) -> None:
    def names(answer: Any) -> list[str]:
        return [name.lower() for name, _ in answer.headers]

    with closing(StarletteDeviceSite(store)) as on, closing(StarletteDeviceSite(store, device_bound=False)) as off:
        bound, unbound = DeviceBrowser(on), DeviceBrowser(off)
        for target in ("/", "/login?user=ada", "/put?a=1", "/rotate", "/logout"):
            more = names(bound.get(target))
            if target in ("/login?user=ada", "/rotate"):
                more.remove("secure-session-registration")
            assert more == names(unbound.get(target)), target
        assert unbound.send("POST", "/-/device/refresh").status == 404
        unbound.get("/login?user=ada")
        session = store.peek(unbound.token)
        assert session is not None
        assert session.data == {"user": "ada"}


OFF: dict[str, dict[str, Any]] = {
    "django": {"CRUDJT_DEVICE_BOUND": False},
    "flask": {"CRUDJT_DEVICE_BOUND": False},
    "litestar": {"device_bound": False},
    "starlette": {"device_bound": False},
}


@pytest.mark.parametrize("name", sorted(OFF))
def test_switched_off_it_offers_nothing_and_still_checks_what_is_bound(
    name: str, store: crudjt.Store, clock: FakeClock
) -> None:
    with closing(DEVICE_SITES[name](store)) as site:
        cookies = DeviceBrowser(site).log_in()
    clock.advance(60)
    with closing(DEVICE_SITES[name](store, **OFF[name])) as site:
        cookies.site = site
        assert cookies.get().json["bound"] is True
        assert cookies.without_proof().get().json["user"] is None
        assert cookies.refresh().status == 200
        other = DeviceBrowser(site)
        assert other.get("/login?user=bob").header("secure-session-registration") is None
        assert other.send("POST", "/-/device/refresh").status in (403, 404)


# Set up wrong


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"https_only": False}, "https_only"),
        ({"domain": "example.org"}, "domain"),
        ({"path": "/app"}, "path"),
        ({"partitioned": True}, "partitioned"),
        ({"max_age": 299}, "max_age"),
        ({"device_bound": 1}, "device_bound"),
        ({"device_bound_path": "device/"}, "device_bound_path"),
    ],
)
def test_a_setting_that_does_not_go_with_it_is_refused_by_its_name(
    store: crudjt.Store, settings: dict[str, Any], named: str
) -> None:
    given: dict[str, Any] = {"device_bound": True, "subject_key": "user"} | settings
    with pytest.raises(crudjt.InvalidParameter) as refused:
        crudjt.contrib.starlette.SessionMiddleware(starlette.applications.Starlette(), store, **given)
    assert refused.value.parameter == named


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"CRUDJT_COOKIE_SECURE": False}, "CRUDJT_COOKIE_SECURE"),
        ({"SESSION_COOKIE_DOMAIN": "example.org"}, "SESSION_COOKIE_DOMAIN"),
        ({"PERMANENT_SESSION_LIFETIME": 60}, "PERMANENT_SESSION_LIFETIME"),
        ({"CRUDJT_DEVICE_BOUND_PATH": "/"}, "CRUDJT_DEVICE_BOUND_PATH"),
    ],
)
def test_flask_names_its_own_settings(store: crudjt.Store, settings: dict[str, Any], named: str) -> None:
    app = flask.Flask(__name__)
    app.config.update({"CRUDJT_SUBJECT_KEY": "user", "CRUDJT_DEVICE_BOUND": True} | settings)
    with pytest.raises(crudjt.InvalidParameter) as refused:
        crudjt.contrib.flask.Sessions(app, store=store)
    assert refused.value.parameter == named


def problems(**settings: Any) -> list[str]:
    with override_settings(**DJANGO_SETTINGS | settings):
        return [str(each) for each in run_checks() if each.id == "crudjt.E005"]


def test_django_checks_its_settings_and_the_place_of_the_middleware() -> None:
    session, device, *others = DJANGO_SETTINGS["MIDDLEWARE"]
    assert problems() == []
    assert problems(CRUDJT_DEVICE_BOUND=False, MIDDLEWARE=[session, *others]) == []
    for wrong in ([session, *others], [device, session, *others], [session, *others, device]):
        assert len(problems(MIDDLEWARE=wrong)) == 1
    assert "SESSION_COOKIE_SECURE" in problems(SESSION_COOKIE_SECURE=False)[0]


def test_a_bound_session_that_no_middleware_of_django_has_checked_is_not_served(
    store: crudjt.Store, clock: FakeClock
) -> None:
    with closing(DjangoDeviceSite(store)) as site:
        browser = DeviceBrowser(site).log_in()
    session, _, *others = DJANGO_SETTINGS["MIDDLEWARE"]
    with closing(DjangoDeviceSite(store, MIDDLEWARE=[session, *others])) as site:
        browser.site = site
        assert browser.get().json["user"] is None
    assert len(list(store.sessions("ada"))) == 1


def test_django_keeps_the_cookie_of_an_owner_whose_request_is_refused(store: crudjt.Store, clock: FakeClock) -> None:
    with closing(DjangoDeviceSite(store, SESSION_SAVE_EVERY_REQUEST=True)) as site:
        browser = DeviceBrowser(site).log_in()
        clock.advance(60)
        thief = browser.without_proof()
        assert thief.get(secure_session_skipped=f'unreachable;session_identifier="{browser.identifier}"').cookies == []
        assert thief.get().cookies == []
        assert browser.get().json["user"] == "ada"


def test_litestar_says_that_the_paths_are_missing(store: crudjt.Store) -> None:
    async def view() -> None:
        """Do nothing."""

    app = litestar.Litestar(
        [litestar.get("/")(view)],
        middleware=[
            DefineMiddleware(
                crudjt.contrib.litestar.SessionMiddleware, store=store, subject_key="user", device_bound=True
            )
        ],
        openapi_config=None,
        logging_config=None,
        debug=True,
    )
    answer = litestar.testing.TestClient(app, base_url="https://testserver.local").get("/")
    assert "add plugins=[DeviceBoundPaths(" in answer.text


# Where it lies


def test_the_paths_lie_below_the_root_path(store: crudjt.Store) -> None:
    with closing(StarletteDeviceSite(store, device_bound_path="/dbsc")) as site:
        site.root_path = "/app"
        browser = DeviceBrowser(site)
        browser.get("/app/login?user=ada")
        assert browser.offered is not None
        assert browser.offered["path"] == "/app/dbsc/register"
        answered = browser.register(claims={"aud": "https://testserver/app/dbsc/register"})
        assert (answered.status, answered.json["refresh_url"]) == (200, "/app/dbsc/refresh")


def test_a_root_path_is_quoted_in_the_offer(store: crudjt.Store) -> None:
    with closing(StarletteDeviceSite(store)) as site:
        site.root_path = "/my app"
        browser = DeviceBrowser(site)
        browser.get("/my app/login?user=ada")
        assert browser.offered is not None
        assert browser.offered["path"] == "/my%20app/-/device/register"


def test_it_is_in_no_list_of_sessions(store: crudjt.Store) -> None:
    with closing(FlaskDeviceSite(store)) as site:
        DeviceBrowser(site).log_in()
        with site.app.test_request_context():
            [listed] = crudjt.contrib.flask.sessions_of("ada")
    assert listed.data == {"user": "ada"}
    assert "device" not in repr(listed)
