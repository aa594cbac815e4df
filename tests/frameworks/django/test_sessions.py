"""The session engine of Django: what its session framework asks, and what a secure store owes."""

import gc
import threading
import weakref
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from enum import IntEnum
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.utils.safestring import mark_safe

import crudjt
from crudjt.contrib.django import SessionStore
from crudjt.testing import FakeClock

UNKNOWN = "A" * 22
USER = "_auth_user_id"
ASYNC = pytest.mark.skipif(django.VERSION < (5, 1), reason="the session framework has async methods from Django 5.1")

pytestmark = pytest.mark.usefixtures("in_use")


def stored(**data: Any) -> str:
    """Return the key of a session that a request has stored."""
    session = SessionStore()
    session.update(data)
    session.save()
    assert session.session_key is not None
    return session.session_key


def data_of(key: str) -> dict[str, Any]:
    return dict(SessionStore(key).items())


def test_what_one_request_stores_the_next_one_finds() -> None:
    key = stored(cart=[7, {"n": None}], name="Ada")
    assert data_of(key) == {"cart": [7, {"n": None}], "name": "Ada"}


def test_the_key_is_a_token_of_the_store(store: crudjt.Store) -> None:
    session = store.peek(stored(name="Ada"))
    assert session is not None
    assert session.data == {"name": "Ada"}


def test_an_unknown_key_is_dropped_and_never_adopted() -> None:
    session = SessionStore(UNKNOWN)
    session["name"] = "Ada"
    before = session.session_key
    session.save()
    assert before is None
    assert session.session_key not in (None, UNKNOWN)
    assert not session.exists(UNKNOWN)


@pytest.mark.parametrize("key", ["", "short", "x" * 5000, "\ud800" * 22, "../../../etc/passwd"])
def test_a_key_that_spells_no_token_is_dropped(key: str) -> None:
    session = SessionStore(key)
    assert session.load() == {}
    assert session.session_key is None


def test_the_token_of_a_link_that_works_once_is_no_session(store: crudjt.Store) -> None:
    assert data_of(store.create({USER: "42"}, max_reads=1)) == {}
    assert data_of(store.create({USER: "42"}, max_reads=2)) == {}


def test_a_session_that_must_be_new_is_never_stored_under_a_key_that_was_given() -> None:
    session = SessionStore(UNKNOWN)
    session.save(must_create=True)
    assert session.session_key != UNKNOWN
    assert session.exists(session.session_key)
    assert not session.exists(UNKNOWN)


def test_create_leaves_the_session_of_a_key_alone_and_takes_nothing_of_it() -> None:
    key = stored(name="Ada")
    session = SessionStore(key)
    session.create()
    assert session.session_key != key
    assert data_of(str(session.session_key)) == {}
    assert data_of(key) == {"name": "Ada"}


def test_exists_tells_whether_there_is_a_live_session() -> None:
    key = stored()
    assert SessionStore().exists(key)
    assert not SessionStore().exists(UNKNOWN)
    assert not SessionStore().exists(None)


def test_a_session_that_was_deleted_is_not_brought_back_by_saving_it() -> None:
    key = stored(name="Ada")
    late, other = SessionStore(key), SessionStore(key)
    late["name"] = "Grace"
    other.delete()
    with pytest.raises(UpdateError):
        late.save()
    assert not SessionStore().exists(key)


def test_deleting_nothing_is_no_error() -> None:
    SessionStore().delete()
    SessionStore().delete(UNKNOWN)


def test_flush_ends_the_session_and_forgets_its_key() -> None:
    key = stored(name="Ada")
    session = SessionStore(key)
    session.flush()
    assert session.session_key is None
    assert session.is_empty()
    assert not session.exists(key)


def test_cycle_key_gives_a_new_key_to_the_same_data_and_kills_the_old_one() -> None:
    key = stored(name="Ada")
    session = SessionStore(key)
    session.cycle_key()
    assert session.session_key not in (None, key)
    assert session.modified
    assert not session.exists(key)
    assert data_of(str(session.session_key)) == {"name": "Ada"}


def test_cycle_key_keeps_what_is_not_saved_yet() -> None:
    session = SessionStore(stored(name="Ada"))
    session["role"] = 8
    session.cycle_key()
    session.save()
    assert data_of(str(session.session_key)) == {"name": "Ada", "role": 8}


def test_cycle_key_of_a_session_without_a_key_stores_it() -> None:
    session = SessionStore()
    session["name"] = "Ada"
    session.cycle_key()
    assert data_of(str(session.session_key)) == {"name": "Ada"}


def test_cycle_key_of_a_session_that_was_deleted_meanwhile_does_not_bring_it_back(store: crudjt.Store) -> None:
    key = stored(name="Ada", **{USER: "42"})
    late = SessionStore(key)
    assert late["name"] == "Ada"
    store.revoke("42")
    late.cycle_key()
    with pytest.raises(UpdateError):
        late.save()
    assert store.stats().sessions == 0


def test_clear_ends_a_session_that_was_not_read_and_what_is_set_afterwards_begins_another() -> None:
    key = stored(name="Ada")
    session = SessionStore(key)
    session.clear()
    assert not session.exists(key)
    assert session.session_key is None
    session["cart"] = 7
    session.save()
    assert data_of(str(session.session_key)) == {"cart": 7}


@pytest.mark.parametrize("way", ["del", "pop", "apop", "none"])
def test_removing_the_user_ends_the_session(store: crudjt.Store, way: str) -> None:
    session = SessionStore(stored(cart=[7], **{USER: "42"}))
    key = str(session.session_key)
    if way == "del":
        del session[USER]
    elif way == "apop":
        assert async_to_sync(session.apop)(USER) == "42"
    elif way == "none":
        session[USER] = None
    else:
        assert session.pop(USER) == "42"
    assert not session.exists(key)
    assert session.get("cart") is None
    assert session.pop(USER, "nothing") in ("nothing", None)


# Expiry


def test_a_session_lives_for_the_age_of_its_cookie(clock: FakeClock) -> None:
    key = stored(name="Ada")
    clock.advance(1_209_600 - 1)
    assert SessionStore().exists(key)
    clock.advance(1)
    assert not SessionStore().exists(key)


def test_saving_a_session_lets_it_live_for_the_age_of_its_cookie_again(clock: FakeClock) -> None:
    key = stored(name="Ada")
    session = SessionStore(key)
    session["name"] = "Grace"
    clock.advance(1_209_600 - 1)
    session.save()
    clock.advance(1_209_600 - 1)
    assert data_of(key) == {"name": "Grace"}


@pytest.mark.parametrize("expiry", [60, timedelta(seconds=60.5), "datetime"])
def test_a_session_may_have_an_expiry_of_its_own(clock: FakeClock, expiry: Any) -> None:
    session = SessionStore()
    session.set_expiry(datetime.now(timezone.utc) + timedelta(seconds=60.5) if expiry == "datetime" else expiry)
    session.save()
    clock.advance(30)
    assert session.exists(session.session_key)
    clock.advance(31)
    assert not session.exists(session.session_key)


def test_a_session_of_the_browser_lives_in_the_store_for_the_age_of_a_cookie(clock: FakeClock) -> None:
    session = SessionStore()
    session.set_expiry(0)
    session.save()
    assert session.get_expire_at_browser_close()
    clock.advance(1_209_600 - 1)
    assert session.exists(session.session_key)
    clock.advance(1)
    assert not session.exists(session.session_key)


@pytest.mark.parametrize("stored_before", [False, True])
def test_a_session_whose_expiry_has_passed_is_gone_when_it_is_saved(stored_before: bool) -> None:
    session = SessionStore(stored(name="Ada") if stored_before else None)
    session["name"] = "Grace"
    session.set_expiry(-timedelta(seconds=10))
    session.save()
    assert data_of(str(session.session_key)) == {}


@override_settings(CRUDJT_IDLE_TIMEOUT=600)
def test_an_idle_timeout_ends_a_session_that_nobody_reads(clock: FakeClock) -> None:
    key = stored(name="Ada")
    for _ in range(3):
        clock.advance(599)
        assert data_of(key) == {"name": "Ada"}
    clock.advance(600)
    assert data_of(key) == {}


@override_settings(CRUDJT_ABSOLUTE_TIMEOUT=3600)
def test_an_absolute_timeout_ends_a_session_however_often_it_is_saved_and_rotated(clock: FakeClock) -> None:
    session = SessionStore(stored(name="Ada"))
    for _ in range(3):
        clock.advance(1000)
        session = SessionStore(session.session_key)
        session.cycle_key()
        session.save()
        assert session.exists(session.session_key)
    clock.advance(599)
    assert session.exists(session.session_key)
    clock.advance(1)
    assert not session.exists(session.session_key)


def test_clear_expired_removes_what_has_expired(store: crudjt.Store, clock: FakeClock) -> None:
    stored(name="Ada")
    clock.advance(1_209_600)
    kept = stored(name="Grace")
    SessionStore.clear_expired()
    assert store.stats().sessions == 1
    assert SessionStore().exists(kept)


# Requests at the same time


def test_two_requests_of_a_session_keep_each_others_changes() -> None:
    key = stored(**{"first": 0, "second": 0, "gone": 0, "gone too": 0, "list": [0]})
    one, other = SessionStore(key), SessionStore(key)
    one["first"] = 1
    del one["gone"]
    other["second"] = 2
    del other["gone too"]
    other["list"].append(1)
    one.save()
    other.save()
    assert data_of(key) == {"first": 1, "second": 2, "list": [0, 1]}
    assert dict(other.items()) == data_of(key)


def test_a_request_that_saves_twice_keeps_what_another_changed_between() -> None:
    key = stored(mine=0)
    one, other = SessionStore(key), SessionStore(key)
    one["mine"] = 1
    one.save()
    other["theirs"] = 1
    other.save()
    one["mine"] = 2
    one.save()
    assert data_of(key) == {"mine": 2, "theirs": 1}


def test_cycle_key_keeps_what_another_request_has_changed_meanwhile() -> None:
    key = stored(mine=0, theirs=0)
    one, other = SessionStore(key), SessionStore(key)
    one["mine"] = 1
    other["theirs"] = 1
    other.save()
    one.cycle_key()
    one.save()
    assert data_of(str(one.session_key)) == {"mine": 1, "theirs": 1}


def test_the_last_to_write_a_key_wins() -> None:
    key = stored(name="Ada")
    one, other = SessionStore(key), SessionStore(key)
    one["name"], other["name"] = "Grace", "Barbara"
    one.save()
    other.save()
    assert data_of(key) == {"name": "Barbara"}


def test_a_value_that_the_request_still_holds_may_change_after_a_save() -> None:
    session = SessionStore(stored(cart=[7]))
    cart = session["cart"]
    session.save()
    cart.append(8)
    session.save()
    assert data_of(str(session.session_key)) == {"cart": [7, 8]}


# The user


def logged_in(user: str) -> SessionStore:
    return SessionStore(stored(**{USER: user}))


def test_the_id_of_the_user_is_the_subject_of_the_session(store: crudjt.Store) -> None:
    session = logged_in("42")
    assert [each.id for each in store.sessions("42")] == [session.id]


def test_a_session_that_changes_hands_gets_a_new_key_and_the_old_one_dies(store: crudjt.Store) -> None:
    key = stored(cart=[7])
    session = SessionStore(key)
    session[USER] = "42"
    assert session.session_key not in (None, key)
    assert not session.exists(key)
    assert data_of(str(session.session_key)) == {"cart": [7], USER: "42"}
    key = str(session.session_key)
    session.update({USER: "43", "of": "43"})
    session.save()
    assert not session.exists(key)
    assert list(store.sessions("42")) == []
    assert data_of(str(session.session_key)) == {USER: "43", "of": "43"}


@pytest.mark.parametrize("login", ["login", pytest.param("alogin", marks=ASYNC)])
def test_a_user_who_logs_in_again_gets_a_new_key(store: crudjt.Store, login: str) -> None:
    key = str(logged_in("42").session_key)
    session = SessionStore(key)
    if login == "alogin":
        async_to_sync(session.aset)(USER, "42")
    else:
        session[USER] = "42"
    session.save()
    assert session.session_key != key
    assert not session.exists(key)
    assert [each.id for each in store.sessions("42")] == [session.id]
    key = str(session.session_key)
    session.save()
    assert session.session_key == key


def test_a_session_that_ends_after_the_login_stays_ended(store: crudjt.Store) -> None:
    session = SessionStore(stored(cart=[7]))
    session[USER] = "42"
    store.delete(str(session.session_key))
    with pytest.raises(UpdateError):
        session.save()
    assert store.stats().sessions == 0


def test_of_two_logins_in_one_session_both_succeed_and_the_second_takes_nothing_over(store: crudjt.Store) -> None:
    key = stored(cart=[7])
    one, other = SessionStore(key), SessionStore(key)
    assert other["cart"] == [7]
    one[USER], other[USER] = "42", "43"
    one.save()
    other.save()
    assert [each.data for each in store.sessions("42")] == [{"cart": [7], USER: "42"}]
    assert [each.data for each in store.sessions("43")] == [{USER: "43"}]


def test_data_that_cannot_be_stored_leaves_the_session_as_it_was() -> None:
    key = stored(name="Ada")
    session = SessionStore(key)
    session["name"] = object()
    with pytest.raises(crudjt.InvalidParameter):
        session.save()
    with pytest.raises(crudjt.InvalidParameter):
        session[USER] = "42"
    assert USER not in session
    assert data_of(key) == {"name": "Ada"}


@override_settings(CRUDJT_ABSOLUTE_TIMEOUT=3600)
def test_an_absolute_timeout_counts_from_the_login(clock: FakeClock) -> None:
    session = SessionStore(stored(cart=[7]))
    clock.advance(3000)
    session = SessionStore(session.session_key)
    session[USER] = "42"
    clock.advance(3000)
    session = SessionStore(session.session_key)
    session["name"] = "Ada"
    session.save()
    clock.advance(599)
    assert session.exists(session.session_key)
    clock.advance(1)
    assert not session.exists(session.session_key)


def test_an_expiry_that_another_request_sets_is_not_undone(clock: FakeClock) -> None:
    key = stored(name="Ada")
    one, other = SessionStore(key), SessionStore(key)
    assert other["name"] == "Ada"
    one.set_expiry(60)
    one.save()
    other["cart"] = [7]
    other.save()
    clock.advance(60)
    assert not one.exists(key)


def test_an_empty_user_is_nobody() -> None:
    assert data_of(stored(**{USER: ""})) == {USER: ""}


class Role(IntEnum):
    ADMIN = 8


def test_values_that_are_texts_and_numbers_by_inheritance_are_kept_as_such() -> None:
    key = stored(name=mark_safe("<b>Ada</b>"), role=Role.ADMIN, both=(Role.ADMIN, {mark_safe("a"): 1.5}))
    assert data_of(key) == {"name": "<b>Ada</b>", "role": 8, "both": (8, {"a": 1.5})}


def test_an_unknown_key_is_logged_without_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "crudjt.contrib")
    assert data_of(UNKNOWN) == {}
    assert "names no live session" in caplog.text
    assert UNKNOWN not in caplog.text


def test_neither_key_nor_data_nor_user_is_in_a_repr() -> None:
    session = logged_in("ada lovelace")
    assert session[USER] == "ada lovelace"
    shown = repr(session._held)
    assert str(session.session_key) not in shown
    assert "lovelace" not in shown


# async


@ASYNC
@pytest.mark.parametrize("durability", ["interval", "full"])
def test_the_async_methods_do_as_the_others(durability: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def live() -> None:
        session = SessionStore()
        await session.aset("name", "Ada")
        await session.asave()
        first = session.session_key
        assert await session.aexists(first)
        await session.acycle_key()
        assert not await session.aexists(first)
        session = SessionStore(session.session_key)
        assert await session.aget("name") == "Ada"
        await session.aflush()
        assert session.session_key is None
        await session.acreate()
        await session.adelete()
        with pytest.raises(UpdateError):
            await session.asave()
        await SessionStore.aclear_expired()
        assert await SessionStore(UNKNOWN).aload() == {}

    monkeypatch.setattr(settings, "CRUDJT_DURABILITY", durability, raising=False)
    async_to_sync(live)()


@ASYNC
def test_the_async_methods_stay_off_the_event_loop(store: crudjt.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: dict[str, set[int]] = {}

    def note(name: str) -> None:
        method: Callable[..., Any] = getattr(store, name)

        def noted(*arguments: Any, **named: Any) -> Any:
            threads.setdefault(name, set()).add(threading.get_ident())
            return method(*arguments, **named)

        monkeypatch.setattr(store, name, noted)

    async def live() -> int:
        session = SessionStore()
        await session.asave()
        session = SessionStore(session.session_key)
        await session.aload()
        await session.aexists(session.session_key)
        await session.aset("_auth_user_id", "7")
        await session.acycle_key()
        await session.adelete()
        await SessionStore.aclear_expired()
        return threading.get_ident()

    used = {"create", "peek", "read", "rotate", "delete", "sweep"}
    for name in used:
        note(name)
    loop = async_to_sync(live)()
    assert threads.keys() == used
    assert loop not in set().union(*threads.values())


def test_a_request_is_freed_as_soon_as_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for a garbage collection: those of a busy application would go through its sessions."""
    monkeypatch.setattr(settings, "SESSION_ENGINE", "crudjt.contrib.django")

    def view(request: HttpRequest) -> HttpResponse:
        request.session["name"] = "Ada"
        return HttpResponse()

    gc.disable()
    try:
        request = RequestFactory().get("/")
        freed = weakref.ref(request)
        response = SessionMiddleware(view)(request)
        assert isinstance(response, HttpResponse)
        assert response.cookies
        del request
        assert freed() is None
    finally:
        gc.enable()
