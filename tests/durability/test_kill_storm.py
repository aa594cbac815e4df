"""Processes that do everything at once, and are killed at random."""

import json
import os
import random
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt._core.changes import SESSION
from tests.support.disks import Machine
from tests.support.embedded import compact, stored
from tests.support.histories import USED_UP, Ledger, contradiction
from tests.support.processes import PATIENCE, UNINTERRUPTIBLE, Forker, eventually

pytestmark = UNINTERRUPTIBLE

HOURS = 3600.0

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


@pytest.mark.slow
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
            assert time.monotonic() - started < PATIENCE
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
        assert sum(len(ledger.tokens) for ledger in ledgers.values()) > 500
        content = stored(store)
        assert store.stats().sessions == sum(key.startswith(SESSION) for key in content)
    Machine(monkeypatch)  # another boot
    with crudjt.open(path, secret_key=secret_key) as store:
        assert stored(store) == content
        for name, ledger in ledgers.items():
            _assert_ledger_holds(store, name, ledger)
