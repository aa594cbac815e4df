"""The sessions of all adapters behave as one: each test is a case of the table, run on every framework."""

import logging
from typing import Any

import pytest

import crudjt
from crudjt.contrib.django import _store, use_store
from crudjt.testing import FakeClock
from tests.support.session_sites import SITES, FlaskSite, Site, StarletteSite

UNKNOWN = "A" * 22


def put(**data: Any) -> Any:
    return lambda session: session.update(data)


def clear(session: Any) -> None:
    session.clear()


def logged_in(site: Site, **data: Any) -> str:
    """Log ada in; return her token."""
    site.request(site.log_in("ada", **data))
    assert site.cookie is not None
    return site.cookie


def alive(site: Site, token: str | None) -> bool:
    return site.store.peek(token or "") is not None


def own(site: Site, data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != site.key}


def subjects(site: Site) -> list[str]:
    return [name for name in ("ada", "bob") for _ in site.store.sessions(name)]


# 1: a cookie that names no live session, or one with max_reads


@pytest.mark.parametrize("kind", ["unknown", "ended", "link"])
def test_a_token_is_never_adopted_and_the_cookie_stays_until_a_session_begins(site: Site, kind: str) -> None:
    cookie = UNKNOWN
    if kind == "ended":
        cookie = site.store.create({"a": 1})
        site.store.delete(cookie)
    elif kind == "link":
        cookie = site.store.create({"a": 1}, max_reads=9)
    site.cookie = cookie
    assert site.data() == {}
    assert site.answer.cookies == [] or site.key == "_auth_user_id"  # Django removes the cookie of no session
    site.cookie = cookie
    site.request(put(a=2))
    assert site.cookie not in (cookie, None)
    assert site.data() == {"a": 2}


# 2: login, no user before


def test_a_login_gets_a_new_token_keeps_the_data_and_begins_a_lifetime(site: Site, clock: FakeClock) -> None:
    site.request(put(cart=1))
    old = site.cookie
    began = site.store.peek(old or "")
    clock.advance(1000)
    site.request(site.log_in("ada", mine=1))
    assert site.cookie not in (old, None)
    assert not alive(site, old)
    assert own(site, site.data()) == {"cart": 1, "mine": 1}
    [session] = site.store.sessions("ada")
    assert began is not None
    assert (session.created_at - began.created_at).total_seconds() == 1000


@pytest.mark.parametrize("name", sorted(SITES))
def test_a_login_ends_the_oldest_sessions_of_a_user_who_has_too_many(
    name: str, store: crudjt.Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "django":
        monkeypatch.setitem(_store._max_sessions, "CRUDJT_MAX_SESSIONS", 2)
        site = SITES[name](store)
    else:
        site = SITES[name](store, max_sessions=2)
    with use_store(store):
        first = logged_in(site)
        clock.advance(1)
        site.request(put(cart=1))  # no login: it ends nothing
        tokens = [first]
        for _ in range(2):
            site.cookie = None
            tokens.append(logged_in(site))
            clock.advance(1)
            site.request(put(cart=1))
    assert [alive(site, token) for token in tokens] == [False, True, True]
    assert subjects(site) == ["ada", "ada"]


def test_the_labels_of_a_login_stay_until_it_ends(site: Site) -> None:
    log_in = site.log_in("ada")

    def log_in_with_labels(session: Any) -> None:
        log_in(session)
        with pytest.raises(crudjt.InvalidParameter, match=r"^labels"):
            session.labels = "sid:1"
        session.labels = ["sid:1", "all"]

    site.request(log_in_with_labels)
    site.request(put(cart=1))
    site.request(lambda session: session.rotate())
    assert site.request(lambda session: session.labels).result == ("sid:1", "all")
    assert site.store.revoke(label="sid:2") == 0
    assert site.store.revoke(label="sid:1") == 1
    assert site.data() == {}
    logged_in(site)
    site.request(clear)
    assert site.store.revoke(label="all") == 0


def test_the_answer_that_brings_a_token_is_not_cached(site: Site) -> None:
    site.request(site.log_in("ada"))
    if site.key == "_auth_user_id":
        pytest.skip("Django leaves Cache-Control to the application")
    headers = {name.lower(): value for name, value in site.answer.headers.items()}
    assert headers["cache-control"] == "no-store"


def test_a_login_keeps_the_keys_of_other_requests(site: Site) -> None:
    site.request(put(cart=1))

    def act(session: Any) -> None:
        session.get("cart")
        site.elsewhere(put(theirs=1))
        site.log_in("ada", mine=1)(session)

    site.request(act)
    assert own(site, site.data()) == {"cart": 1, "theirs": 1, "mine": 1}


# 3: second login, same user


def test_the_same_user_gets_a_new_token_again_and_keeps_the_data(site: Site) -> None:
    old = logged_in(site, cart=1)
    site.request(site.log_in("ada"))
    assert site.cookie not in (old, None)
    assert not alive(site, old)
    assert own(site, site.data()) == {"cart": 1}
    assert subjects(site) == ["ada"]


# 4: another user logs in


def test_another_user_gets_nothing_of_the_first(site: Site) -> None:
    old = logged_in(site, address="of ada")
    site.request(site.log_in("bob", cart=1))
    assert not alive(site, old)
    assert own(site, site.data()) == {"cart": 1}
    assert subjects(site) == ["bob"]


# 5 and 6: login submitted twice; session ended elsewhere, this request logs in


def test_a_login_that_is_submitted_twice_succeeds_twice(site: Site) -> None:
    site.request(put(csrf=1))

    def act(session: Any) -> None:
        session.get("csrf")
        site.elsewhere(site.log_in("ada"))
        site.log_in("ada", mine=1)(session)

    site.request(act)
    assert site.answer.status == 200
    assert site.data() == {site.key: "ada", "mine": 1}
    assert subjects(site) == ["ada", "ada"]


def test_a_login_whose_session_was_ended_brings_nothing_of_it_back(site: Site) -> None:
    token = logged_in(site, cart=1)

    def act(session: Any) -> None:
        session.get("cart")
        site.store.delete(token)
        site.log_in("ada", mine=1)(session)

    site.request(act)
    assert site.data() == {site.key: "ada", "mine": 1}


# 7: session ended elsewhere, no login


@pytest.mark.parametrize("change", ["keys", "rotate"])
def test_what_has_ended_stays_ended_and_the_cookie_is_left_alone(site: Site, change: str) -> None:
    token = logged_in(site)

    def act(session: Any) -> None:
        session.get("a")
        site.store.delete(token)
        if change == "rotate":
            session.rotate()
        else:
            session["a"] = 1

    site.request(act)
    assert site.answer.status == site.gone_status
    assert site.answer.cookies == []
    assert site.store.stats().sessions == 0


# 8: another request changed keys


def test_requests_at_the_same_time_keep_each_others_keys_and_deep_changes_count(site: Site) -> None:
    site.request(put(mine={"deep": [1]}, theirs=0, both=0, gone=0))

    def act(session: Any) -> None:
        session["mine"]["deep"].append(2)
        session["both"] = "mine"

        def other(theirs: Any) -> None:
            theirs.update({"theirs": 1, "both": "theirs"})
            del theirs["gone"]

        site.elsewhere(other)

    site.request(act)
    assert site.data() == {"mine": {"deep": [1, 2]}, "theirs": 1, "both": "mine"}


def test_a_change_deep_inside_a_value_alone_is_kept(site: Site) -> None:
    site.request(put(cart=[1]))
    site.request(lambda session: session["cart"].append(2))
    assert site.data() == {"cart": [1, 2]}


# 9: limits: see the tests of Django and Flask, which set them in the session


def test_other_requests_do_not_move_the_end_of_a_session(site: Site, clock: FakeClock) -> None:
    if site.key == "_auth_user_id" or site.__class__ is FlaskSite:
        pytest.skip("the lifetime of Django and Flask counts from the last change")
    token = logged_in(site)
    before = site.store.peek(token)
    clock.advance(1000)
    site.request(put(a=1))
    after = site.store.peek(token)
    assert before is not None
    assert after is not None
    assert before.expires_at == after.expires_at


# 10: id and token after the login call


def test_after_a_login_id_and_token_are_never_those_of_the_session_that_ends(site: Site) -> None:
    logged_in(site)
    job = site.request(lambda session: (site.log_in("ada")(session), session.id, site.token(session))[1:])
    seen = site.request(lambda session: (session.id, site.token(session))).result
    assert seen == (next(iter(site.store.sessions("ada"))).id, site.cookie)
    assert job.result == (seen if site.final_at_login else (None, None))


# 11: logout


@pytest.mark.parametrize("way", ["clear", "remove", "pop"])
def test_a_logout_ends_the_session_and_removes_the_cookie(site: Site, way: str) -> None:
    token = logged_in(site, cart=1)

    def act(session: Any) -> None:
        if way == "clear":
            session.clear()
        elif way == "remove":
            del session[site.key]
        else:
            session.pop(site.key)

    site.request(act)
    assert not alive(site, token)
    assert site.answer.forgets
    [cookie] = site.answer.cookies
    assert "path=/" in cookie.lower()
    assert site.store.stats().sessions == 0


def test_what_is_set_after_a_logout_begins_another_session(site: Site) -> None:
    token = logged_in(site, cart=1)
    site.request(lambda session: (session.clear(), session.update({"message": "goodbye"})))
    assert site.cookie not in (token, None)
    assert not alive(site, token)
    assert site.data() == {"message": "goodbye"}


def test_a_planted_session_is_not_that_of_the_user_after_clear_and_login(site: Site) -> None:
    site.request(put(planted=1))
    planted = site.cookie
    site.request(lambda session: (session.clear(), site.log_in("ada")(session)))
    assert site.cookie not in (planted, None)
    assert not alive(site, planted)
    assert subjects(site) == ["ada"]


# 12: logout, then an exception or a status of 500 or more


@pytest.mark.parametrize("failure", [{"breaks": True}, {"status": 500}, {"status": 503}])
def test_a_logout_holds_if_the_request_fails_and_all_else_is_dropped(site: Site, failure: dict[str, Any]) -> None:
    token = logged_in(site, cart=1)
    site.request(lambda session: (session.clear(), session.update({"a": 1})), **failure)
    assert site.answer.status >= 500
    assert not alive(site, token)
    assert site.store.stats().sessions == 0


@pytest.mark.parametrize("failure", [{"breaks": True}, {"status": 500}])
def test_data_of_a_request_that_fails_is_dropped(site: Site, failure: dict[str, Any]) -> None:
    token = logged_in(site, cart=1)
    site.request(put(cart=2), **failure)
    assert site.cookie == token
    assert own(site, site.data()) == {"cart": 1}


@pytest.mark.parametrize("failure", [{"breaks": True}, {"status": 500}])
def test_a_login_of_a_request_that_fails_gets_no_cookie(site: Site, failure: dict[str, Any]) -> None:
    site.request(site.log_in("ada"), **failure)
    assert site.answer.cookies == []
    assert site.cookie is None


def test_a_logout_holds_in_flask_where_exceptions_are_passed_on(store: crudjt.Store) -> None:
    site = FlaskSite(store, propagates=True)
    token = logged_in(site)
    site.request(clear, breaks=True)
    assert not alive(site, token)


# 13: late data


def test_data_that_is_set_while_the_answer_streams_is_merged_at_its_end(site: Site) -> None:
    site.request(put(a=1))

    def late(session: Any) -> None:
        site.elsewhere(put(theirs=1))
        session["late"] = 1
        site.save_late(session)

    site.request(put(b=1), late=late)
    assert site.data() == {"a": 1, "b": 1, "theirs": 1, "late": 1}


# 14: late login or rotate


@pytest.mark.parametrize("looked", [False, True])
@pytest.mark.parametrize("what", ["login", "again", "rotate"])
def test_a_login_or_rotation_that_comes_too_late_is_refused_at_the_call(site: Site, what: str, looked: bool) -> None:
    token = logged_in(site) if what != "login" else (site.request(put(a=1)), site.cookie)[1]

    def late(session: Any) -> str:
        with pytest.raises(RuntimeError, match="the response has begun") as caught:
            session.rotate() if what == "rotate" else site.log_in("ada")(session)
        return str(caught.value)

    assert site.request(lambda session: session.get("a") if looked else None, late=late).late_result
    assert alive(site, token)
    assert site.cookie == token


# 15: late logout


@pytest.mark.parametrize("breaks", [False, True])
def test_a_logout_while_the_answer_streams_holds(site: Site, breaks: bool) -> None:
    token = logged_in(site)
    site.request(put(a=1), late=clear, breaks=breaks)
    assert not alive(site, token)
    assert site.store.stats().sessions == 0


# 16: first keys after the headers


def test_first_keys_that_come_too_late_are_not_stored_and_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "crudjt.contrib")

    def late(session: Any) -> None:
        session["a"] = 1
        site.save_late(session)

    site.request(late=late)
    assert site.store.stats().sessions == 0
    assert [each.levelname for each in caplog.records if each.name == "crudjt.contrib"] == ["WARNING"]


# The helpers


def test_a_user_sees_own_sessions_and_ends_one_but_none_of_another(site: Site) -> None:
    here = logged_in(site)
    site.cookie = None
    site.request(site.log_in("bob"))
    of_bob = site.cookie
    [handle] = [session.id for session in site.store.sessions("bob")]
    site.cookie = here
    listed = site.request(lambda _session: site.adapter.sessions_of("ada")).result
    assert [session.id for session in listed] == [site.request(lambda session: session.id).result]

    def end(wanted: str) -> Any:
        return site.request(lambda _session: site.adapter.end_session("ada", wanted)).result

    assert [end(wrong) for wrong in (handle, "0" * 32, "no handle")] == [False, False, False]
    assert alive(site, of_bob)
    assert end(listed[0].id) is True
    assert not alive(site, here)


def test_the_list_of_devices_marks_this_one_and_puts_it_first(site: Site, clock: FakeClock) -> None:
    here = logged_in(site)
    for _ in range(2):
        clock.advance(60)
        site.cookie = None
        site.request(site.log_in("ada"))
    site.cookie = here
    devices = site.request(lambda _session: site.adapter.devices_of("ada")).result
    assert [device.here for device in devices] == [True, False, False]
    assert devices[0].id == site.request(lambda session: session.id).result
    assert [(device.begun - devices[0].begun).total_seconds() for device in devices] == [0, 120, 60]
    assert repr(devices[0]) == f"<Device {devices[0].id}>"


@pytest.mark.parametrize("keep_current", [False, True])
def test_a_user_is_logged_out_everywhere_but_here_if_wished(site: Site, keep_current: bool) -> None:
    there = logged_in(site)
    site.cookie = None
    here = logged_in(site)
    job = site.request(lambda _session: site.adapter.revoke_user("ada", keep_current=keep_current))
    assert job.result == (1 if keep_current else 2)
    assert (alive(site, there), alive(site, here)) == (False, keep_current)


# Parameters that Starlette has too


def test_max_age_none_is_a_session_of_the_browser_without_end(store: crudjt.Store, clock: FakeClock) -> None:
    site = StarletteSite(store, max_age=None)
    site.request(put(a=1))
    assert "max-age" not in site.answer.cookies[0].lower()
    clock.advance(100 * 365 * 86_400)
    assert site.data() == {"a": 1}


@pytest.mark.parametrize("max_age", [0, -1])
def test_max_age_of_nothing_keeps_no_session(
    store: crudjt.Store, caplog: pytest.LogCaptureFixture, max_age: int
) -> None:
    site = StarletteSite(store, max_age=max_age)
    assert site.request(lambda session: (session.update(a=1), dict(session))[1]).result == {"a": 1}
    assert "had begun" not in caplog.text
    assert site.data() == {}
    assert store.stats().sessions == 0
