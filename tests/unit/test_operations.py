"""The operations need a reader and nothing else: here it is a dict, and each commit is a loop over the changes."""

from collections.abc import Sequence
from typing import Any

import pytest

from crudjt._core.changes import DELETE, INSERT, REPLACE, SESSION, Change, Decision, Result
from crudjt._core.codec import pack
from crudjt._core.keyring import Keyring, Placement
from crudjt._core.operations import Sessions
from crudjt._core.session import Session
from crudjt._core.validation import NO_LIMITS, NO_NEW_LIMITS, StoredLimits
from crudjt.errors import StoreCorrupt, VersionConflict

NOW = 1_700_000_000_000_000_000
NOW_MS = NOW // 1_000_000


class Damaged(StoreCorrupt):
    """The error of this backend for a damaged record."""


def damaged(_id: bytes) -> StoreCorrupt:
    return Damaged("model", None, "damaged")


class DictBackend:
    """The smallest backend: a dict of records, and the changes of each decision applied at once."""

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.records.get(key)

    def commit(self, decide: Decision[Result], *arguments: Any) -> Result:
        result, changes = decide(self, *arguments)
        self.apply(changes)
        return result

    def apply(self, changes: Sequence[Change]) -> None:
        for kind, id_, record in changes:
            key = SESSION + id_
            assert (key in self.records) == (kind != INSERT)
            if kind == DELETE:
                del self.records[key]
            else:
                self.records[key] = record


class Remembered:
    """A decrypted session that the backend vouches for, or no longer does."""

    def __init__(self, session: Session, packed: bytes, *, holds: bool) -> None:
        self.id = bytes.fromhex(session.id)
        self.head = session._envelope.head
        self.subject = session.subject
        self.details = None
        self.key = 0
        self.packed = packed
        self.until_ns = 0
        self.words = memoryview(bytes(8)).cast("Q")
        self.word = 0
        self.noted = 0 if holds else 1


@pytest.fixture
def sessions() -> Sessions:
    return Sessions(Keyring([b"o" * 32, b"n" * 32], bytes(32)), Placement(bytes(32)), damaged)


@pytest.fixture
def backend() -> DictBackend:
    return DictBackend()


def create(
    sessions: Sessions,
    backend: DictBackend,
    data: dict[str, Any],
    subject: str | None = None,
    limits: StoredLimits = NO_LIMITS,
) -> str:
    token, change = sessions.insert(pack(data, 4096), subject, limits, NOW)
    backend.apply([change])
    return token


def read(sessions: Sessions, backend: DictBackend, token: str, now_ns: int = NOW) -> Session | None:
    return backend.commit(sessions.take, [token], now_ns)[0]


def test_a_session_lives_and_ends_on_a_dict(sessions: Sessions, backend: DictBackend) -> None:
    token = create(sessions, backend, {"n": 1}, "ada")
    assert backend.commit(sessions.change, token, None, pack({"n": 2}, 4096), NO_NEW_LIMITS, 1, NOW_MS)
    new = backend.commit(sessions.rotate, token, None, NOW)
    assert new is not None
    assert read(sessions, backend, token) is None
    session = read(sessions, backend, new)
    assert session is not None
    assert (session.data, session.subject, session.version) == ({"n": 2}, "ada", 2)
    assert backend.commit(sessions.end, new, NOW_MS)
    assert not backend.commit(sessions.end, new, NOW_MS)
    assert not backend.records


def test_a_rotation_to_another_subject_moves_to_its_place_and_tag(sessions: Sessions, backend: DictBackend) -> None:
    token = create(sessions, backend, {})
    other = create(sessions, backend, {}, "ada")
    new = backend.commit(sessions.rotate, token, None, NOW, pack({"n": 1}, 4096), "ada")
    assert new is not None
    here, there = read(sessions, backend, new), read(sessions, backend, other)
    assert here is not None
    assert there is not None
    assert (here.data, here.subject, here.version) == ({"n": 1}, "ada", 2)
    assert (here.id[16:20], here._envelope.header.tag) == (there.id[16:20], there._envelope.header.tag)
    gone = backend.commit(sessions.rotate, new, None, NOW, None, None)
    assert gone is not None
    left = read(sessions, backend, gone)
    assert left is not None
    assert (left.subject, left._envelope.header.tag, left._envelope.header.flags) == (None, bytes(16), 0)


def test_a_decision_changes_nothing_itself(sessions: Sessions, backend: DictBackend) -> None:
    token = create(sessions, backend, {}, limits=StoredLimits(60_000, 0, 2))
    before = dict(backend.records)
    _, (change,) = sessions.take(backend, [token], NOW)
    assert change[0] == REPLACE
    sessions.rotate(backend, token, None, NOW)
    sessions.end(backend, token, NOW_MS)
    assert backend.records == before


def test_a_decision_that_runs_again_sees_what_was_committed_since(sessions: Sessions, backend: DictBackend) -> None:
    token = create(sessions, backend, {"n": 1}, limits=StoredLimits(0, 0, 2))
    _, lost = sessions.take(backend, [token], NOW)  # decided, but another commit comes first
    assert read(sessions, backend, token)
    (last,), changes = sessions.take(backend, [token], NOW)
    assert last is not None
    assert last.reads_left == 0
    assert [kind for kind, *_ in lost] == [REPLACE]
    assert [kind for kind, *_ in changes] == [DELETE]


def test_a_version_that_has_passed_is_refused(sessions: Sessions, backend: DictBackend) -> None:
    token = create(sessions, backend, {})
    with pytest.raises(VersionConflict):
        backend.commit(sessions.change, token, None, pack({}, 4096), NO_NEW_LIMITS, 2, NOW_MS)


def test_a_damaged_record_raises_the_error_of_the_backend(sessions: Sessions, backend: DictBackend) -> None:
    token = create(sessions, backend, {"n": 1})
    ((key, record),) = backend.records.items()
    backend.records[key] = record[:-1] + bytes([record[-1] ^ 1])
    with pytest.raises(Damaged):
        read(sessions, backend, token)


@pytest.mark.parametrize(("holds", "data"), [(True, {"n": "remembered"}), (False, {"n": "stored"})])
def test_a_remembered_session_replaces_the_record_only_while_it_holds(
    sessions: Sessions, backend: DictBackend, holds: bool, data: dict[str, str]
) -> None:
    token = create(sessions, backend, {"n": "stored"}, "ada")
    session = read(sessions, backend, token)
    assert session is not None
    known = Remembered(session, pack({"n": "remembered"}, 4096), holds=holds)
    assert backend.commit(sessions.change, token, known, None, NO_NEW_LIMITS, None, NOW_MS)
    changed = read(sessions, backend, token)
    assert changed is not None
    assert (changed.data, changed.subject) == (data, "ada")
