"""A lifetime for each session ("remember me"): its end in the store and in the browser, the same on every framework."""

import time
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.test import override_settings

import crudjt
from crudjt.contrib._sessions.browser import BrowserSession
from crudjt.contrib.django import use_store
from crudjt.testing import FakeClock
from tests.support.session_sites import SITES, Act, DjangoSite, FlaskSite, Site

DAY = 86_400
LIFETIME = timedelta(days=60)  # longer than the default of any framework


def remember(session: Any) -> None:
    session.lifetime = LIFETIME


def ask(site: Site, act: Act) -> Any:
    """Make a request that succeeds; return what it returned."""
    job = site.request(act)
    assert site.answer.status == 200
    return job.result


def remembered(site: Site, **data: Any) -> crudjt.Session:
    """Log ada in for sixty days."""

    def act(session: Any) -> None:
        site.log_in("ada", **data)(session)
        remember(session)

    ask(site, act)
    return stored(site)


def stored(site: Site) -> crudjt.Session:
    session = site.store.peek(site.cookie or "")
    assert session is not None
    return session


def cookie_days(site: Site) -> float | None:
    """Return for how many days the cookie was set; ``None`` for a cookie that goes with the browser."""
    [line] = site.answer.cookies
    [morsel] = SimpleCookie(line).values()
    if morsel["max-age"]:
        return int(morsel["max-age"]) / DAY
    return (parsedate_to_datetime(morsel["expires"]).timestamp() - time.time()) / DAY if morsel["expires"] else None


def test_a_chosen_lifetime_is_the_end_in_the_store_and_of_the_cookie(site: Site) -> None:
    session = remembered(site, cart=1)
    assert session.expires_in == LIFETIME.total_seconds()
    assert cookie_days(site) == pytest.approx(60, abs=0.01)
    assert ask(site, lambda session: session.lifetime) == LIFETIME
    assert site.data() == {site.key: "ada", "cart": 1}


def test_writes_and_rotations_leave_the_chosen_end_where_it_is(site: Site, clock: FakeClock) -> None:
    end = remembered(site).expires_at
    clock.advance(10 * DAY)

    def slow(session: Any) -> None:
        session.get("a")
        clock.advance(30)
        session["a"] = 1

    ask(site, slow)
    assert stored(site).expires_at == end
    clock.advance(10 * DAY)
    token = site.cookie
    ask(site, lambda session: session.rotate())
    assert site.cookie != token
    assert stored(site).expires_at == end
    assert cookie_days(site) == pytest.approx(40, abs=0.01)
    assert ask(site, lambda session: session.lifetime) == LIFETIME


@pytest.mark.slow
def test_another_login_begins_the_same_lifetime_again(site: Site, clock: FakeClock) -> None:
    remembered(site)
    clock.advance(10 * DAY)
    ask(site, site.log_in("ada"))
    assert stored(site).expires_in == LIFETIME.total_seconds()
    assert cookie_days(site) == pytest.approx(60, abs=0.01)


@pytest.mark.slow
def test_a_lifetime_that_is_chosen_later_counts_from_the_login(site: Site, clock: FakeClock) -> None:
    ask(site, site.log_in("ada"))
    clock.advance(DAY)
    ask(site, remember)
    assert stored(site).expires_in == 59 * DAY
    assert cookie_days(site) == pytest.approx(59, abs=0.01)
    ask(site, lambda session: setattr(session, "lifetime", 3600))  # is over
    clock.advance(1)
    assert site.data() == {}


@pytest.mark.slow
def test_none_returns_to_the_default_lifetime(site: Site) -> None:
    remembered(site)
    ask(site, lambda session: setattr(session, "lifetime", None))
    days = (stored(site).expires_in or 0) / DAY
    assert days == (31 if isinstance(site, FlaskSite) else 14)
    assert cookie_days(site) == (None if isinstance(site, FlaskSite) else pytest.approx(14, abs=0.01))


@pytest.mark.slow
def test_a_lifetime_of_0_is_a_cookie_that_goes_with_the_browser(site: Site) -> None:
    def act(session: Any) -> None:
        site.log_in("ada")(session)
        session.lifetime = 0

    ask(site, act)
    assert cookie_days(site) is None
    assert (stored(site).expires_in or 0) / DAY == (31 if isinstance(site, FlaskSite) else 14)


@pytest.mark.slow
def test_a_logout_and_another_user_end_the_lifetime_too(site: Site) -> None:
    remembered(site)
    ask(site, site.log_in("bob"))
    assert (stored(site).expires_in or 0) < 32 * DAY
    ask(site, remember)
    ask(site, lambda session: (session.clear(), session.update({"a": 1})))
    assert (stored(site).expires_in or 0) < 32 * DAY
    assert site.data() == {"a": 1}


@pytest.mark.slow
def test_a_lifetime_alone_begins_no_session(site: Site) -> None:
    ask(site, remember)
    assert site.store.stats().sessions == 0


@pytest.mark.slow
@pytest.mark.parametrize("mine", [True, False])
def test_requests_at_the_same_time_keep_a_lifetime_that_one_of_them_sets(site: Site, mine: bool) -> None:
    ask(site, site.log_in("ada"))

    def act(session: Any) -> None:
        session.get("a")
        site.elsewhere(lambda theirs: theirs.update({"theirs": 1}) if mine else remember(theirs))
        session["a"] = 1
        if mine:
            remember(session)

    ask(site, act)
    assert stored(site).expires_in == LIFETIME.total_seconds()
    assert site.data()["a"] == 1


@pytest.mark.slow
def test_an_application_that_sets_the_reserved_key_gets_an_error(site: Site) -> None:
    def act(session: Any) -> None:
        with pytest.raises(crudjt.InvalidParameter, match="'_crudjt_lifetime' of a session is reserved"):
            session.update({"_crudjt_lifetime": 1})

    ask(site, act)
    assert site.store.stats().sessions == 0


def test_a_lifetime_that_is_no_duration_is_refused_at_the_call() -> None:
    session = BrowserSession()
    with pytest.raises(crudjt.InvalidType, match="lifetime must be a timedelta"):
        session.lifetime = "30 days"  # type: ignore[assignment] # pyright: ignore[reportAttributeAccessIssue] # meant
    with pytest.raises(crudjt.InvalidParameter, match="idle_timeout must be 1 to"):
        session.idle_timeout = 0
    for wrong in (-1, float("nan"), timedelta(days=-1)):
        with pytest.raises(crudjt.InvalidParameter, match="lifetime must be 0 to"):
            session.lifetime = wrong


@pytest.mark.parametrize("name", sorted(SITES))
def test_an_idle_timeout_holds_unless_the_session_has_one_of_its_own(
    name: str, store: crudjt.Store, clock: FakeClock
) -> None:
    settings: dict[str, Any] = {} if name == "django" else {"idle_timeout": 1800}
    with override_settings(CRUDJT_IDLE_TIMEOUT=1800), use_store(store):
        site = SITES[name](store, **settings)

        def remember_idle(session: Any) -> None:
            session.idle_timeout = session.lifetime

        end = remembered(site).created_at + LIFETIME
        ask(site, remember_idle)
        for _ in range(3):
            clock.advance(15 * DAY)
            assert ask(site, lambda session: session.idle_timeout) == LIFETIME
        ask(site, lambda session: session.update({"a": 1}))
        assert stored(site).expires_at == end
        ask(site, lambda session: setattr(session, "idle_timeout", None))
        clock.advance(1801)
        assert site.data() == {}


@pytest.mark.parametrize("site", ["django"], indirect=True)
def test_the_expiry_of_django_and_a_lifetime_agree_and_the_last_one_holds(site: DjangoSite) -> None:
    def act(session: Any) -> list[Any]:
        session["a"] = 1
        seen = []
        for way, value in (("lifetime", LIFETIME), ("expiry", 0), ("lifetime", 90), ("expiry", 60), ("expiry", None)):
            setattr(session, "lifetime", value) if way == "lifetime" else session.set_expiry(value)
            date = (session.get_expiry_date().timestamp() - time.time()) / session.get_expiry_age()
            assert date == pytest.approx(1, abs=0.1)
            seen.append((session.lifetime, session.get_expiry_age(), session.get_expire_at_browser_close()))
        session.lifetime = LIFETIME
        session.set_expiry(3600)
        return seen

    two_weeks = 14 * DAY
    assert ask(site, act) == [
        (LIFETIME, 60 * DAY, False),
        (None, two_weeks, True),
        (timedelta(seconds=90), 90, False),
        (None, 60, False),
        (None, two_weeks, False),
    ]
    assert stored(site).expires_in == 3600
    assert site.data() == {"a": 1, "_session_expiry": 3600}


@pytest.mark.parametrize("site", ["flask"], indirect=True)
def test_a_permanent_session_of_flask_slides_unless_it_has_a_lifetime(site: FlaskSite, clock: FakeClock) -> None:
    def act(session: Any) -> None:
        session["a"] = 1
        session.permanent = True

    ask(site, act)
    clock.advance(10 * DAY)
    site.data()
    assert stored(site).expires_in == 31 * DAY
    ask(site, remember)
    clock.advance(10 * DAY)
    site.data()
    assert stored(site).expires_in == 40 * DAY
    assert cookie_days(site) == pytest.approx(40, abs=0.01)
