"""Many processes and threads at once on few tokens: no lost update, no stale read, no read too many."""

import mmap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import combinations
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crudjt
from crudjt._backends.embedded.engine.control_block import cache_word
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._core import random_pool, tokens
from crudjt.testing import FakeClock
from tests.support.embedded import engine_of
from tests.support.histories import UNKNOWN, USED_UP, Take, contradiction
from tests.support.processes import PATIENCE, UNINTERRUPTIBLE, StoreProcess, Worker
from tests.support.stores import read

pytestmark = UNINTERRUPTIBLE

PROCESSES = 4
QUIET = 3600.0  # a sync interval at which no background thread comes

# Lost updates


def _increment(pipe: Connection, path: Path, secret_key: str, token: str, times: int, threads: int) -> None:
    """Count up, and answer how often another was faster."""
    conflicts = []
    with crudjt.open(path, secret_key=secret_key) as store:

        def count() -> None:
            counted = 0
            while counted < times:
                session = store.read(token)
                assert session is not None
                try:
                    assert store.update(token, {"n": session.data["n"] + 1}, if_version=session.version)
                    counted += 1
                except crudjt.VersionConflict:
                    conflicts.append(token)
                    assert len(conflicts) < 1000 * times, "the version that is read is always an old one"

        pipe.send("ready")
        pipe.recv()
        workers = [threading.Thread(target=count) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    pipe.send(len(conflicts))


@contextmanager
def _together(
    function: Callable[..., None], arguments: Sequence[Any], count: int = PROCESSES
) -> Iterator[list[Worker]]:
    """Start processes that say when they are ready, and let all go at the same time."""
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(function, *arguments)) for _ in range(count)]
        for worker in workers:
            worker.receive()
        for worker in workers:
            worker.send("go")
        yield workers
        for worker in workers:
            worker.finish()


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_no_update_with_if_version_is_lost(path: Path, secret_key: str, threads: int) -> None:
    """A counter that four processes raise ends at the exact sum, and they did get into each other's way."""
    times = 300
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({"n": 0})
        with _together(_increment, (path, secret_key, token, times, threads)) as workers:
            conflicts = sum(worker.receive() for worker in workers)
        session = store.read(token)
    assert session is not None
    assert session.data == {"n": PROCESSES * threads * times}
    assert session.version == 1 + PROCESSES * threads * times
    assert conflicts


# A session that moves while its subject is logged out everywhere


class RotatingClock(FakeClock):
    """A clock that rotates a session when it is looked at, for so many times."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0
        self.token = ""
        self.rotate: Callable[[str], str | None] = lambda _token: None

    def __call__(self) -> int:
        if self.times:
            self.times -= 1
            times, self.times = self.times, 0  # the rotate looks at the clock as well
            self.token = self.rotate(self.token) or self.token
            self.times = times
        return super().__call__()


@pytest.mark.parametrize("times", [1, 20])
def test_a_session_that_is_rotated_while_its_subject_is_revoked_ends(path: Path, secret_key: str, times: int) -> None:
    """Each time between the look at the subject's sessions and their end."""
    clock = RotatingClock()
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        clock.token = first = store.create({"n": 0}, subject="anna")
        clock.rotate = store.rotate
        clock.times = times
        store.revoke("anna")
        assert clock.token != first
        assert store.peek(clock.token) is None
        assert list(store.sessions("anna")) == []
        assert store.stats().sessions == 0


def test_a_session_that_moves_to_a_new_key_while_its_subject_is_revoked_ends(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the looks at the sessions of the one key and of the other."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        old = store.create({"n": 0}, subject="anna")
    with crudjt.open(path, secret_key=[secret_key, crudjt.generate_secret_key()], sync_interval=QUIET) as store:
        endings = Engine.endings_with_id
        moved: list[str | None] = []

        def look_and_move(engine: Engine, *arguments: Any, **keywords: Any) -> Any:
            found = endings(engine, *arguments, **keywords)
            if not moved:
                moved.append(store.rotate(old))
            return found

        monkeypatch.setattr(Engine, "endings_with_id", look_and_move)
        store.revoke("anna")
        assert moved[0]
        assert store.peek(moved[0]) is None
        assert list(store.sessions("anna")) == []


# Stale reads

READERS = 3
SLOTS = 64
SUBJECTS = 8


class Board:
    """Words that the processes of a test share.

    For each slot: the token in it and its generation (0 while it is being changed), which generation a writer has begun
    and which it has finished to end, and the number that an update has finished to store. For each reader: how often it
    went over all slots, and per slot the highest number it saw.
    """

    _FIELDS = 7

    def __init__(self, path: Path) -> None:
        size = 8 * (SLOTS * self._FIELDS + READERS * (1 + SLOTS))
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)
        self._words = memoryview(self._map).cast("q")
        columns = [self._words[n * SLOTS : (n + 1) * SLOTS] for n in range(4)]
        self.generation, self.doomed, self.dead, self.floor = columns
        self._tokens = memoryview(self._map)[4 * 8 * SLOTS : 7 * 8 * SLOTS]
        at = self._FIELDS * SLOTS
        self.passes = self._words[at : at + READERS]
        at += READERS
        self.seen = [self._words[at + n * SLOTS : at + (n + 1) * SLOTS] for n in range(READERS)]

    def publish(self, slot: int, token: str, generation: int) -> None:
        self.generation[slot] = 0
        self._tokens[24 * slot : 24 * slot + 22] = token.encode()
        self.generation[slot] = generation

    def token(self, slot: int, generation: int) -> str | None:
        """Return the token of a generation, or ``None`` if the slot has just moved on."""
        token = bytes(self._tokens[24 * slot : 24 * slot + 22]).decode()
        return token if self.generation[slot] == generation else None


def _watch(pipe: Connection, path: Path, secret_key: str, board_path: Path, me: int) -> None:
    """Read all slots over and over; raise at the first answer that is older than what was true before the read."""
    board = Board(board_path)
    held = [(0, "")] * SLOTS
    with crudjt.open(path, secret_key=secret_key) as store:
        pipe.send("ready")
        pipe.recv()
        while not pipe.poll():
            for slot in range(SLOTS):
                generation = board.generation[slot]
                if generation and held[slot][0] != generation:
                    token = board.token(slot, generation)
                    held[slot] = (generation, token) if token else held[slot]
                generation, token = held[slot]
                if not generation:
                    continue
                dead = board.dead[slot] >= generation
                number = max(board.floor[slot], *(seen[slot] for seen in board.seen))
                session = store.read(token)
                if session is None:
                    assert board.doomed[slot] >= generation, f"slot {slot} was lost"
                    continue
                assert not dead, f"slot {slot}: read after its token had ended"
                assert session.data["n"] >= number, f"slot {slot}: {session.data} after {number} was stored or seen"
                board.seen[me][slot] = max(session.data["n"], board.seen[me][slot])
            board.passes[me] += 1
    pipe.send(board.passes[me])


class Writer:
    """Changes the slots of a board, and waits for its readers where their caches are to be full."""

    def __init__(self, store: crudjt.Store, board: Board, readers: list[Worker]) -> None:
        self.store = store
        self.board = board
        self.readers = readers
        self.tokens = [""] * SLOTS
        self.ids = [""] * SLOTS
        self.number = 0
        self.changes = 0

    def fill(self) -> None:
        """Put a new session into each slot that has none."""
        for slot in range(SLOTS):
            if not self.tokens[slot]:
                self.number += 1
                self._place(slot, self.store.create({"n": self.number}, subject=f"s{slot % SUBJECTS}"))

    def settle(self) -> None:
        """Return when every reader has gone twice over all slots."""
        wanted = [passes + 2 for passes in self.board.passes]
        deadline = time.monotonic() + PATIENCE
        while any(passes < want for passes, want in zip(self.board.passes, wanted, strict=True)):
            time.sleep(0.0005)
            for reader in self.readers:
                if reader.has_answered:
                    reader.receive()  # raises what the reader has found
            assert time.monotonic() < deadline, "the readers do not go on"

    def update(self) -> None:
        for slot in range(SLOTS):
            self.number += 1
            assert self.store.update(self.tokens[slot], {"n": self.number})
            self.board.floor[slot] = self.number
            self.changes += 1

    def rotate(self) -> None:
        for slot in range(SLOTS):
            with self._ending([slot]):
                token = self.store.rotate(self.tokens[slot])
            assert token is not None
            self._place(slot, token)

    def delete(self) -> None:
        for slot in range(0, SLOTS, 2):
            with self._ending([slot]):
                assert self.store.delete(self.tokens[slot])

    def delete_many(self) -> None:
        for first in range(0, SLOTS, 4):
            slots = range(first, first + 4)
            with self._ending(slots):
                assert self.store.delete_many([self.tokens[slot] for slot in slots]) == len(slots)

    def revoke(self) -> None:
        for subject in range(SUBJECTS):
            slots = range(subject, SLOTS, SUBJECTS)
            with self._ending(slots):
                assert self.store.revoke(f"s{subject}") == len(slots)

    def revoke_id(self) -> None:
        for slot in range(1, SLOTS, 2):
            with self._ending([slot]):
                assert self.store.revoke_id(self.ids[slot])

    def _place(self, slot: int, token: str) -> None:
        session = self.store.peek(token)
        assert session is not None
        self.tokens[slot], self.ids[slot] = token, session.id
        self.board.floor[slot] = session.data["n"]
        self.board.publish(slot, token, self.board.dead[slot] + 1)

    @contextmanager
    def _ending(self, slots: Sequence[int]) -> Iterator[None]:
        for slot in slots:
            self.board.doomed[slot] = self.board.generation[slot]
        yield
        for slot in slots:
            self.board.dead[slot] = self.board.generation[slot]
            self.changes += 1
        for slot in slots:
            self.tokens[slot] = ""


@contextmanager
def _readers(path: Path, secret_key: str, board: Path) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        readers = [stack.enter_context(Worker(_watch, path, secret_key, board, n)) for n in range(READERS)]
        for reader in readers:
            reader.receive()
            reader.send("go")
        yield readers
        for reader in readers:
            reader.send("stop")
        assert all(reader.receive() > 0 for reader in readers)
        for reader in readers:
            reader.finish()


@pytest.mark.slow
@pytest.mark.parametrize("colliding", [False, True], ids=["spread", "colliding"])
def test_no_read_that_begins_after_a_change_returned_sees_the_state_before_it(
    path: Path, secret_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colliding: bool
) -> None:
    """Thousands of changes against readers with full caches; colliding ids share one pair of words of the cache."""
    if colliding:
        monkeypatch.setattr(tokens, "_pop_chunk", lambda: random_pool.chunks.take()[:2] + b"p" * 6)
    board = Board(tmp_path / "board")
    with (
        crudjt.open(path, secret_key=secret_key) as store,
        _readers(path, secret_key, tmp_path / "board") as readers,
    ):
        writer = Writer(store, board, readers)
        for _ in range(4):
            for change in (
                *[writer.update] * 12, writer.rotate, writer.update, writer.delete, writer.rotate, writer.delete_many,
                writer.update, writer.revoke, writer.rotate, writer.revoke_id, writer.update, writer.revoke,
            ):  # fmt: skip
                writer.fill()
                writer.settle()
                change()
            writer.settle()
        words = {cache_word(bytes.fromhex(handle)) for handle in writer.ids}
        assert (len(words) == 1) is colliding
        assert writer.changes > 2500


@pytest.mark.parametrize("change", ["update", "rotate", "delete"])
def test_a_change_between_looking_and_keeping_is_not_cached_over(
    store: crudjt.Store, path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Another process changes the session after this one has looked it up, and before it keeps what it found."""
    token = store.create({"n": 1})
    get = engine_of(store).get_with_id
    arguments = (token, {"n": 2}) if change == "update" else (token,)
    with StoreProcess(path, secret_key) as other:

        def get_and_lose_the_race(key: bytes) -> tuple[bytes | None, int]:
            found = get(key)
            assert other.call(change, *arguments)
            return found

        with monkeypatch.context() as patch:
            patch.setattr(engine_of(store), "get_with_id", get_and_lose_the_race)
            late = store.read(token)
        assert late is not None
        assert late.data == {"n": 1}
        after = store.read(token)
        other.leave()
    assert (after.data if after else None) == ({"n": 2} if change == "update" else None)


# Limited reads


def _take_all(pipe: Connection, path: Path, secret_key: str, token: str, max_reads: int, threads: int) -> None:
    """Read until the token is used up in every thread; answer what happened."""
    takes: list[Take] = []
    with crudjt.open(path, secret_key=secret_key) as store:

        def read() -> None:
            number = 0
            while number != USED_UP:
                invoked = time.monotonic_ns()
                session = store.read(token)
                returned = time.monotonic_ns()
                if session is None:
                    number = USED_UP
                else:
                    assert session.reads_left is not None
                    number = max_reads - 1 - session.reads_left
                takes.append(Take(invoked, returned, number))

        pipe.send("ready")
        pipe.recv()
        readers = [threading.Thread(target=read) for _ in range(threads)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    pipe.send(takes)


@pytest.mark.slow
@pytest.mark.parametrize("max_reads", [1, 1000])
def test_a_token_with_max_reads_is_read_exactly_so_often_whoever_reads(
    path: Path, secret_key: str, max_reads: int
) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({"a": 1}, max_reads=max_reads)
        with _together(_take_all, (path, secret_key, token, max_reads, 2)) as workers:
            takes = [take for worker in workers for take in worker.receive()]
        assert store.stats().sessions == 0
    assert contradiction(max_reads, takes) is None
    assert sum(take.number != USED_UP for take in takes) == max_reads


def test_a_counted_read_of_an_older_snapshot_counts_again(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another store has counted after the snapshot began, and before the reader noted the word of the session."""
    with (
        crudjt.open(path, secret_key=secret_key, max_cache_bytes=0) as store,
        crudjt.open(path, secret_key=secret_key) as other,
    ):
        token = store.create({}, max_reads=9)
        engine = engine_of(store)
        get, snapshots = engine.get_with_id, list[tuple[bytes | None, int]]()

        def look(key: bytes) -> tuple[bytes | None, int]:
            snapshots.append(get(key))
            return snapshots[0]

        monkeypatch.setattr(engine, "get_with_id", look)
        left = [read(each, token).reads_left for each in (store, other, store)]
    assert left == [8, 7, 6]


class _Interrupted:
    """A clock at whose n-th look, from when it is armed, another store does something."""

    def __init__(self) -> None:
        self.looks = -1
        self.act: Callable[[], object] = _nothing

    def __call__(self) -> int:
        self.looks -= 1
        if self.looks == 0:
            self.act()
        return time.time_ns()


def _nothing() -> None:
    """Do so."""


@pytest.mark.parametrize("is_cached", [False, True])
@pytest.mark.parametrize("look", range(1, 5))
@pytest.mark.parametrize("what", ["read", "update", "rotate", "delete"])
def test_a_counted_read_that_another_store_overtakes_counts_what_that_left(
    path: Path, secret_key: str, what: str, look: int, is_cached: bool
) -> None:
    """At whatever moment: the reader has looked at the session, and has not counted yet."""
    clock = _Interrupted()
    with (
        crudjt.open(path, secret_key=secret_key, clock=clock, max_cache_bytes=10_000) as store,
        crudjt.open(path, secret_key=secret_key) as other,
    ):
        token = store.create({"n": 1}, max_reads=9)
        if is_cached:
            store.read(token)
        left = 8 if is_cached else 9
        acts: dict[str, Callable[[], object]] = {
            "read": lambda: other.read(token),
            "update": lambda: other.update(token, {"n": 2}, max_reads=5),
            "rotate": lambda: other.rotate(token),
            "delete": lambda: other.delete(token),
        }
        clock.looks, clock.act = look, acts[what]
        session = store.read(token)
        if clock.looks > 0:  # it took fewer looks
            assert session is not None
            assert session.reads_left == left - 1
        elif what == "read":
            assert session is not None
            assert session.reads_left == left - 2
        elif what == "update":
            assert session is not None
            assert (session.data, session.reads_left) == ({"n": 2}, 4)
        else:
            assert session is None
            assert store.read(token) is None
            assert store.stats().sessions == (what == "rotate")


# The checker of limited reads


@pytest.mark.parametrize(
    ("wrong", "takes"),
    [
        ("given twice", [Take(0, 1, 0), Take(2, 3, 0)]),
        ("not below", [Take(0, 1, 3)]),
        ("earlier one", [Take(0, 1, 1), Take(2, 3, 0)]),
        ("earlier one", [Take(0, 9, 0), Take(0, 1, 2), Take(2, 3, 1)]),
        ("missing", [Take(0, 1, 1)]),
        ("missing", [Take(0, 1, 0), Take(2, 3, USED_UP)]),
        ("used up", [Take(0, 1, 0), Take(0, 1, USED_UP), Take(0, 1, 1), Take(2, 3, 2)]),
        ("missing", [Take(5, 6, 1), Take(7, 9, UNKNOWN)]),
        ("missing", [Take(0, 1, 0), Take(4, 5, 2), Take(2, 3, USED_UP), Take(6, 9, UNKNOWN)]),
    ],
)
def test_the_checker_rejects_a_history_that_no_order_explains(wrong: str, takes: list[Take]) -> None:
    found = contradiction(3, takes)
    assert found is not None
    assert wrong in found


@pytest.mark.parametrize(
    "takes",
    [
        [],
        [Take(0, 1, 0), Take(2, 3, 1), Take(4, 5, 2), Take(6, 7, USED_UP)],
        [Take(0, 9, 1), Take(0, 9, 0), Take(0, 9, USED_UP), Take(0, 9, 2)],
        [Take(0, 1, 0), Take(2, 3, UNKNOWN), Take(4, 5, 2)],
        [Take(0, 1, 0), Take(2, 3, UNKNOWN)],
        [Take(0, 9, UNKNOWN), Take(3, 9, UNKNOWN), Take(1, 2, 1), Take(4, 5, USED_UP)],
    ],
)
def test_the_checker_accepts_a_history_that_an_order_explains(takes: list[Take]) -> None:
    assert contradiction(3, takes) is None


def _some_order_explains(max_reads: int, takes: list[Take]) -> bool:
    """Try every choice of killed readers that did something, in every order."""
    known = [take for take in takes if take.number != UNKNOWN]
    killed = [take for take in takes if take.number == UNKNOWN]
    choices = (chosen for count in range(len(killed) + 1) for chosen in combinations(killed, count))
    return any(_ordered(max_reads, [*known, *chosen], 0) for chosen in choices)


def _ordered(max_reads: int, takes: list[Take], taken: int) -> bool:
    if not takes:
        return True
    allowed = (taken, UNKNOWN) if taken < max_reads else (USED_UP,)
    for position, take in enumerate(takes):
        rest = takes[:position] + takes[position + 1 :]
        if (
            take.number in allowed
            and all(other.returned >= take.invoked for other in rest)
            and _ordered(max_reads, rest, min(taken + 1, max_reads))
        ):
            return True
    return False


@st.composite
def _histories(draw: st.DrawFn) -> list[Take]:
    moments = st.integers(0, 8)
    takes = []
    for number in draw(st.lists(st.sampled_from([0, 1, 2, USED_UP, UNKNOWN]), max_size=5)):
        invoked, returned = sorted((draw(moments), draw(moments)))
        takes.append(Take(invoked, returned, number))
    return takes


@settings(max_examples=200, database=None)
@given(_histories())
def test_the_checker_agrees_with_trying_every_order(takes: list[Take]) -> None:
    assert (contradiction(3, takes) is None) == _some_order_explains(3, takes)
