"""One-time codes and links: for one purpose and one user, used once, with an exact number of attempts."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

import crudjt
import crudjt.aio
from crudjt.contrib.codes import AsyncCodes, Codes
from crudjt.contrib.links import AsyncLinks, Links
from crudjt.testing import FakeClock

PATIENCE = 30.0


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


def test_a_right_code_is_granted_once(store: crudjt.Store) -> None:
    codes = Codes(store, "confirm")
    sent = codes.create("alice", {"mail": "a@example.com"})
    assert len(sent.code) == 6
    assert sent.code.isdigit()
    granted = codes.check(sent.challenge, f" {sent.code[:3]} {sent.code[3:]}\n")
    assert granted == ("alice", {"mail": "a@example.com"})
    assert codes.check(sent.challenge, sent.code) is None
    assert store.stats().sessions == 0


def test_attempts_are_counted_and_the_last_one_may_be_right(store: crudjt.Store) -> None:
    codes = Codes(store, "confirm", attempts=3)
    for attempts, is_granted in ((2, True), (3, False)):
        sent = codes.create("alice")
        assert [codes.check(sent.challenge, wrong(sent.code)) for _ in range(attempts)] == [None] * attempts
        assert (codes.check(sent.challenge, sent.code) is not None) is is_granted


@pytest.mark.parametrize("code", ["", "12345", "٤٩٣٠٢٧", "é", "1" * 1000])
def test_what_is_no_code_is_a_wrong_one(store: crudjt.Store, code: str) -> None:
    codes = Codes(store, "confirm")
    assert codes.check(codes.create("alice").challenge, code) is None
    assert codes.check("no challenge", code) is None


def test_a_code_ends_with_its_time_and_with_the_next_one(store: crudjt.Store, clock: FakeClock) -> None:
    codes = Codes(store, "confirm", ttl=timedelta(minutes=5), digits=8)
    first, other = codes.create("alice"), codes.create("bob")
    second = codes.create("alice")
    assert codes.check(first.challenge, first.code) is None
    assert codes.check(second.challenge, second.code) is not None
    assert len(other.code) == 8
    clock.advance(300)
    assert codes.check(other.challenge, other.code) is None


def test_a_code_for_one_purpose_is_none_for_another(store: crudjt.Store) -> None:
    sent = Codes(store, "confirm").create("alice")
    assert Codes(store, "pay").check(sent.challenge, sent.code) is None
    assert Links(store, "confirm").use(sent.challenge) is None


def test_of_many_attempts_at_once_one_is_granted_and_no_more_are_counted(store: crudjt.Store) -> None:
    codes = Codes(store, "confirm", attempts=4)
    sent, results = codes.create("alice"), list[Any]()
    ready = threading.Barrier(8)

    def try_code() -> None:
        ready.wait(PATIENCE)
        results.append(codes.check(sent.challenge, sent.code))

    threads = [threading.Thread(target=try_code) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(results) == 8
    assert sum(result is not None for result in results) == 1


def test_a_link_works_once_and_looking_does_not_use_it_up(store: crudjt.Store, clock: FakeClock) -> None:
    links = Links(store, "reset-password", ttl=60)
    token = links.create("alice", {"n": 1})
    assert links.look(token) == links.look(token) == ("alice", {"n": 1})
    assert links.use(token) == ("alice", {"n": 1})
    assert links.use(token) is None
    assert links.look(token) is None
    late = links.create("alice")
    clock.advance(60)
    assert links.use(late) is None


def test_a_link_for_another_purpose_is_not_used_up(store: crudjt.Store) -> None:
    reset, invite = Links(store, "reset-password"), Links(store, "invite")
    token = reset.create("alice")
    assert invite.use(token) is None
    assert reset.use(token) is not None


def test_a_new_link_ends_the_one_before_and_no_session(store: crudjt.Store) -> None:
    links = Links(store, "reset-password")
    session, first = store.create({}, subject="alice"), links.create("alice")
    second = links.create("alice")
    assert links.look(first) is None
    assert links.look(second) is not None
    assert store.revoke("alice") == 1
    assert store.read(session) is None
    assert links.use(second) is not None


def test_a_session_is_neither_code_nor_link(store: crudjt.Store) -> None:
    for token in (store.create({"code": "493027"}, subject="alice", max_reads=9), store.create({}, subject="alice")):
        assert Links(store, "reset-password").use(token) is None
        assert Codes(store, "confirm").check(token, "493027") is None


ANY_CODES: Any = Codes  # called with wrong types on purpose
ANY_LINKS: Any = Links


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda store: Codes(store, "Confirm"), crudjt.InvalidParameter, "purpose must be 1 to 40"),
        (lambda store: ANY_LINKS(store, None), crudjt.InvalidType, "purpose must be a str"),
        (lambda store: Codes(store, "x", digits=5), crudjt.InvalidParameter, "digits must be from 6 to 12, not 5"),
        (lambda store: Codes(store, "x", attempts=0), crudjt.InvalidParameter, "attempts must be from 1 to 100"),
        (lambda store: ANY_CODES(store, "x", attempts="3"), crudjt.InvalidType, "attempts must be an int, not str"),
        (lambda store: Codes(store, "x").create(""), crudjt.InvalidParameter, "subject must not be empty"),
        (lambda store: ANY_CODES(store, "x").check("t", 493027), crudjt.InvalidType, "code must be a str, not int"),
        (lambda store: Links(store, "x", ttl=-1).create("a"), crudjt.InvalidParameter, "ttl must be"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(
    store: crudjt.Store, call: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(store)


def test_nothing_secret_is_in_a_repr(store: crudjt.Store) -> None:
    codes = Codes(store, "confirm")
    sent = codes.create("alice", {"mail": "a@example.com"})
    granted = codes.check(sent.challenge, sent.code)
    assert (repr(sent), repr(granted)) == ("<SentCode>", "<Granted>")


def test_awaited_codes_and_links_do_the_same(store: crudjt.Store) -> None:
    async def use() -> None:
        awaited = crudjt.aio.wrap(store)
        codes, links = AsyncCodes(awaited, "confirm", attempts=2), AsyncLinks(awaited, "invite")
        sent = await codes.create("alice", {"n": 1})
        assert await codes.check(sent.challenge, wrong(sent.code)) is None
        assert await codes.check(sent.challenge, sent.code) == ("alice", {"n": 1})
        assert await codes.check(sent.challenge, sent.code) is None
        again = await codes.create("alice")
        assert await codes.check(again.challenge, again.code) is not None
        assert await codes.check(again.challenge, again.code) is None
        token = await links.create("bob")
        assert await links.look(token) == ("bob", {})
        assert await links.use(token) == ("bob", {})
        assert await links.use(token) is None

    asyncio.run(use())
