"""A store in a directory whose sessions are being moved: its note, its marks, and who is refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import crudjt
from crudjt._backends.embedded.doctor.check import examine
from crudjt._backends.embedded.doctor.repair import repair
from crudjt._backends.embedded.engine import compaction, manifest
from crudjt._backends.embedded.move_source import EmbeddedSource
from crudjt._core import moves
from crudjt._core.labels import Named
from crudjt._core.moves import Marked, OtherMove, is_mark
from tests.support.stores import read

OpenSource = Callable[..., EmbeddedSource]

MOVE = b"m" * 16
TO = "valkey://there/sessions"


def _mark(store: EmbeddedSource, token: str) -> bytes:
    """Mark the session of a token; return its id."""
    id_ = bytes.fromhex(read(store, token).id)
    epoch = store.begin(MOVE, TO)
    assert store.mark(epoch, dict(store.look(None, 1000).items)) is not None
    return id_


def test_a_plain_store_raises_in_every_call_once_a_move_has_begun(
    path: Path, secret_key: str, open_source: OpenSource
) -> None:
    """Also for a session that it has in its cache, and for a token that no store knows."""
    with crudjt.open(path, secret_key=secret_key) as plain:
        token = plain.create({"n": 1}, subject="anna")
        session = read(plain, token)
        open_source().begin(MOVE, TO)
        calls: list[Callable[[], object]] = [
            lambda: plain.create({}),
            lambda: plain.read(token),
            lambda: plain.read("A" * 22),
            lambda: plain.peek(token),
            lambda: plain.update(token, {}),
            lambda: plain.touch(token, 1),
            lambda: plain.rotate(token),
            lambda: plain.delete(token),
            lambda: list(plain.sessions("anna")),
            lambda: plain.revoke("anna"),
            lambda: plain.revoke_id(session.id),
            lambda: plain.create_many([{}]),
            lambda: plain.read_many([token]),
            lambda: plain.delete_many([token]),
            plain.list,
            plain.count,
            lambda: plain.find(session.id),
        ]
        for call in calls:
            with pytest.raises(crudjt.StoreMoved, match=TO):
                call()
        assert plain.sweep() == 0
        plain.sync()


def test_a_store_that_is_being_moved_is_not_opened_without_saying_where_to(
    path: Path, secret_key: str, open_source: OpenSource
) -> None:
    open_source().begin(MOVE, TO)
    with pytest.raises(crudjt.StoreMoved, match="moving_to="):
        crudjt.open(path, secret_key=secret_key)


def test_another_process_that_has_the_store_open_is_told(path: Path, secret_key: str, open_source: OpenSource) -> None:
    code = f"""
import crudjt, sys
store = crudjt.open({str(path)!r}, secret_key={secret_key!r})
token = store.create({{}})
assert store.read(token) and store.read(token)
print(flush=True)
sys.stdin.readline()
try:
    print(store.read(token))
except crudjt.StoreMoved:
    print("moved")
"""
    source = open_source()
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        source.begin(MOVE, TO)
        assert other.communicate("\n")[0] == "moved\n"


def test_a_source_serves_records_and_raises_at_marks(open_source: OpenSource) -> None:
    source = open_source()
    moved = source.create({"n": 1}, subject="anna")
    id_ = _mark(source, moved)
    calls: list[Callable[[], object]] = [
        lambda: source.read(moved),
        lambda: source.peek(moved),
        lambda: source.update(moved, {}),
        lambda: source.touch(moved, 1),
        lambda: source.rotate(moved),
        lambda: source.delete(moved),
        lambda: source.revoke_id(id_.hex()),
    ]
    for call in calls:
        with pytest.raises(Marked) as caught:
            call()
        assert caught.value.id == id_
    with pytest.raises(crudjt.StoreMoved):
        source.create({})
    assert source.read("A" * 22) is None
    marks = {id_: caught.value.mark}
    assert source.sessions_and_marks("anna") == ([], marks)
    assert source.revoke_and_marks(Named("anna", None), None) == (0, marks)


def test_sessions_beside_marks_go_on(open_source: OpenSource) -> None:
    source = open_source()
    moved = source.create({"n": 1}, subject="anna")
    id_ = bytes.fromhex(read(source, moved).id)
    kept, other = source.create({"n": 2}, subject="anna"), source.create({"n": 3}, subject="anna")
    epoch = source.begin(MOVE, TO)
    assert source.mark(epoch, dict(source.look(None, 1).items)) == [id_]
    assert source.update(kept, {"n": 4})
    found, marks = source.sessions_and_marks("anna")
    assert sorted(session.data["n"] for session in found) == [3, 4]
    assert marks.keys() == {id_}
    assert source.revoke_and_marks(Named("anna", None), kept) == (1, marks)
    assert source.read(other) is None
    assert read(source, kept).data == {"n": 4}
    assert source.rotate(kept) is not None


def test_only_the_newest_mover_marks_and_only_what_it_has_seen(open_source: OpenSource) -> None:
    source = open_source()
    token = source.create({"n": 1})
    first = source.begin(MOVE, TO)
    seen = dict(source.look(None, 10).items)
    assert source.update(token, {"n": 2})
    assert source.mark(first, seen) == []
    second = source.begin(MOVE, TO)
    assert second == first + 1
    assert source.mark(first, dict(source.look(None, 10).items)) is None
    assert source.mark(second, dict(source.look(None, 10).items)) == list(seen)


def test_a_move_to_another_destination_is_refused(open_source: OpenSource) -> None:
    source = open_source()
    source.begin(MOVE, TO)
    with pytest.raises(OtherMove):
        source.begin(b"o" * 16, TO)


def test_marks_and_note_survive_a_recovery_a_compaction_and_a_backup(
    path: Path, secret_key: str, tmp_path: Path, open_source: OpenSource
) -> None:
    source = open_source()
    token = source.create({"n": 1}, subject="anna")
    id_ = _mark(source, token)
    assert compaction.compact(source._here, 1)
    source.backup(tmp_path / "copy")
    source.close()
    for place in (path, tmp_path / "copy"):
        (place / "control").unlink(missing_ok=True)  # the view is made again from base and log
        with pytest.raises(crudjt.StoreMoved):
            crudjt.open(place, secret_key=secret_key)
    again = open_source()
    with pytest.raises(Marked):
        again.read(token)
    assert again.note is not None
    assert again.note[1:] == (MOVE, TO)
    again.clear({id_: b""})
    assert again.read(token) is None
    assert again.sessions_and_marks("anna") == ([], {})


def test_the_doctor_knows_marks(path: Path, open_source: OpenSource) -> None:
    source = open_source()
    _mark(source, source.create({"n": 1}, subject="anna"))
    assert examine(path).healthy
    source.close()
    assert examine(path).healthy


def test_a_repair_keeps_marks_and_note(path: Path, open_source: OpenSource) -> None:
    source = open_source()
    token = source.create({"n": 1}, subject="anna")
    _mark(source, token)
    source.close()
    (path / "manifest").unlink()
    (path / "control").unlink()
    assert repair(path).findings
    assert manifest.load(path).format == manifest.MOVING_FORMAT
    assert examine(path).healthy


def test_a_version_from_before_moves_refuses_the_store(
    path: Path, secret_key: str, open_source: OpenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source()
    source.begin(MOVE, TO)
    source.close()
    monkeypatch.setattr(manifest, "MOVING_FORMAT", 1)  # the newest that it knows
    with pytest.raises(crudjt.StoreFormatError):
        crudjt.open(path, secret_key=secret_key)


def test_a_mark_is_smaller_than_the_record_and_keeps_the_subject(open_source: OpenSource) -> None:
    source = open_source()
    source.create({"n": "x" * 1000}, subject="anna")
    epoch = source.begin(MOVE, TO)
    ((id_, record),) = source.look(None, 10).items
    source.mark(epoch, {id_: record})
    ((_, mark),) = source.look(None, 10).items
    assert is_mark(mark)
    assert mark[1:64] == record[1:64]
    assert len(mark) == 104


def test_a_session_at_a_wrong_place_is_found(open_source: OpenSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its id was made before places, or under another placement key."""
    source = open_source()
    source.create({}, subject="anna")
    source.create({})
    for id_, record in source.look(None, 10).items:
        assert source.is_placed(id_, record)
        assert not source.is_placed(id_, record[:-1] + bytes([record[-1] ^ 1]))
    with monkeypatch.context() as patch:
        patch.setattr(source._sessions, "place_of", lambda _subject: b"\0\0")
        elsewhere = bytes.fromhex(read(source, source.create({}, subject="anna")).id)
    assert [id_ for id_, record in source.look(None, 10).items if not source.is_placed(id_, record)] == [elsewhere]


def test_a_source_is_opened_with_the_keys_of_its_sessions(path: Path, secret_key: str, open_source: OpenSource) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create({})
    with pytest.raises(crudjt.StoreInaccessible, match="secret key"):
        open_source(secret_key=crudjt.generate_secret_key())


def test_note_and_marks_are_on_disk_before_a_mover_goes_on(open_source: OpenSource) -> None:
    """A power failure that took a mark back would bring back what has ended at the destination since."""
    source = open_source(sync_interval=3600.0)
    token = source.create({"n": 1})
    assert source.stats().unsynced_bytes > 0
    _mark(source, token)
    assert source.stats().unsynced_bytes == 0


def test_a_caller_that_meets_a_mark_waits_until_it_is_on_disk(open_source: OpenSource) -> None:
    source = open_source(sync_interval=3600.0)
    token = source.create({"n": 1})
    epoch = source.begin(MOVE, TO)
    source._here.write(moves.mark, (epoch, dict(source.look(None, 1).items)), moving=True)  # seen before it is on disk
    with pytest.raises(Marked):
        source.read(token)
    source.sync_marks({})
    assert source.stats().unsynced_bytes == 0


def test_a_session_in_the_cache_is_updated_by_its_version(open_source: OpenSource) -> None:
    store = open_source()
    token = store.create({"n": 1})
    for version in (1, 2):
        assert read(store, token).version == version
        assert store.update(token, {"n": version}, if_version=version)
    assert read(store, token).data == {"n": 2}


def test_a_store_that_will_be_moved_keeps_a_limit_of_sessions(path: Path, secret_key: str, tmp_path: Path) -> None:
    with crudjt.open(path, secret_key=secret_key, moving_to=str(tmp_path / "other")) as store:
        first, second = (store.create({}, subject="anna", max_sessions=2) for _ in range(2))
        third = store.create({}, subject="anna", max_sessions=2)
        assert [store.peek(token) is not None for token in (first, second, third)] == [False, True, True]
        visitor = store.create({})
        with pytest.raises(crudjt.TooManySessions):
            store.rotate(visitor, subject="anna", max_sessions=2, when_full="refuse")
        login = store.rotate(visitor, subject="anna", max_sessions=1)
        assert login is not None
        assert [session.id for session in store.sessions("anna")] == [read(store, login).id]
        with pytest.raises(crudjt.InvalidParameter, match="subject"):
            store.create({}, max_sessions=2)
