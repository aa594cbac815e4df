"""Processes that share a few sessions, some of them killed: the answers must fit one order.

Everybody reads, updates with and without a version, rotates, deletes and revokes the same sessions through whatever
tokens it knows, old ones too, also from its read cache.
"""

import shutil
import time
from pathlib import Path
from random import Random

import crudjt
from tests.faults.model.asking import Asker, Board, Log, calls_of, read_log, subject
from tests.faults.model.linearizability import SessionState, by_time, contradiction
from tests.faults.model.lives import finished
from tests.faults.tally import Tally, Violation
from tests.support.processes import Fork

PROCESSES = 3
SESSIONS = 4
OPERATIONS = 60
SHARED_READS = 40


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Play as many histories."""
    tally = Tally()
    for number in range(rounds):
        place = directory / str(number)
        place.mkdir()
        one_history(Random(f"{seed} {number}"), place, tally)
        shutil.rmtree(place)
    return tally


def one_history(random: Random, directory: Path, tally: Tally) -> None:
    key = crudjt.generate_secret_key()
    board = Board(directory / "board", SESSIONS)
    limits = [SHARED_READS if random.random() < 0.3 else 0 for _ in range(SESSIONS)]
    finished(Fork(_create, directory / "store", key, board, limits), [])
    logs = [directory / f"log-{n}" for n in range(PROCESSES)]
    seeds = [random.random() for _ in logs]
    running = [
        Fork(_take_part, directory / "store", key, board, log, seed) for log, seed in zip(logs, seeds, strict=True)
    ]
    try:
        if random.random() < 0.6:
            time.sleep(random.uniform(0.01, 0.06))
            running[0].kill()
            tally.kills += 1
        for each in running:
            finished(each, [])
    finally:
        for each in running:
            each.end()
    logs.append(directory / "log-last")
    finished(Fork(_look, directory / "store", key, board, logs[-1]), [])
    for session, tokens in enumerate(board.tokens()):
        calls = [call for log in logs for call in calls_of(read_log(log), session, tokens)]
        tally.operations += len(calls)
        unplaced = contradiction(SessionState(0, 0, 1, limits[session]), calls)
        if unplaced is not None:
            history = [*sorted(calls, key=by_time), "unplaced", *unplaced]
            raise Violation("no order of the operations explains the answers", history)


def _create(path: Path, key: str, board: Board, limits: list[int]) -> None:
    with crudjt.open(path, secret_key=key) as store:
        for session, reads in enumerate(limits):
            board.tell(session, store.create({"v": 0}, max_reads=reads or None, subject=subject(session)))


def _take_part(path: Path, key: str, board: Board, log: Path, seed: float) -> None:
    """Ask what comes to mind."""
    random = Random(seed)
    with crudjt.open(path, secret_key=key) as store:
        asker = Asker(store, board, Log(log))
        for _ in range(OPERATIONS):
            session = random.randrange(SESSIONS)
            token = random.choice(board.tokens()[session][-2:])
            chance = random.random()
            if chance < 0.01:
                asker.ask(session, "revoke", None, lambda: store.revoke(subject(session)))  # noqa: B023 - called at once
            elif chance < 0.02:
                asker.delete(session, token)
            elif chance < 0.12:
                asker.rotate(session, token)
            elif chance < 0.40:
                asker.update(session, token, random.randrange(10**6), None)
            elif chance < 0.5:
                asker.update(session, token, random.randrange(10**6), random.randrange(1, 12))
            elif chance < 0.55:
                asker.peek(session, token)
            else:
                asker.read(session, token)


def _look(path: Path, key: str, board: Board, log: Path) -> None:
    """Read every token once more, when all is over."""
    with crudjt.open(path, secret_key=key) as store:
        asker = Asker(store, board, Log(log))
        for session, tokens in enumerate(board.tokens()):
            for token in tokens:
                asker.peek(session, token)
