"""Sessions move back from servers to a directory, and between stores of one kind, while they are in use."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt import KEEP, KeepType, opening
from crudjt._backends.embedded.doctor.check import examine
from crudjt._backends.moving import mover
from crudjt._backends.moving.ports import Destination, Source
from crudjt._backends.moving.store import MovingStore
from crudjt._backends.valkey import examine as examine_servers
from crudjt._core.moves import is_record
from crudjt._core.stages import Staged
from crudjt.testing import FakeClock
from tests.moving.test_move import CALLS, ENDINGS
from tests.support.stores import read
from tests.support.valkey_stores import SINGLE, ServerPool, namespace
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.slow  # they start a server

Both = tuple[Source, Destination]


@pytest.fixture
def url(servers: ServerPool, path: Path) -> Iterator[str]:
    """Return a location whose keys, many where a move has begun, are not looked at in later tests."""
    server = servers.single("valkey")
    yield server.url(namespace(path))
    server.nodes[0].ask("FLUSHALL")


@pytest.fixture
def options(path: Path, secret_key: str, clock: FakeClock) -> opening.OpenOptions:
    return {"secret_key": secret_key, "clock": clock, "moving_to": path, "replicas": 0, "timeout": PATIENCE}


@pytest.fixture
def store(url: str, options: opening.OpenOptions) -> Iterator[MovingStore]:
    with crudjt.open(url, **options) as opened:
        assert isinstance(opened, MovingStore)
        yield opened


@pytest.fixture
def both(url: str, options: opening.OpenOptions) -> Iterator[Both]:
    """Open both stores as a mover does."""
    source, destination = opening.parse(url, options).open_both()
    with ExitStack() as stack:
        stack.callback(source.store.close)
        stack.callback(destination.store.close)
        yield source, destination


def _begin(both: Both) -> int:
    source, destination = both
    return source.begin(destination.move, destination.store.location)


def _records(source: Source) -> dict[bytes, bytes]:
    """Return what a pass finds."""
    found, at = dict[bytes, bytes](), None
    while True:
        items, at = source.look(at, 10_000)
        found |= dict(items)
        if at is None:
            return found


def _mark_all(both: Both) -> dict[bytes, bytes]:
    """Stop a mover between its marks and the publication; return the marks."""
    source, destination = both
    epoch = _begin(both)
    records = _records(source)
    assert set(destination.stage(epoch, records)) <= {Staged.DONE}
    assert source.mark(epoch, records) == list(records)
    return _records(source)


def test_a_move_takes_every_session_with_its_token_data_and_limits(
    store: MovingStore, both: Both, path: Path, url: str, secret_key: str, clock: FakeClock
) -> None:
    plain = store.create({"n": 1})
    owned = store.create({"n": 2}, ttl=60, max_reads=3, idle=30, subject="anna")
    assert read(store, owned).reads_left == 2
    before = store.peek(owned)
    with pytest.raises(crudjt.StoreMoved):  # not all have come
        crudjt.open(path, secret_key=secret_key)
    progress = mover.move(*both)
    assert (progress.moved, progress.left) == (2, [])
    both[1].finish()
    after = store.peek(owned)
    assert before is not None
    assert after is not None
    for name in ("id", "data", "version", "created_at", "expires_at", "reads_left", "subject"):
        assert getattr(after, name) == getattr(before, name)
    assert store.stats().sessions == 2
    with crudjt.open(path, secret_key=secret_key, clock=clock) as alone:
        assert alone.stats().sessions == 2
        assert read(alone, plain).data == {"n": 1}
        assert read(alone, owned).data == {"n": 2}
        assert [session.data for session in alone.sessions("anna")] == [{"n": 2}]
        assert alone.revoke("anna") == 1
    assert examine(path).healthy
    with pytest.raises(crudjt.StoreMoved, match=f"moved to {path}"):
        crudjt.open(url, secret_key=secret_key, **SINGLE)


@pytest.mark.parametrize("stage", ["before", "begun", "marked", "published", "cleared"])
def test_each_call_answers_as_ever_at_each_step_of_a_move(
    stage: str, store: MovingStore, both: Both, secret_key: str, tmp_path: Path
) -> None:
    source, destination = both
    tokens = {name: store.create({"n": 1}, subject=name, labels=_labels(name)) for name in CALLS}
    if stage == "begun":
        _begin(both)
    elif stage != "before":
        marks = _mark_all(both)
        if stage != "marked":
            destination.publish(marks, replicated=True)
        if stage == "cleared":
            source.clear(marks)
    with crudjt.open(tmp_path / "alone", secret_key=secret_key) as alone:
        assert store.count() == len(CALLS)
        listed = [session.subject for session in store.list(data=True)]
        assert sorted(listed, key=str) == sorted(CALLS)
        for name in ("list", "count"):  # these are about all subjects, and asked above
            assert store.count(name) == len(list(store.list(subject=name))) == 1
        for name, call in ((name, call) for name, call in CALLS.items() if name not in ("list", "count")):
            token = alone.create({"n": 1}, subject=name, labels=_labels(name))
            expected = call(_of_subject(alone, name), token)
            assert call(_of_subject(store, name), tokens[name]) == expected
    mover.move(*both)
    for name, token in tokens.items():
        gone = name in ("rotate", *ENDINGS)
        assert (store.read(token) is None) == gone
        ended = not list(store.sessions(name))
        assert ended == (gone and name != "rotate")


def _labels(subject: str) -> tuple[str, str]:
    return f"l {subject}", f"m {subject}"


def _of_subject(store: crudjt.Store, subject: str) -> Any:
    """Return a store for calls that name anna, which are about another subject."""
    return _OfSubject(store, subject)


class _OfSubject:
    def __init__(self, store: crudjt.Store, subject: str) -> None:
        self._store = store
        self._subject = subject

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name == "revoke":
            return self._revoke
        if name == "rotate":
            return self._rotate
        if name == "sessions":
            return lambda _anna, **options: method(self._subject, **options)
        if name == "revoke_id":
            return lambda id_, **_anna: method(id_, subject=self._subject)
        return method

    def _revoke(self, anna: str | None = None, *, keep: str | None = None, label: str | None = None) -> int:
        named = label and f"{label} {self._subject}"
        return self._store.revoke(anna and self._subject, keep=keep, label=named)

    def _rotate(self, token: str, labels: Iterable[str] | KeepType = KEEP) -> str | None:
        named = labels if labels is KEEP else [f"{label} {self._subject}" for label in labels]
        return self._store.rotate(token, labels=named)


def test_sessions_are_made_and_rotated_at_the_destination_once_a_move_has_begun(store: MovingStore, both: Both) -> None:
    old, other = store.create({"n": 0}, subject="anna"), store.create({"n": 1}, max_reads=3)
    _begin(both)
    token = store.create({"n": 2}, subject="anna")
    tokens = store.create_many(iter([{"n": 3}, {"n": 4}]), subject="anna")
    assert len(_records(both[0])) == 2
    rotated = store.rotate(old, data={"n": 5})
    logged_in = store.rotate(other, subject="bob")  # to the place of another subject
    assert rotated is not None
    assert logged_in is not None
    assert store.read_many([old, other]) == [None, None]
    assert read(store, logged_in).reads_left == 2
    assert sorted(session.data["n"] for session in store.sessions("anna")) == [2, 3, 4, 5]
    assert [read(store, each).data["n"] for each in (token, *tokens, rotated)] == [2, 3, 4, 5]
    mover.move(*both)
    both[1].finish()
    assert store.revoke("anna") == 4
    assert store.revoke("bob") == 1
    assert store.stats().sessions == 0


def test_a_rotation_gives_way_to_what_happens_to_its_session_meanwhile(
    store: MovingStore, both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It decides again when the session was updated, moved or ended after it has staged the new one."""
    source, destination = both
    tokens = [store.create({"n": number}, subject="anna") for number in range(4)]
    epoch = _begin(both)

    def move_it() -> None:
        records = {id_: value for id_, value in _records(source).items() if is_record(value)}
        destination.stage(epoch, records)
        source.mark(epoch, records)

    meanwhile: list[Callable[[], object]] = [
        lambda: store.update(tokens[0], {"n": 7}),
        lambda: store.delete(tokens[1]),
        lambda: store.update(tokens[2], {"n": 8}),
        move_it,
    ]
    stage = store._destination.stage

    def staged(epoch: int, records: dict[bytes, bytes]) -> list[Staged]:
        answers = stage(epoch, records)
        monkeypatch.undo()
        meanwhile.pop(0)()
        return answers

    rotated: list[str | None] = []
    for token, subject in zip(tokens, ("anna", "anna", "bob", "bob"), strict=True):
        monkeypatch.setattr(store._destination, "stage", staged)
        rotated.append(store.rotate(token, subject=subject))
    assert [token and read(store, token).data["n"] for token in rotated] == [7, None, 8, 3]
    mover.move(source, destination)
    assert sorted(session.data["n"] for session in store.sessions("bob")) == [3, 8]
    assert [session.data["n"] for session in store.sessions("anna")] == [7]
    assert store.read_many(tokens) == [None] * 4


def test_a_process_that_was_not_told_is_refused_and_never_takes_a_session_for_ended(
    url: str, store: MovingStore, both: Both, secret_key: str, clock: FakeClock, tmp_path: Path
) -> None:
    with crudjt.open(url, secret_key=secret_key, clock=clock, **SINGLE) as untold:
        moved, marked, kept = (untold.create({"n": 1}, subject="anna") for _ in range(3))
        id_ = read(untold, kept).id
        marks = _mark_all(both)
        gone = {each: mark for each, mark in marks.items() if each.hex() == read(store, moved).id}
        both[1].publish(gone)
        both[0].clear(gone)
        late = store.create({"n": 2}, subject="anna")
        calls: list[Callable[[str], object]] = [
            untold.read,
            untold.peek,
            untold.delete,
            untold.rotate,
            lambda token: untold.update(token, {}),
            lambda token: untold.touch(token, 1),
            lambda token: untold.read_many([token]),
            lambda token: untold.delete_many([token]),
            lambda _token: list(untold.sessions("anna")),
            lambda _token: untold.revoke("anna"),
            lambda _token: untold.revoke_id(id_),
            lambda _token: untold.create({}),
            lambda _token: untold.create_many([{}], subject="anna"),
            lambda _token: untold.backup(tmp_path / "copy"),
        ]
        for call in calls:
            for token in (moved, marked, late):
                with pytest.raises(crudjt.StoreMoved, match="moving_to"):
                    call(token)
    assert sorted(session.data["n"] for session in store.sessions("anna")) == [1, 1, 1, 2]


def test_the_doctor_of_servers_knows_marks_and_epochs(url: str, store: MovingStore, both: Both) -> None:
    store.create({"n": 1}, subject="anna")
    _mark_all(both)
    assert examine_servers(url, {"replicas": 0}, repair=False, progress=lambda _done, _total: None).healthy


def test_a_directory_of_the_same_name_on_another_host_is_refused(
    url: str, store: MovingStore, both: Both, options: opening.OpenOptions, tmp_path: Path
) -> None:
    """Also if the process was there before the move began."""
    token = store.create({"n": 1})
    given: opening.OpenOptions = {**options, "moving_to": tmp_path / "elsewhere"}
    with crudjt.open(url, **given) as other:
        assert read(other, token).data == {"n": 1}
        mover.move(*both)
        calls: list[Callable[[], object]] = [
            lambda: other.read(token),
            lambda: other.create({}),
            lambda: other.revoke("anna"),
        ]
        for call in calls:
            with pytest.raises(crudjt.StoreInaccessible, match="already"):
                call()
    assert read(store, token).data == {"n": 1}


def test_a_late_stage_or_publication_of_an_old_mover_changes_nothing(store: MovingStore, both: Both) -> None:
    source, destination = both
    token = store.create({"n": 1})
    old = _begin(both)
    seen = _records(source)
    store.update(token, {"n": 2})
    new = _begin(both)
    fresh = _records(source)
    destination.stage(new, fresh)
    assert destination.stage(old, seen) == [Staged.LATER]
    assert source.mark(old, seen) is None
    assert source.mark(new, fresh) == list(fresh)
    marks = _records(source)
    assert read(store, token).data == {"n": 2}
    assert store.delete(token)
    assert destination.stage(old, seen) == [Staged.LATER]
    destination.publish(marks)
    assert store.read(token) is None
    mover.move(source, destination)
    destination.finish()
    assert destination.stage(new, fresh) == [Staged.LATER]
    destination.publish(marks)
    assert store.read(token) is None
    assert destination.store.stats().sessions == 0


@pytest.mark.parametrize("steps", [3, 4, 5, 8])
def test_a_mover_that_stops_after_any_step_is_followed_by_another(
    steps: int, store: MovingStore, both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it has staged, marked, published and cleared."""
    monkeypatch.setattr(mover, "_BATCH", 3)
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


class _Died(Exception):
    pass


def test_what_is_staged_survives_a_recovery_and_the_doctor_knows_it(
    url: str, options: opening.OpenOptions, path: Path
) -> None:
    with crudjt.open(url, **options) as store:
        token = store.create({"n": 1}, subject="anna")
    with ExitStack() as stack:
        both = opening.parse(url, options).open_both()
        stack.callback(both[0].store.close)
        stack.callback(both[1].store.close)
        _mark_all(both)
    (path / "control").unlink()  # the next to open the directory makes its view again from the log
    with crudjt.open(url, **options) as store:
        assert examine(path).healthy
        assert store.sweep() == 0
        assert read(store, token).data == {"n": 1}
        assert store.revoke("anna") == 1


def test_a_place_that_holds_something_else_is_refused(
    url: str, options: opening.OpenOptions, secret_key: str, tmp_path: Path, path: Path
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "note").touch()
    crudjt.open(tmp_path / "other", secret_key=secret_key).close()
    with crudjt.open(url, secret_key=secret_key, **SINGLE) as store:
        store.backup(tmp_path / "copy")
    for name, why in (("files", "other files"), ("other", "another store"), ("copy", "not for a move")):
        given: opening.OpenOptions = {**options, "moving_to": tmp_path / name}
        with pytest.raises(crudjt.StoreInaccessible, match=why):
            crudjt.open(url, **given)


@pytest.mark.parametrize("kind", ["directories", "servers"])
def test_sessions_move_between_stores_of_one_kind_and_on(
    kind: str, servers: ServerPool, tmp_path: Path, options: opening.OpenOptions, url: str
) -> None:
    """The second move begins where the first has ended."""
    places: list[Path | str] = [url, servers.single("redis").url(namespace(tmp_path)), tmp_path / "end"]
    del options["timeout"]
    if kind == "directories":
        places = [tmp_path / "a", tmp_path / "b", url]
    tokens: list[str] = []
    for source, destination in pairwise(places):
        given: opening.OpenOptions = {**options, "moving_to": destination}
        if isinstance(source, Path) and isinstance(destination, Path):
            del given["replicas"]
        with crudjt.open(source, **given) as store:
            tokens.append(store.create({"n": len(tokens)}, subject="anna"))
            here, there = opening.parse(source, given).open_both()
            assert mover.plan(here).sessions == len(tokens)
            assert mover.move(here, there).moved == len(tokens)
            there.finish()
            here.store.close()
            there.store.close()
            assert [read(store, token).data["n"] for token in tokens] == list(range(len(tokens)))
            assert len(list(store.sessions("anna"))) == len(tokens)
    assert examine(tmp_path / "b" if kind == "directories" else tmp_path / "end").healthy


def test_an_ending_leaves_a_mark_that_came_between(
    store: MovingStore, both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was decided over the record; to remove the mark would let the mover bring the session back."""
    token, other = store.create({"n": 1}, subject="anna"), store.create({"n": 2}, subject="bob")
    records = store._source.store._records  # type: ignore[attr-defined]
    end = records.end
    marks: list[dict[bytes, bytes]] = []

    def end_after_the_marks(*given: Any) -> Any:
        if not marks:
            marks.append(_mark_all(both))
        return end(*given)

    monkeypatch.setattr(records, "end", end_after_the_marks)
    assert store.delete(token)
    assert _records(both[0]).keys() == marks[0].keys()
    assert store.read(token) is None
    mover.move(*both)
    assert store.read(token) is None
    assert read(store, other).data == {"n": 2}
