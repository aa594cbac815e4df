"""The part of `StoreContract` about what operators see."""

from abc import abstractmethod
from datetime import timedelta
from functools import partial
from itertools import pairwise

from crudjt._core.listing import Page
from crudjt._core.session import Session
from crudjt.base import Store
from crudjt.errors import InvalidParameter
from crudjt.testing._checks import alive, raised
from crudjt.testing._clock import FakeClock


class ListingContract:
    """Tests of `Store.list`, `Store.count` and `Store.find`."""

    @abstractmethod
    def open_store(self, clock: FakeClock) -> Store:
        """Open an empty store whose time is that of a clock."""

    def test_sessions_are_listed_newest_first_in_pages(self) -> None:
        """The pages follow each other without a gap, and the last one says that it is the last."""
        clock = FakeClock()
        with self.open_store(clock) as store:
            made = [_make(store, clock, number) for number in range(7)]
            for limit in (1, 3, 7, 100):
                pages = _pages(store, limit)
                assert [session.id for page in pages for session in page] == made[::-1]
                assert all(page.next == page.sessions[-1].id for page in pages[:-1])
                assert [len(page) for page in pages] == [limit] * (7 // limit) + [7 % limit] * bool(7 % limit)
            assert store.list(after=made[0]) == Page((), None)

    def test_a_listing_is_stable_while_sessions_change(self) -> None:
        """A page begins where the one before has ended, whatever was made, ended or updated in between."""
        clock = FakeClock()
        with self.open_store(clock) as store:
            made = [_make(store, clock, number) for number in range(6)]
            first = store.list(limit=2)
            assert [session.id for session in first] == [made[5], made[4]]
            assert store.revoke_id(made[4])
            assert store.revoke_id(made[2])
            _make(store, clock, 7)
            assert [session.id for session in store.list(after=first.next)] == [made[3], made[1], made[0]]

    def test_a_session_that_has_ended_is_neither_listed_nor_counted_nor_found(self) -> None:
        """From the time of its deadline on, whether it was swept or not."""
        clock = FakeClock()
        with self.open_store(clock) as store:
            kept = _make(store, clock, 1)
            expired = alive(store.peek(store.create({}, ttl=10, subject="alice"))).id
            assert store.count("alice") == store.count() == 2  # noqa: PLR2004 - both
            clock.advance(10)
            assert [session.id for session in store.list()] == [kept]
            assert store.count("alice") == store.count() == 1
            assert store.find(expired) is None
            store.sweep()
            assert store.count() == 1

    def test_a_listing_can_be_of_a_subject_or_of_earlier_sessions(self) -> None:
        """Both filters together leave what passes both."""
        clock = FakeClock()
        with self.open_store(clock) as store:
            old = [alive(store.peek(store.create({}, subject=subject))).id for subject in ("alice", "bob")]
            clock.advance(60)
            moment = alive(store.find(old[0])).created_at + timedelta(seconds=60)
            new = [_make(store, clock, number) for number in range(3)]
            assert [session.id for session in store.list(subject="alice", limit=2)] == [new[2], new[1]]
            rest = store.list(subject="alice", after=new[1])
            assert ([session.id for session in rest], rest.next) == ([new[0], old[0]], None)
            assert {session.id for session in store.list(created_before=moment)} == set(old)
            assert [session.id for session in store.list(created_before=moment, subject="alice")] == [old[0]]
            assert (store.count("alice"), store.count("bob"), store.count("carol"), store.count()) == (4, 1, 0, 5)

    def test_a_listed_session_has_its_data_on_request_only(self) -> None:
        """Everything else of it is there."""
        clock = FakeClock()
        with self.open_store(clock) as store:
            token = store.create({"a": (1, 2)}, ttl=60, max_reads=2, subject="alice")
            expected = alive(store.peek(token))
            (listed,) = store.list()
            raised(AttributeError, lambda: listed.data)
            (complete,) = store.list(data=True)
            for session in (listed, complete, alive(store.find(expected.id))):
                assert _facts(session) == _facts(expected)
            assert complete.data == alive(store.find(expected.id)).data == {"a": (1, 2)}
            assert alive(store.peek(token)).reads_left == 2  # noqa: PLR2004 - none was counted

    def test_a_session_is_found_by_its_id(self) -> None:
        """Until it ends or gets another token; an id that was never given out is no error."""
        with self.open_store(FakeClock()) as store:
            token = store.create({"a": 1})
            id_ = alive(store.peek(token)).id
            assert alive(store.find(id_)).data == {"a": 1}
            new = store.rotate(token)
            assert store.find(id_) is None
            assert new is not None
            assert alive(store.find(alive(store.peek(new)).id)).data == {"a": 1}
            assert store.find("0" * 32) is None

    def test_a_session_with_an_idle_timeout_says_when_it_was_seen(self) -> None:
        """Within a tenth of the timeout; a peek and a listing are no use of it."""
        clock = FakeClock()
        with self.open_store(clock) as store:
            token, other = store.create({}, idle=100, subject="x"), store.create({})
            begun = alive(store.peek(token)).created_at
            assert alive(store.peek(token)).last_seen == begun
            assert alive(store.peek(other)).last_seen is None
            clock.advance(50)
            assert store.list(subject="x").sessions[0].last_seen == begun
            assert alive(store.read(token)).last_seen == begun + timedelta(seconds=50)
            clock.advance(5)
            assert store.read(token) is not None
            seen = store.list(subject="x").sessions[0].last_seen
            assert seen is not None
            assert timedelta(seconds=45) <= seen - begun <= timedelta(seconds=55)

    def test_a_listing_refuses_what_it_cannot_mean(self) -> None:
        """With the name of the parameter."""
        clock = FakeClock()
        with self.open_store(clock) as store:
            id_ = _make(store, clock, 1)
            naive = alive(store.find(id_)).created_at.replace(tzinfo=None)
            for name, value in (
                ("limit", 0), ("limit", 1001), ("limit", True), ("after", "x"), ("after", 5), ("subject", ""),
                ("created_before", naive), ("created_before", 5),
            ):  # fmt: skip
                given = {name: value}
                assert raised(InvalidParameter, partial(store.list, **given)).parameter == name  # type: ignore[arg-type]
            assert raised(InvalidParameter, lambda: store.find("x")).parameter == "id"
            assert raised(InvalidParameter, lambda: store.count("")).parameter == "subject"


def _make(store: Store, clock: FakeClock, number: int) -> str:
    clock.advance(0.001)
    return alive(store.peek(store.create({"n": number}, subject="alice"))).id


def _pages(store: Store, limit: int) -> list[Page]:
    pages = [store.list(limit=limit)]
    while pages[-1].next is not None:
        pages.append(store.list(limit=limit, after=pages[-1].next))
    assert all(older.id < newer.id for newer, older in pairwise(session for page in pages for session in page))
    return pages


def _facts(session: Session) -> tuple[object, ...]:
    facts = (session.id, session.subject, session.version, session.created_at, session.expires_at, session.last_seen)
    return (*facts, session.reads_left, session.expires_in)
