"""What a store tells of its commits, to those who follow it."""

import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import trio

import crudjt
import crudjt.aio
from crudjt import Event
from crudjt.testing import FakeClock
from tests.support.delegating import DelegatingStore
from tests.support.embedded import compact
from tests.support.processes import Worker
from tests.support.remote_server import ServedStore
from tests.support.stores import read

pytestmark = pytest.mark.log


@pytest.fixture(params=["embedded", "remote"])
def store(request: pytest.FixtureRequest, path: Path, secret_key: str, clock: FakeClock) -> Iterator[crudjt.Store]:
    """Open a store in a directory, or one on a server of such a store."""
    opens = crudjt.open if request.param == "embedded" else ServedStore
    with opens(path, secret_key=secret_key, clock=clock) as opened:
        yield opened


def past(store: crudjt.Store, after: str = "oldest") -> list[Event]:
    """Return the events so far."""
    return list(store.events(after, follow=False))


def test_what_ends_for_a_limit_is_told_apart_from_a_rotation(store: crudjt.Store, clock: FakeClock) -> None:
    tokens = []
    for _ in range(3):
        tokens.append(store.create({}, subject="alice", max_sessions=2))
        clock.advance(1)
    visitor = store.create({})
    store.rotate(visitor, subject="alice", max_sessions=1)
    kinds = [each.kind for each in past(store)]
    assert kinds == ["begun", "begun", "begun", "ended", "begun", "ended", "ended", "rotated"]
    first, second = past(store)[:2]
    assert [each.id for each in past(store) if each.kind == "ended"][:2] == [first.id, second.id]
    resumed = past(store, past(store)[-2].position)
    assert [each.kind for each in resumed] == ["rotated"]


def test_no_event_has_a_label_or_a_client(store: crudjt.Store) -> None:
    """A session that has them begins, rotates and ends as any other."""
    client = crudjt.Client("192.0.2.1", "Mozilla/5.0")
    token = store.rotate(store.create({}, subject="alice", labels=("sid:1",), client=client))
    assert token is not None
    assert store.update(token, {})
    assert store.revoke(label="sid:1") == 1
    events = past(store)
    assert [(each.kind, each.subject) for each in events] == [
        ("begun", "alice"), ("rotated", "alice"), ("changed", "alice"), ("ended", "alice"),
    ]  # fmt: skip
    shown = f"{events} {[each.document() for each in events]}"
    assert not any(text in shown for text in ("sid:1", "192.0", "Mozilla"))


def test_each_change_is_an_event_with_its_session(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({"secret": 1}, ttl=60, subject="alice")
    first = read(store, token)
    store.update(token, {})
    clock.advance(1)
    new = store.rotate(token)
    assert new is not None
    second = read(store, new)
    clock.advance(1)
    third = read(store, store.create({}))
    store.delete(new)
    events = past(store)
    assert [(each.kind, each.id, each.subject, each.version) for each in events] == [
        ("begun", first.id, "alice", 1),
        ("changed", first.id, "alice", 2),
        ("rotated", second.id, "alice", 2),
        ("begun", third.id, None, 1),
        ("ended", second.id, "alice", None),
    ]
    begun, changed, rotated, _, ended = events
    assert begun.time is not None
    assert (begun.time, begun.exact, changed.exact) == (first.created_at, True, False)
    assert (rotated.time, rotated.exact, rotated.previous_id) == (begun.time + timedelta(seconds=1), True, first.id)
    assert (ended.time, ended.exact) == (third.created_at, False)
    assert "secret" not in repr(events)


def test_a_session_that_was_swept_has_expired(store: crudjt.Store, clock: FakeClock) -> None:
    store.create({}, ttl=10, subject="alice")
    kept = store.create({}, ttl=10)
    store.touch(kept, ttl=60)
    clock.advance(10)
    store.create({})
    assert store.sweep() == 1
    store.delete(kept)
    assert [(each.kind, each.subject) for each in past(store)[-2:]] == [("expired", "alice"), ("ended", None)]


def test_a_position_goes_on_behind_its_event_also_within_a_transaction(
    store: crudjt.Store, path: Path, secret_key: str
) -> None:
    store.create_many([{}] * 5, subject="x")
    store.create({})
    events = past(store)
    assert [each.kind for each in events] == ["begun"] * 6
    with crudjt.open(path, secret_key=secret_key) as other:
        for at, event in enumerate(events):
            assert past(other, event.position) == events[at + 1 :]


@pytest.mark.slow
def test_a_follower_sees_what_other_processes_commit(store: crudjt.Store, path: Path, secret_key: str) -> None:
    """From the call on, and until the store is closed."""
    store.create({})
    events = store.events()
    seen: list[Event] = []
    ended = threading.Event()

    def follow() -> None:
        try:
            seen.extend(events)
        except crudjt.StoreClosed:
            ended.set()

    thread = threading.Thread(target=follow)
    thread.start()
    deadline = time.monotonic() + 30
    while not seen and time.monotonic() < deadline:  # over a server it begins when the server has got the call
        with Worker(_create, path, secret_key) as worker:
            assert worker.receive() == "created"
        time.sleep(0.2)
    assert seen[0].kind == "begun"
    assert seen[0].subject == "theirs"
    store.close()
    assert ended.wait(30)
    thread.join()


def _create(pipe: object, path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create({}, subject="theirs")
    pipe.send("created")  # type: ignore[attr-defined]


def test_a_compaction_leaves_a_gap_only_for_those_who_are_behind_it(
    path: Path, secret_key: str, clock: FakeClock
) -> None:
    with crudjt.open(path, secret_key=secret_key, clock=clock) as store:
        store.create({})
        store.create({})
        first, last = past(store)
        follower = store.events(first.position)
        assert next(follower) == last
        compact(store)
        token = store.create({})
        begun = next(follower)
        assert (begun.kind, begun.id) == ("begun", read(store, token).id)
        assert past(store, last.position) == [begun]
        gap, *rest = past(store, first.position)
        assert (gap.kind, gap.id, rest) == ("gap", None, [begun])
        assert past(store, gap.position) == [begun]
        assert past(store) == [begun]


def test_a_position_of_another_store_is_a_gap(store: crudjt.Store, tmp_path: Path, secret_key: str) -> None:
    store.create({})
    with crudjt.open(tmp_path / "other", secret_key=secret_key) as other:
        other.create({})
        [event] = past(other)
    assert [each.kind for each in past(store, event.position)] == ["gap", "begun"]


def test_a_position_is_a_gap_where_older_files_were_put_back(path: Path, secret_key: str, tmp_path: Path) -> None:
    """Their log goes on with the same numbers for other changes, in a segment of its own."""
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create({})
    older = tmp_path / "older"
    shutil.copytree(path, older, ignore=shutil.ignore_patterns("view", "control"))  # they are made again
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create({}, subject="lost")
        lost = past(store)[-1]
    with crudjt.open(older, secret_key=secret_key) as store:
        token = store.create({})
        kinds = [(each.kind, each.id) for each in past(store, lost.position)]
        assert kinds[0] == ("gap", None)
        assert kinds[-1] == ("begun", read(store, token).id)


def test_a_store_on_servers_says_that_it_has_none(secret_key: str) -> None:
    """And so does any store whose backend has no log, before anything is sent."""
    store = DelegatingStore(crudjt.open("grpc://127.0.0.1:1"))
    with pytest.raises(crudjt.StoreInaccessible, match="has no events: only a store in a directory"):
        store.events()


@pytest.mark.parametrize("after", ["", "x", "1-2-3", "1-2-3-z", 5])
def test_what_is_no_position_is_refused(store: crudjt.Store, after: object) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        past(store, after)  # type: ignore[arg-type]
    assert caught.value.parameter == "after"


@pytest.mark.slow
@pytest.mark.parametrize("runs", [asyncio.run, trio.run])
def test_events_are_awaited_too(store: crudjt.Store, runs: Callable[..., None]) -> None:
    store.create({}, subject="x")
    wrapped = crudjt.aio.wrap(store)

    async def follow() -> None:
        events = [event async for event in wrapped.events("oldest", follow=False)]
        assert [(each.kind, each.subject) for each in events] == [("begun", "x")]
        following = wrapped.events("oldest")
        assert (await anext(following)).position == events[0].position
        await wrapped.create({}, subject="y")
        assert (await anext(following)).subject == "y"
        await following.aclose()  # type: ignore[attr-defined] # a generator

    async def use() -> None:
        await follow()
        await wrapped.close()

    runs(use() if runs is asyncio.run else use)
