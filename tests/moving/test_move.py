"""Sessions move from a directory to servers: each call gives the answers of one store, before, during and after."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import crudjt
import crudjt.aio
from crudjt import opening
from crudjt._backends.moving import mover
from crudjt._backends.moving.ports import Destination, Source
from crudjt._backends.moving.store import MovingStore
from crudjt._core.moves import mark_of
from crudjt._core.stages import Staged
from crudjt.testing import FakeClock
from tests.support.stores import read
from tests.support.valkey_stores import SINGLE, ServerPool, namespace
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.slow  # they start a server

Open = Callable[..., MovingStore]


@pytest.fixture(params=["valkey", pytest.param("redis", marks=pytest.mark.matrix)])
def url(request: pytest.FixtureRequest, servers: ServerPool, path: Path) -> str:
    return servers.single(request.param).url(namespace(path))


@pytest.fixture
def options(url: str, secret_key: str, clock: FakeClock) -> opening.OpenOptions:
    return {"secret_key": secret_key, "clock": clock, "moving_to": url, "replicas": 0, "timeout": PATIENCE}


@pytest.fixture
def store(path: Path, options: opening.OpenOptions) -> Iterator[MovingStore]:
    with crudjt.open(path, **options) as opened:
        assert isinstance(opened, MovingStore)
        yield opened


@pytest.fixture
def both(path: Path, options: opening.OpenOptions) -> Iterator[tuple[Source, Destination]]:
    """Open both stores as a mover does."""
    source, destination = opening.parse(path, options).open_both()
    with ExitStack() as stack:
        stack.callback(source.store.close)
        stack.callback(destination.store.close)
        yield source, destination


def _begin(both: tuple[Source, Destination]) -> int:
    source, destination = both
    return source.begin(destination.move, destination.store.location)


def _mark_all(both: tuple[Source, Destination]) -> dict[bytes, bytes]:
    """Stop a mover between its marks and the publication; return the records."""
    source, destination = both
    epoch = _begin(both)
    records = dict(source.look(None, 1000).items)
    destination.stage(epoch, records)
    assert source.mark(epoch, records) == list(records)
    return records


def test_before_a_move_everything_is_at_the_source(store: MovingStore, path: Path, url: str) -> None:
    token = store.create({"n": 1}, subject="anna")
    assert read(store, token).data == {"n": 1}
    with pytest.raises(crudjt.StoreMoved):  # the destination is not complete
        crudjt.open(url, secret_key=crudjt.generate_secret_key(), **SINGLE)
    assert store.stats().sessions == 1


def test_a_move_takes_every_session_with_its_token_data_and_limits(
    store: MovingStore, both: tuple[Source, Destination], url: str, secret_key: str, clock: FakeClock
) -> None:
    plain = store.create({"n": 1})
    about: dict[str, Any] = {"labels": ("sid:1", "x"), "client": crudjt.Client("192.0.2.1"), "bound_to": "A" * 43}
    owned = store.create({"n": 2}, ttl=60, max_reads=3, idle=30, subject="anna", **about)
    assert read(store, owned).reads_left == 2
    before = store.peek(owned)
    progress = mover.move(*both)
    assert (progress.moved, progress.left) == (2, [])
    both[1].finish()
    after = store.peek(owned)
    assert before is not None
    assert after is not None
    for name in ("id", "data", "version", "created_at", "expires_at", "reads_left", "subject", "last_seen", *about):
        assert getattr(after, name) == getattr(before, name)
    with crudjt.open(url, secret_key=secret_key, clock=clock, **SINGLE) as alone:
        assert read(alone, plain).data == {"n": 1}
        assert read(alone, owned).data == {"n": 2}
        assert [session.data for session in alone.sessions("anna")] == [{"n": 2}]
        assert alone.revoke("anna", label="sid:1") == 1


CALLS: dict[str, Callable[[crudjt.Store, str], Any]] = {
    "read": lambda store, token: read(store, token).data,
    "peek": lambda store, token: store.peek(token) is not None,
    "update": lambda store, token: store.update(token, {"n": 2}),
    "touch": lambda store, token: store.touch(token, 60),
    "rotate": lambda store, token: store.rotate(token) is not None,
    "delete": lambda store, token: store.delete(token),
    "sessions": lambda store, _token: [session.data for session in store.sessions("anna")],
    "revoke": lambda store, _token: store.revoke("anna"),
    "revoke all but it": lambda store, token: store.revoke("anna", keep=token),
    "revoke by label": lambda store, _token: (store.revoke(label="m"), store.revoke("anna", label="l")),
    "revoke after new labels": lambda store, token: (store.rotate(token, labels=("n",)), store.revoke(label="n"))[1],
    "revoke_id": lambda store, _token: store.revoke_id(next(store.sessions("anna")).id, subject="anna"),
    "read_many": lambda store, token: [
        session and session.data for session in store.read_many([token, "A" * 22, token])
    ],
    "delete_many": lambda store, token: store.delete_many([token, "A" * 22, token]),
    "find": lambda store, token: store.find(read(store, token).id) is not None,
    "list": lambda store, _token: [
        [session.data for session in page] for page in (store.list(data=True), store.list(subject="anna", data=True))
    ],
    "count": lambda store, _token: (store.count(), store.count("anna")),
}


ENDINGS = ("delete", "revoke", "revoke by label", "revoke after new labels", "revoke_id", "delete_many")


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("stage", ["before", "begun", "marked", "published", "cleared"])
def test_each_call_answers_as_ever_at_each_step_of_a_move(
    stage: str,
    call: Callable[[crudjt.Store, str], Any],
    store: MovingStore,
    both: tuple[Source, Destination],
    secret_key: str,
    tmp_path: Path,
) -> None:
    with crudjt.open(tmp_path / "alone", secret_key=secret_key) as alone:
        expected = call(alone, alone.create({"n": 1}, subject="anna", labels=("l", "m")))
    token = store.create({"n": 1}, subject="anna", labels=("l", "m"))
    if stage == "begun":
        _begin(both)
    elif stage != "before":
        source, destination = both
        _mark_all(both)
        marks = dict(source.look(None, 10).items)
        if stage != "marked":
            destination.publish(marks, replicated=True)
        if stage == "cleared":
            source.clear(marks)
    assert call(store, token) == expected
    mover.move(*both)
    assert store.read(token) is None or call not in (CALLS["rotate"], CALLS["delete"], CALLS["revoke"])
    ended = not list(store.sessions("anna"))
    assert ended == (call in [CALLS[name] for name in ENDINGS])


def test_sessions_are_made_at_the_destination_once_a_move_has_begun(
    store: MovingStore, both: tuple[Source, Destination]
) -> None:
    _begin(both)
    token = store.create({"n": 1}, subject="anna")
    tokens = store.create_many(iter([{"n": 2}, {"n": 3}]), subject="anna")
    assert both[0].look(None, 10).items == []
    assert [read(store, each).data["n"] for each in (token, *tokens)] == [1, 2, 3]
    assert store.revoke("anna") == 3


def test_what_ended_before_its_mark_does_not_come_back(store: MovingStore, both: tuple[Source, Destination]) -> None:
    """Also if a late stage of a mover that was thought dead comes after all."""
    source, destination = both
    token = store.create({"n": 1}, subject="anna")
    epoch = _begin(both)
    records = dict(source.look(None, 10).items)
    destination.stage(epoch, records)
    assert store.delete(token)
    assert source.mark(epoch, records) == []
    mover.move(*both)
    destination.stage(epoch, records)
    assert store.read(token) is None
    assert list(store.sessions("anna")) == []


def test_a_late_stage_of_an_old_mover_changes_nothing(store: MovingStore, both: tuple[Source, Destination]) -> None:
    source, destination = both
    token = store.create({"n": 1})
    old = _begin(both)
    seen = dict(source.look(None, 10).items)
    store.update(token, {"n": 2})
    new = _begin(both)
    fresh = dict(source.look(None, 10).items)
    destination.stage(new, fresh)
    assert destination.stage(old, seen)[0].name == "LATER"
    source.mark(new, fresh)
    assert read(store, token).data == {"n": 2}
    assert destination.stage(old, seen)[0].name == "USED"
    assert store.delete(token)
    assert destination.stage(new, fresh)[0].name == "USED"
    assert store.read(token) is None


def test_a_limited_read_is_counted_once_on_its_way(store: MovingStore, both: tuple[Source, Destination]) -> None:
    token = store.create({"n": 1}, max_reads=3)
    assert read(store, token).reads_left == 2
    _mark_all(both)
    assert read(store, token).reads_left == 1
    mover.move(*both)
    assert read(store, token).reads_left == 0
    assert store.read(token) is None


def test_an_expired_session_stays_expired(
    store: MovingStore, both: tuple[Source, Destination], clock: FakeClock
) -> None:
    token = store.create({"n": 1}, ttl=10, subject="anna")
    _mark_all(both)
    clock.advance(10)
    assert store.read(token) is None
    assert list(store.sessions("anna")) == []
    assert mover.move(*both).moved == 1


def test_a_session_at_a_wrong_place_is_named_and_stays(
    store: MovingStore, both: tuple[Source, Destination], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = both
    lost, token = store.create({"n": 1}, subject="anna"), store.create({"n": 2})
    handle = read(store, lost).id
    monkeypatch.setattr(source, "is_placed", lambda id_, _record: id_.hex() != handle)
    assert mover.plan(source).left == [handle]
    progress = mover.move(*both)
    assert (progress.moved, progress.left) == (1, [handle])
    assert read(store, lost).data == {"n": 1}
    assert read(store, token).data == {"n": 2}
    assert store.revoke("anna") == 1


def test_a_destination_with_another_store_is_refused(path: Path, url: str, secret_key: str) -> None:
    with crudjt.open(url, secret_key=secret_key, **SINGLE) as other:
        other.create({})
    with pytest.raises(crudjt.StoreInaccessible, match="another namespace"):
        crudjt.open(path, secret_key=secret_key, moving_to=url, **SINGLE)


def test_a_move_to_a_second_destination_is_refused(
    path: Path, url: str, secret_key: str, both: tuple[Source, Destination]
) -> None:
    _begin(both)
    with pytest.raises(crudjt.StoreInaccessible, match="already"):
        crudjt.open(path, secret_key=secret_key, moving_to=url + "2", **SINGLE)


def test_a_copy_of_the_source_from_before_is_refused_after_the_move(
    path: Path, url: str, secret_key: str, tmp_path: Path, both: tuple[Source, Destination]
) -> None:
    both[0].store.backup(tmp_path / "copy")
    mover.move(*both)
    both[1].finish()
    with pytest.raises(crudjt.StoreInaccessible, match="knows nothing"):
        crudjt.open(tmp_path / "copy", secret_key=secret_key, moving_to=url, **SINGLE)


def test_options_of_neither_store_are_refused(path: Path, url: str, secret_key: str) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open(path, secret_key=secret_key, moving_to=url, access_token="x" * 20)
    assert caught.value.parameter == "access_token"
    for source, wrong in ((path, path), (path, "grpc://localhost"), (url, url), ("grpc://localhost", url)):
        with pytest.raises(crudjt.InvalidParameter) as caught:
            crudjt.open(source, secret_key=secret_key, moving_to=wrong)
        assert caught.value.parameter == "moving_to"


def test_a_mover_begins_again_when_a_reply_was_lost(
    store: MovingStore, both: tuple[Source, Destination], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage may still come, so the next has a later epoch."""
    source, destination = both
    token = store.create({"n": 1})
    stage, epochs = destination.stage, []

    def lost_at_first(epoch: int, records: dict[bytes, bytes]) -> list[Staged]:
        epochs.append(epoch)
        answers = stage(epoch, records)
        if len(epochs) == 1:
            store.update(token, {"n": 2})
            raise crudjt.StoreUnavailable("there", "no answer came")
        return answers

    monkeypatch.setattr(destination, "stage", lost_at_first)
    assert mover.move(source, destination).moved == 1
    assert epochs == [1, 2]
    assert read(store, token).data == {"n": 2}


def test_a_mover_gives_up_at_a_destination_that_does_not_answer(
    store: MovingStore, both: tuple[Source, Destination], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sessions that have not moved go on at the source."""
    token = store.create({"n": 1})

    def lost(_epoch: int, _records: dict[bytes, bytes]) -> list[Staged]:
        raise crudjt.StoreUnavailable("there", "no answer came")

    with monkeypatch.context() as patch:
        patch.setattr(both[1], "stage", lost)
        with pytest.raises(crudjt.StoreUnavailable):
            mover.move(*both)
    assert read(store, token).data == {"n": 1}
    assert store.update(token, {"n": 2})
    assert mover.move(*both).moved == 1
    assert read(store, token).data == {"n": 2}


def test_the_later_of_two_movers_takes_over(store: MovingStore, both: tuple[Source, Destination]) -> None:
    source, destination = both
    tokens = store.create_many([{"n": number} for number in range(10)])
    others: list[mover.Progress] = []
    steps = iter(range(100))

    def let_another_in(_progress: mover.Progress) -> None:
        if next(steps) == 1:  # it has begun, and looked at the sessions
            others.append(mover.move(source, destination))

    with pytest.raises(crudjt.StoreInaccessible, match="taken the move over"):
        mover.move(source, destination, let_another_in)
    assert others[0].moved == 10
    assert [read(store, token).data["n"] for token in tokens] == list(range(10))


class _Died(Exception):
    pass


@pytest.mark.parametrize("steps", range(12))
def test_a_mover_that_stops_after_any_step_is_followed_by_another(
    steps: int, store: MovingStore, both: tuple[Source, Destination], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mover, "_BATCH", 2)
    tokens = [store.create({"n": number}, subject="anna") for number in range(6)]
    left = iter(range(steps))

    def die(_progress: mover.Progress) -> None:
        if next(left, None) is None:
            raise _Died

    with pytest.raises(_Died):
        mover.move(*both, die)
    assert store.delete(tokens[0])
    assert store.update(tokens[1], {"n": 10})
    fresh = store.rotate(tokens[2])
    assert fresh is not None
    assert sorted(session.data["n"] for session in store.sessions("anna")) == [2, 3, 4, 5, 10]
    assert mover.move(*both).left == []
    both[1].finish()
    found = [session and session.data["n"] for session in store.read_many([*tokens, fresh])]
    assert found == [None, 10, None, 3, 4, 5, 2]
    assert store.revoke("anna") == 5


def test_pages_go_over_both_stores_in_the_middle_of_a_move(
    store: MovingStore, both: tuple[Source, Destination], clock: FakeClock
) -> None:
    """Each session is on one page, wherever it is, and in order."""
    made: list[str] = []
    for number in range(6):
        clock.advance(1)
        made.append(read(store, store.create({"n": number})).id)
    source, destination = both
    epoch = _begin(both)
    records = dict(source.look(None, 1000).items[::2])  # every second one is marked, and not published yet
    destination.stage(epoch, records)
    assert source.mark(epoch, records) == list(records)
    clock.advance(1)
    made.append(read(store, store.create({"n": 6})).id)  # at the destination
    found: list[str] = []
    page = store.list(limit=2)
    while True:
        found += [session.id for session in page]
        if page.next is None:
            break
        page = store.list(limit=2, after=page.next)
    assert found == made[::-1]
    assert store.count() == 7


def test_a_caller_publishes_a_session_when_its_mark_is_on_disk(
    store: MovingStore, both: tuple[Source, Destination], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mover may not have synced it yet, and a power failure would bring the record back."""
    token = store.create({"n": 1})
    _mark_all(both)
    done: list[str] = []

    def noted(name: str, call: Callable[..., None], *given: Any) -> None:
        done.append(name)
        call(*given)

    for part, name in ((store._source, "sync_marks"), (store._destination, "publish")):
        monkeypatch.setattr(part, name, partial(noted, name, getattr(part, name)))
    assert read(store, token).data == {"n": 1}
    assert done == ["sync_marks", "publish"]


def test_what_is_published_replaces_no_session(both: tuple[Source, Destination]) -> None:
    source, destination = both
    source.store.create({"n": 1})
    token = destination.store.create({"n": 2})
    ((_, record),) = source.look(None, 10).items
    id_ = bytes.fromhex(read(destination.store, token).id)
    assert destination.stage(1, {id_: record}) == [Staged.DONE]
    destination.publish({id_: mark_of(record)})
    assert read(destination.store, token).data == {"n": 2}


@pytest.mark.parametrize("name", ["read", "read_many", "delete", "delete_many"])
def test_a_call_that_begins_before_a_move_and_ends_after_it_finds_its_session(
    store: MovingStore, both: tuple[Source, Destination], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    token = store.create({"n": 1})
    call = getattr(store._source, name)

    def call_late(given: Any) -> Any:
        mover.move(*both)
        return call(given)

    monkeypatch.setattr(store._source, name, call_late)
    found = getattr(store, name)([token] if name.endswith("_many") else token)
    assert found[0] if name == "read_many" else found


def test_marks_are_removed_when_all_replicas_have_the_sessions(
    both: tuple[Source, Destination], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, destination = both
    source.store.create({"n": 1})
    publish, waited = destination.publish, list[bool]()

    def noted(marks: Any, *, replicated: bool = False) -> None:
        waited.append(replicated)
        publish(marks, replicated=replicated)

    monkeypatch.setattr(destination, "publish", noted)
    mover.move(*both)
    assert waited == [True]


def test_a_stage_that_was_used_stays_used_when_the_move_has_finished(both: tuple[Source, Destination]) -> None:
    """A request of a slow mover may still be on its way."""
    source, destination = both
    source.store.create({"n": 1})
    records = dict(source.look(None, 1000).items)
    mover.move(*both)
    destination.finish()
    assert destination.stage(1, records) == [Staged.USED]
