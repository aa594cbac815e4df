"""SIGKILL at any instant: what was acknowledged stays, nothing is half done, and the others go on at once."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

import crudjt
from crudjt._backends.embedded.engine.control_block import ControlBlock
from crudjt._backends.embedded.engine.segment import segment_numbers
from crudjt._core.changes import SESSION
from crudjt._filesystem import host
from tests.support.embedded import compact, end_segment, ends_exactly, engine_of, stored
from tests.support.processes import PATIENCE, UNINTERRUPTIBLE, Forker, replayed_content
from tests.support.thorough import every

pytestmark = UNINTERRUPTIBLE

HOURS = 3600.0
SMALL = 2**20  # a view of one mebibyte, which is quick to make
SUBJECT = "s"


# Between any two lines


_PACKAGE = Path(crudjt.__file__).parent
_TRACED = tuple(
    str(_PACKAGE / name) for name in ("_backends/embedded", "_filesystem", "_core/endings.py", "_core/operations.py")
)
# Between their lines nothing outside the process changes, but for a half-made view, which is thrown away, and zeros in
# unused room: a death there is a death before or after the call.
_WITHOUT_EFFECT = {
    "__init__", "_apply", "_replay_segment", "current_boot", "decode_changes", "decode_header", "decode_mark",
    "encode_header", "fill_with_zeros",
    "entries", "entry_at", "file_system", "free_bytes", "load", "open_file", "opened", "segment_numbers",
    "segment_path", "sync_directory", "synced_end", "_whole_copies",
}  # fmt: skip
_MOST_LINES = 2400


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


@pytest.mark.slow
@every(5, long=1)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_process_killed_at_any_line_has_done_all_of_its_operation_or_nothing(
    path: Path, secret_key: str, tmp_path: Path, forker: Forker, name: str, step: int
) -> None:
    """For each line: this process, which has the store open, sees all or nothing done, and can write at once."""
    after = sorted(OPERATIONS[name][1])
    states = []
    with crudjt.open(path, secret_key=secret_key, sync_interval=HOURS) as store:
        for line in range(1, _MOST_LINES, step):
            tokens = _prepare(store)
            ended = forker.run(_act_and_die, path, secret_key, name, tokens, line)
            states.append(_shown(store, tokens))
            assert states[-1] in (BEFORE, after)
            started = time.monotonic()
            other = store.create({})
            assert time.monotonic() - started < PATIENCE
            assert ends_exactly(store), "what the killed process left in the log was not cut off"
            assert _shown(store, tokens) == states[-1], "a later write changed what the killed process had done"
            assert store.delete(other)
            if not ended.killed:
                break
            if not len(states) % (5 if name == "compact" else 25):
                assert replayed_content(path, secret_key, tmp_path / "copy") == stored(store)
        content = stored(store)
        assert replayed_content(path, secret_key, tmp_path / "copy") == content
        assert store.stats().sessions == sum(key.startswith(SESSION) for key in content)
    assert not ended.killed
    assert line > 10  # else nothing was traced
    assert states[0] == BEFORE
    assert states[-1] == after


# While a store is made, or made again


def _open_and_die(path: Path, secret_key: str, boot: host.Boot, line: int) -> None:
    host.current_boot = lambda: boot  # this process ends with the function
    _die_at_line(line)
    crudjt.open(path, secret_key=secret_key, sync_interval=HOURS, max_size=SMALL).close()
    sys.settrace(None)


def _new_boot() -> host.Boot:
    return host.Boot("00000000-0000-0000-0000-000000000000", 0)


@pytest.mark.slow
@every(11, long=2)
def test_a_process_killed_at_any_line_of_the_first_opening_leaves_what_opens(
    secret_key: str, tmp_path: Path, forker: Forker, step: int
) -> None:
    boot = host.current_boot()
    for line in range(1, _MOST_LINES, step):
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


@pytest.mark.slow
@every(21, long=3)
@pytest.mark.parametrize("reason", ["a new boot", "a failed disk"])
def test_a_process_killed_at_any_line_of_a_recovery_leaves_what_recovers_to_the_same(
    path: Path, secret_key: str, tmp_path: Path, forker: Forker, monkeypatch: pytest.MonkeyPatch, reason: str, step: int
) -> None:
    """Base, two segments and a torn tail, killed on the way; sometimes the next attempt is killed, too."""
    content = _make_recoverable(path, secret_key, failed=reason == "a failed disk")
    boot = _new_boot() if reason == "a new boot" else host.current_boot()
    monkeypatch.setattr(host, "current_boot", lambda: boot)
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
