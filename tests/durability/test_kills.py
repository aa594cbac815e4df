"""SIGKILL at any instant: what was acknowledged stays, nothing is half done, and the others go on at once."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

import crudjt
from crudjt import _filesystem
from crudjt._backends.embedded.engine.control_block import ControlBlock
from crudjt._backends.embedded.engine.segment import segment_numbers
from crudjt._core.changes import SESSION
from tests.support.embedded import compact, end_segment, ends_exactly, engine_of, reader_pids, stored
from tests.support.histories import (
    UNKNOWN,
    USED_UP,
    Ledger,
    contradiction,
)
from tests.support.processes import (
    PATIENCE,
    PROMPT,
    UNINTERRUPTIBLE,
    Forker,
    StoreProcess,
    Worker,
    eventually,
    replayed_content,
)

pytestmark = UNINTERRUPTIBLE

HOURS = 3600.0
SMALL = 2**20  # a view of one mebibyte, which is quick to make
SUBJECT = "s"


@pytest.fixture(scope="module")
def forkers() -> Iterator[list[Forker]]:
    forkers: list[Forker] = []
    yield forkers
    for forker in forkers:
        forker.end()


@pytest.fixture
def forker(forkers: list[Forker]) -> Forker:
    """The one that the tests share, as long as none of them failed half-way and left it with work to do."""
    if not forkers or forkers[-1].is_at_work:
        forkers.append(Forker())
    return forkers[-1]


# Between any two lines

_PACKAGE = Path(crudjt.__file__).parent
_TRACED = tuple(str(_PACKAGE / name) for name in ("_backends/embedded", "_filesystem.py", "_core/operations.py"))
# Between their lines nothing outside the process changes, but for a half-made view, which is thrown away: a death there
# is a death before or after the call.
_WITHOUT_EFFECT = {
    "__init__", "_apply", "_replay_segment", "current_boot", "decode_changes", "decode_header", "encode_header",
    "entries", "entry_at", "file_system", "free_bytes", "load", "open_file", "opened", "segment_numbers",
    "segment_path", "sync_directory", "synced_end", "_whole_copies",
}  # fmt: skip
_MOST_LINES = 1000


def _die_at_line(number: int) -> None:
    """Let this process kill itself before it executes so many more lines of the store that may have an effect."""
    left = number

    def local(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
        return local

    def called(frame: FrameType, _event: str, _argument: object) -> Any:
        code = frame.f_code
        return local if code.co_filename.startswith(_TRACED) and code.co_name not in _WITHOUT_EFFECT else None

    sys.settrace(called)


class Tokens(NamedTuple):
    """Three sessions of one subject that an operation may touch; the second and third are good for 2 and 1 reads."""

    plain: str
    limited: str
    last: str


class Shown(NamedTuple):
    """A session of the subject as anybody sees it; `by_token` where one of the prepared tokens stands for it."""

    name: str
    number: int = 0
    reads_left: int | None = None
    ends: bool = False
    by_token: bool = True


Act = Callable[[crudjt.Store, Tokens, Path], object]

PLAIN, LIMITED, LAST = Shown("plain"), Shown("limited", reads_left=2), Shown("last", reads_left=1)
UPDATED, READ_ONCE = Shown("plain", number=1), Shown("limited", reads_left=1)
NEW = Shown("new", by_token=False)
BEFORE = [LAST, LIMITED, PLAIN]


def _compact(store: crudjt.Store, _tokens: Tokens, _path: Path) -> object:
    return compact(store, time.time_ns() // 10**6)


def _reopen(store: crudjt.Store, _tokens: Tokens, path: Path) -> object:
    """Open the store with keys that its manifest does not know yet, so that it is written too."""
    store.close()
    return crudjt.open(path, secret_key=[crudjt.generate_secret_key(), crudjt.generate_secret_key()])


# What is done, and the sessions of the subject after it.
OPERATIONS: dict[str, tuple[Act, list[Shown]]] = {
    "create": (lambda store, _t, _p: store.create({"k": "new", "v": 0}, subject=SUBJECT), [*BEFORE, NEW]),
    "create_many": (
        lambda store, _t, _p: store.create_many([{"k": "new", "v": 0}] * 3, subject=SUBJECT),
        [*BEFORE, NEW, NEW, NEW],
    ),
    "update": (lambda store, t, _p: store.update(t.plain, {"k": "plain", "v": 1}), [LAST, LIMITED, UPDATED]),
    "large update": (
        lambda store, t, _p: store.update(t.plain, {"k": "plain", "v": 1, "large": bytes(4000)}),
        [LAST, LIMITED, UPDATED],
    ),
    "rotate": (lambda store, t, _p: store.rotate(t.plain), [LAST, LIMITED, PLAIN._replace(by_token=False)]),
    "delete": (lambda store, t, _p: store.delete(t.plain), [LAST, LIMITED]),
    "limited read": (lambda store, t, _p: store.read(t.limited), [LAST, READ_ONCE, PLAIN]),
    "last read": (lambda store, t, _p: store.read(t.last), [LIMITED, PLAIN]),
    "read_many": (lambda store, t, _p: store.read_many(t), [READ_ONCE, PLAIN]),
    "revoke": (lambda store, _t, _p: store.revoke(SUBJECT), []),
    "sweep": (lambda store, _t, _p: store.sweep(), BEFORE),
    "sync": (lambda store, _t, _p: store.sync(), BEFORE),
    "compact": (_compact, BEFORE),
    "backup": (lambda store, _t, path: store.backup(path.parent / f"backup-{os.getpid()}"), BEFORE),
    "reopen": (_reopen, BEFORE),
}


def _act_and_die(path: Path, secret_key: str, name: str, tokens: Tokens, line: int) -> None:
    store = crudjt.open(path, secret_key=secret_key, sync_interval=HOURS)
    _die_at_line(line)
    OPERATIONS[name][0](store, tokens, path)
    sys.settrace(None)


def _prepare(store: crudjt.Store) -> Tokens:
    """Begin anew: the three sessions, the plain one in the read cache, and one that has expired."""
    store.revoke(SUBJECT)
    store.sweep()
    if len(segment_numbers(engine_of(store).log_directory)) > 3:  # those who died compacting leave a segment each
        compact(store, 0)
    store.create({"k": "expired"}, ttl=0.001)
    wanted = (("plain", None), ("limited", 2), ("last", 1))
    tokens = Tokens(*(store.create({"k": k, "v": 0}, max_reads=n, subject=SUBJECT) for k, n in wanted))
    assert store.read(tokens.plain) is not None
    return tokens


def _shown(store: crudjt.Store, tokens: Tokens) -> list[Shown]:
    """Return what is there, having checked that each way to look at it says the same."""
    peeked = [store.peek(token) for token in tokens]
    read = store.read(tokens.plain)
    assert (read and read.data) == (peeked[0] and peeked[0].data), "the read cache is stale"
    by_token = {session.id for session in peeked if session}
    sessions = list(store.sessions(SUBJECT))
    assert by_token <= {session.id for session in sessions}
    return sorted(
        Shown(s.data["k"], s.data["v"], s.reads_left, s.expires_at is not None, s.id in by_token) for s in sessions
    )


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_process_killed_at_any_line_has_done_all_of_its_operation_or_nothing(
    path: Path, secret_key: str, tmp_path: Path, forker: Forker, name: str
) -> None:
    """For every line: this process, which has the store open, sees all or nothing done, and can write at once."""
    after = sorted(OPERATIONS[name][1])
    states = []
    with crudjt.open(path, secret_key=secret_key, sync_interval=HOURS) as store:
        for line in range(1, _MOST_LINES):
            tokens = _prepare(store)
            ended = forker.run(_act_and_die, path, secret_key, name, tokens, line)
            states.append(_shown(store, tokens))
            assert states[-1] in (BEFORE, after)
            started = time.monotonic()
            other = store.create({})
            assert time.monotonic() - started < PROMPT
            assert ends_exactly(store), "what the killed process left in the log was not cut off"
            assert _shown(store, tokens) == states[-1], "a later write changed what the killed process had done"
            assert store.delete(other)
            if not ended.killed:
                break
            if not line % (5 if name == "compact" else 25):
                assert replayed_content(path, secret_key, tmp_path / "copy") == stored(store)
        content = stored(store)
        assert replayed_content(path, secret_key, tmp_path / "copy") == content
        assert store.stats().sessions == sum(key.startswith(SESSION) for key in content)
    assert not ended.killed
    assert line > 10  # else nothing was traced
    assert states[0] == BEFORE
    assert states[-1] == after


# While a store is made, or made again


def _open_and_die(path: Path, secret_key: str, boot: _filesystem.Boot, line: int) -> None:
    _filesystem.current_boot = lambda: boot  # this process ends with the function
    _die_at_line(line)
    crudjt.open(path, secret_key=secret_key, sync_interval=HOURS, max_size=SMALL).close()
    sys.settrace(None)


def _new_boot() -> _filesystem.Boot:
    return _filesystem.Boot("00000000-0000-0000-0000-000000000000", 0)


def test_a_process_killed_at_any_line_of_the_first_opening_leaves_what_opens(
    secret_key: str, tmp_path: Path, forker: Forker
) -> None:
    boot = _filesystem.current_boot()
    for line in range(1, _MOST_LINES, 2):
        path = tmp_path / str(line)
        ended = forker.run(_open_and_die, path, secret_key, boot, line)
        with crudjt.open(path, secret_key=secret_key) as store:
            assert store.peek(store.create({"n": line})) is not None
            assert store.stats().sessions == 1
        shutil.rmtree(path)
        if not ended.killed:
            break
    assert not ended.killed
    assert line > 100


@pytest.mark.parametrize(("reason", "step"), [("a new boot", 3), ("a failed disk", 7)])
def test_a_process_killed_at_any_line_of_a_recovery_leaves_what_recovers_to_the_same(
    path: Path, secret_key: str, tmp_path: Path, forker: Forker, monkeypatch: pytest.MonkeyPatch, reason: str, step: int
) -> None:
    """Base, two segments and a torn tail, killed on the way; sometimes the next attempt is killed, too."""
    content = _make_recoverable(path, secret_key, failed=reason == "a failed disk")
    boot = _new_boot() if reason == "a new boot" else _filesystem.current_boot()
    monkeypatch.setattr(_filesystem, "current_boot", lambda: boot)
    for line in range(1, _MOST_LINES, step):
        copy = tmp_path / "copy"
        shutil.copytree(path, copy, ignore=shutil.ignore_patterns("view"))
        ended = forker.run(_open_and_die, copy, secret_key, boot, line)
        if ended.killed and not line % 5:
            forker.run(_open_and_die, copy, secret_key, boot, line)
        with crudjt.open(copy, secret_key=secret_key) as store:
            assert stored(store) == content
            if line % 40 == 1 or not ended.killed:
                store.create({})  # so that the segment before is not the last any more, and must be whole
                new_content = stored(store)
                assert replayed_content(copy, secret_key, tmp_path / "copy of the copy") == new_content
        shutil.rmtree(copy)
        if not ended.killed:
            break
    assert not ended.killed
    assert line > 150


def _make_recoverable(path: Path, secret_key: str, *, failed: bool) -> dict[bytes, bytes]:
    with crudjt.open(path, secret_key=secret_key, max_size=SMALL) as store:
        tokens = store.create_many([{"n": n} for n in range(5)], subject=SUBJECT)
        store.delete(tokens[0])
        compact(store, 0)
        store.update(tokens[1], {"n": -1})
        end_segment(store)
        store.rotate(tokens[2])
        store.delete(tokens[3])
        content = stored(store)
    with max((path / "log").glob("*.log")).open("ab") as segment:
        segment.write(b"torn")
    if failed:
        ControlBlock(path / "control").fail()
    return content


# Processes that end, or stand still, in other ways


def _create_and_leave(path: Path, secret_key: str, count: int) -> list[str]:
    """Return from a process that then ends by ``os._exit``, with its store open and nothing synced."""
    store = crudjt.open(path, secret_key=secret_key, sync_interval=HOURS)
    return [store.create({"n": n}) for n in range(count)]


def test_a_process_that_leaves_by_os_exit_without_closing_loses_nothing(
    path: Path, secret_key: str, forker: Forker
) -> None:
    tokens = forker.run(_create_and_leave, path, secret_key, 100).result
    with crudjt.open(path, secret_key=secret_key) as store:
        sessions = [store.read(token) for token in tokens]
    assert [session and session.data for session in sessions] == [{"n": n} for n in range(100)]


_EXIT_WITHOUT_CLOSING = """
import sys
import crudjt
store = crudjt.open(sys.argv[1], secret_key=sys.argv[2], sync_interval=3600)
print(store.create({"n": 1}))
"""


def test_a_process_that_ends_without_closing_loses_nothing_and_disturbs_nobody(path: Path, secret_key: str) -> None:
    """The interpreter shuts down in order, with the store open: its last sync must find every file still open."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=HOURS) as store:
        ended = subprocess.run(
            [sys.executable, "-c", _EXIT_WITHOUT_CLOSING, path, secret_key],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert ended.stderr == ""
        assert store.stats().unsynced_bytes == 0
        assert store.read(ended.stdout.strip()) is not None
        store.create({})


def test_what_a_dead_process_left_unsynced_the_others_sync(path: Path, secret_key: str, forker: Forker) -> None:
    with (
        StoreProcess(path, secret_key, sync_interval=HOURS) as witness,
        StoreProcess(path, secret_key, sync_interval=HOURS) as writer,
    ):
        writer.call("create", {"n": 1})
        writer.kill()
        assert witness.call("stats").unsynced_bytes > 0
        with crudjt.open(path, secret_key=secret_key, sync_interval=0.01):
            assert eventually(lambda: witness.call("stats").unsynced_bytes == 0)
        witness.leave()


def _read_for_ever(pipe: Connection, path: Path, secret_key: str, token: str) -> None:
    """Read in all ways, until told to stop; answer how often.

    At SIGUSR1 it stops itself, between two steps of the interpreter: a process that is stopped in the instant in which
    LMDB gives it a slot for reading holds up those who ask for a new one (docs/guarantees.md).
    """
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGSTOP))
    with crudjt.open(path, secret_key=secret_key, sync_interval=3600) as store:
        pipe.send("open")
        count = 0
        while not pipe.poll():
            assert store.read(token) is not None
            assert store.peek(token) is not None
            assert len(list(store.sessions(SUBJECT))) == 1
            count += 1
    pipe.send(count)


def _die_reading(path: Path, secret_key: str) -> None:
    """Die with a read of the view begun."""
    store = crudjt.open(path, secret_key=secret_key, sync_interval=HOURS)
    reading = engine_of(store).begin()
    assert reading.id() >= 0
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("by", ["the next opening", "a caretaker"])
def test_what_a_process_killed_in_the_middle_of_a_read_held_is_freed(
    path: Path, secret_key: str, forker: Forker, by: str
) -> None:
    """Its reader slot would keep pages from being used again for as long as anybody has the store open."""
    with StoreProcess(path, secret_key, sync_interval=HOURS) as witness:
        pid = forker.start(_die_reading, path, secret_key)
        assert forker.wait(pid).killed
        interval = HOURS if by == "the next opening" else 0.01
        with crudjt.open(path, secret_key=secret_key, sync_interval=interval) as store:
            store.create({})
            assert eventually(lambda: str(pid) not in reader_pids(store), 1.0)
        witness.leave()


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_stopped_process_disturbs_nobody(path: Path, secret_key: str) -> None:
    """Twenty times, at any moment of its reading, and one that is idle; both go on when they are continued."""
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({"n": 0}, subject=SUBJECT)
        with (
            Worker(_read_for_ever, path, secret_key, token) as reader,
            StoreProcess(path, secret_key) as idle,
        ):
            reader.receive()
            idle.signal(signal.SIGSTOP)
            for n in range(20):
                reader.signal(signal.SIGUSR1)
                assert eventually(lambda: _is_stopped(reader.pid), PATIENCE)
                started = time.monotonic()
                assert store.update(token, {"n": n})
                other = store.create({}, max_reads=1)
                assert store.read(other) is not None
                assert store.sweep() == 0
                store.sync()
                assert compact(store, 0)
                assert time.monotonic() - started < PROMPT
                reader.signal(signal.SIGCONT)
                time.sleep(0.002 * n)  # so that the next stop comes at another moment
            idle.signal(signal.SIGCONT)
            assert idle.call("read", token).data == {"n": 19}
            idle.leave()
            assert reader.ask("stop") > 0
            reader.finish()


# At random

STORM_PROCESSES = 4
STORM_KILLS = 100
STORM_READS = 400
STORM_NOTED = 5_000  # bytes of journal, some eighty lines


class Stormer:
    """A process that does everything to sessions of its own, and writes down before what it tries, after what it did.

    What it writes goes straight to a file, so that it survives the kill. Its sessions have its name as their subject;
    each has a key and a value in its data. An effect says of keys what they will stand for: the value and the reads
    left, or ``None`` for nothing.
    """

    def __init__(self, store: crudjt.Store, journal: Path, name: str, shared: str) -> None:
        self.store = store
        self.name = name
        self.shared = shared
        self.random = random.Random(name)
        self.tokens: dict[str, str] = {}
        self.count = 0
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def run(self) -> None:
        actions = [
            self.create, self.create, self.create, self.create_many, self.update, self.update, self.rotate, self.delete,
            self.delete_many, self.limited, self.revoke_id, self.take, self.take, self.take, self.keep_house,
        ]  # fmt: skip
        deadline = time.monotonic() + 2 * PATIENCE  # should nobody be left to kill it
        while time.monotonic() < deadline:
            self.random.choice(actions)()

    def note(self, kind: str, content: object) -> None:
        os.write(self._journal, json.dumps([kind, content]).encode() + b"\n")

    def new(self) -> dict[str, Any]:
        self.count += 1
        return {"k": f"{self.name}-{self.count}", "v": 0}

    def pick(self, count: int = 1) -> list[str]:
        return self.random.sample(sorted(self.tokens), min(count, len(self.tokens)))

    def create(self) -> None:
        data = self.new()
        self.note("try", {data["k"]: [0, None]})
        self.learn({data["k"]: self.store.create(data, subject=self.name)})

    def create_many(self) -> None:
        many = [self.new() for _ in range(self.random.randint(2, 9))]
        self.note("try", {data["k"]: [0, None] for data in many})
        tokens = self.store.create_many(many, ttl=HOURS, subject=self.name)
        self.learn({data["k"]: token for data, token in zip(many, tokens, strict=True)})

    def update(self) -> None:
        for key in self.pick():
            self.count += 1
            self.note("try", {key: [self.count, None]})
            padding = bytes(self.random.choice([0, 10, 3000]))
            assert self.store.update(self.tokens[key], {"k": key, "v": self.count, "padding": padding})
            self.learn({})

    def rotate(self) -> None:
        for key in self.pick():
            self.note("rotate", key)
            token = self.store.rotate(self.tokens[key])
            assert token is not None
            self.learn({key: token})

    def delete(self) -> None:
        for key in self.pick():
            self.note("try", {key: None})
            assert self.store.delete(self.tokens.pop(key))
            self.learn({})

    def delete_many(self) -> None:
        if keys := self.pick(3):
            self.note("try", dict.fromkeys(keys))
            assert self.store.delete_many([self.tokens.pop(key) for key in keys]) == len(keys)
            self.learn({})

    def limited(self) -> None:
        """Make a token for two reads, and read it once, or until it is gone."""
        data = self.new()
        key = data["k"]
        self.note("try", {key: [0, 2]})
        token = self.store.create(data, max_reads=2, subject=self.name)
        self.note("done", {key: token})
        for left in (1, 0)[: self.random.randint(1, 2)]:
            self.note("try", {key: [0, left] if left else None})
            assert self.store.read(token) is not None
            self.note("done", {})

    def revoke_id(self) -> None:
        for key in self.pick():
            session = self.store.read(self.tokens.pop(key))
            assert session is not None
            self.note("try", {key: None})
            assert self.store.revoke_id(session.id)
            self.learn({})

    def take(self) -> None:
        """Read the token that all processes share, which is good for a limited number of reads."""
        self.note("take", time.monotonic_ns())
        session = self.store.read(self.shared)
        returned = time.monotonic_ns()
        left = None if session is None else session.reads_left
        self.note("took", [returned, USED_UP if left is None else STORM_READS - 1 - left])

    def keep_house(self) -> None:
        self.random.choice([self.store.sync, self.store.sweep, self.store.stats, self.compact])()

    def compact(self) -> None:
        compact(self.store, 0)

    def learn(self, tokens: dict[str, str]) -> None:
        self.tokens.update(tokens)
        self.note("done", tokens)


def _storm(path: Path, secret_key: str, journal: Path, name: str, shared: str) -> None:
    Stormer(crudjt.open(path, secret_key=secret_key, sync_interval=0.02), journal, name, shared).run()


def _has_noted(journal: Path, size: int) -> bool:
    """Tell whether a stormer has come so far that its journal is larger than `size`: this sets the moment of a kill."""
    return journal.exists() and journal.stat().st_size > size


def _assert_ledger_holds(store: crudjt.Store, name: str, ledger: Ledger) -> None:
    actual = {s.data["k"]: [s.data["v"], s.reads_left] for s in store.sessions(name)}
    assert actual in ledger.possible_contents(), f"{name} was killed at {ledger.tried}"
    for key, token in ledger.tokens.items():
        if key not in ledger.doubtful:
            session = store.peek(token)
            assert (session and [session.data["v"], session.reads_left]) == actual.get(key)
    for token in ledger.retired:
        assert store.peek(token) is None
        assert store.read(token) is None


def test_a_storm_of_kills_loses_nothing_that_was_acknowledged(
    path: Path, secret_key: str, tmp_path: Path, forker: Forker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes do everything and are killed at random; what is there in the end is also what a new boot finds."""
    chance = random.Random(STORM_KILLS)
    journals = []
    with crudjt.open(path, secret_key=secret_key) as store:
        shared = store.create({"shared": True}, max_reads=STORM_READS)
        running: list[int] = []
        journal_of: dict[int, Path] = {}
        for n in range(STORM_KILLS + STORM_PROCESSES):
            journals.append(tmp_path / f"journal-{n}")
            running.append(forker.start(_storm, path, secret_key, journals[-1], f"w{n}", shared))
            journal_of[running[-1]] = journals[-1]
            if len(running) <= STORM_PROCESSES and n < STORM_PROCESSES:
                continue
            victim = running.pop(chance.randrange(len(running)))
            assert eventually(partial(_has_noted, journal_of[victim], chance.randrange(STORM_NOTED)), PATIENCE)
            os.kill(victim, signal.SIGKILL)
            assert forker.wait(victim).killed
            started = time.monotonic()
            assert store.delete(store.create({}))
            assert time.monotonic() - started < PROMPT
        for victim in running:
            os.kill(victim, signal.SIGKILL)
            assert forker.wait(victim).killed
        died = time.monotonic_ns()
        store.delete(store.create({}))  # cuts off what the last may have left
        ledgers = {
            f"w{n}": Ledger(journal.read_bytes(), died) for n, journal in enumerate(journals) if journal.exists()
        }
        for name, ledger in ledgers.items():
            _assert_ledger_holds(store, name, ledger)
        takes = [take for ledger in ledgers.values() for take in ledger.takes]
        assert contradiction(STORM_READS, takes) is None
        print(
            "STORM",
            sum(take.number == UNKNOWN for take in takes),
            sum(len(ledger.tokens) for ledger in ledgers.values()),
        )
        assert sum(len(ledger.tokens) for ledger in ledgers.values()) > 500
        content = stored(store)
        assert store.stats().sessions == sum(key.startswith(SESSION) for key in content)
    monkeypatch.setattr(_filesystem, "current_boot", _new_boot)
    with crudjt.open(path, secret_key=secret_key) as store:
        assert stored(store) == content
        for name, ledger in ledgers.items():
            _assert_ledger_holds(store, name, ledger)
