"""Deliberate defects of the store on servers, as those of `defects`: functions that replace others in this process.

Those of the commit script change its text, since it runs in the server.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

from crudjt._backends.valkey.connections import Connections
from crudjt._backends.valkey.pool import Pool
from crudjt._backends.valkey.requests import LOST, Ask, Reply, Script, Steps
from crudjt._backends.valkey.scripts import COMMIT, END, FIELDS, REPLACE_ONE
from crudjt._backends.valkey.shortcut import Attempt, Shortcut
from crudjt._backends.valkey.steps import changing, commit_requests, filing, sealed_records
from crudjt._backends.valkey.steps.fetched import Conflict, Fetched, Outcome
from crudjt._backends.valkey.steps.records import Records
from crudjt._core.changes import SESSION, Change
from crudjt._core.operations import Sessions
from crudjt._core.tokens import PLACE_BYTES
from tests.faults.defects import around, replace

Batches = Sequence[Sequence[Change]]


def _change_script(*changes: tuple[str, str]) -> None:
    text = COMMIT.text.decode()
    for old, new in changes:
        assert text.count(old) == 1, f"the commit script has no {old!r} any more"
        text = text.replace(old, new)
    replace(commit_requests, "COMMIT", Script(text))


def commit_does_not_compare() -> None:
    _change_script(("kind ~= 'X' and nonce ~= ARGV[a + 1]", "false"))
    text, comparison = REPLACE_ONE.text.decode(), "redis.call('GETRANGE', KEYS[1], 64, 87) ~= ARGV[1]"
    assert text.count(comparison) == 1
    replace(commit_requests, "REPLACE_ONE", Script(text.replace(comparison, "false")))


def _commit_one_like_many(
    self: Records, change: Change, _at: bytes, there: bytes | None, now_ms: int, replicas: int
) -> Steps[Outcome]:
    (outcome,) = yield from self.commit([[change]], Fetched({SESSION + change[1]: there}), now_ms, replicas)
    return outcome


def ending_of_nothing_does_not_write() -> None:
    writing = "redis.call('SET', key, ''); redis.call('UNLINK', key)"
    _change_script((writing, ""))
    text = END.text.decode()
    assert text.count(writing) == 1
    replace(commit_requests, "END", Script(text.replace(writing, "")))


def put_before_the_endings() -> None:
    """The two loops of the script change places."""
    text = COMMIT.text.decode()
    first = text.index("for i = 1, n do", text.index("found[i] = "))
    second = text.index("for i = 1, n do", first + 1)
    last = text.index("for index in pairs(touched)")
    replace(commit_requests, "COMMIT", Script(text[:first] + text[second:last] + text[first:second] + text[last:]))


def index_written_outside_of_the_script() -> None:
    def request(original: Callable[..., Ask], *arguments: Any, **keywords: Any) -> Ask:
        ask = original(*arguments, **keywords)
        count = int(ask.args[0])
        keys, values = list(ask.args[1 : 1 + count]), ask.args[1 + count :]
        for number in range(count // 2):
            if values[2 + FIELDS * number] in (b"I", b"R"):
                keys[2 * number + 1] = keys[2 * number]
        return ask._replace(args=(count, *keys, *values))

    def commit(
        original: Callable[..., Steps[list[Outcome]]],
        self: Records,
        batches: Batches,
        *rest: Any,
        **keywords: Any,
    ) -> Steps[list[Outcome]]:
        outcomes = yield from original(self, batches, *rest, **keywords)
        later = [
            Ask(self.layout.session(id_), ("ZADD", self.layout.index(id_[8:10], record[48:64]), "+inf", id_))
            for changes, outcome in zip(batches, outcomes, strict=True)
            for _, id_, record in changes
            if any(record[48:64]) and not isinstance(outcome, Conflict)
        ]
        if later:
            yield later
        return outcomes

    around(sealed_records, "commit_request", request)
    around(Records, "commit", commit)
    replace(Records, "commit_one", _commit_one_like_many)


def labels_filed_after_the_session() -> None:
    file = Records.file

    def nothing(_self: Records, *_arguments: Any) -> Steps[None]:
        yield from ()

    def commit(
        original: Callable[..., Steps[list[Outcome]]],
        self: Records,
        batches: Batches,
        fetched: Fetched,
        now_ms: int,
        replicas: int,
        **keywords: Any,
    ) -> Steps[list[Outcome]]:
        outcomes = yield from original(self, batches, fetched, now_ms, replicas, **keywords)
        yield from file(self, filing.to_file(filing.labelled(batches)), now_ms, replicas)
        return outcomes

    replace(Records, "file", nothing)
    around(Records, "commit", commit)


def acknowledgements_ignored() -> None:
    replace(Records, "_require_acknowledged", lambda *_arguments: None)


def wait_sent_to_another_node() -> None:
    def take(original: Callable[..., Any], self: Shortcut, pool: Pool, asks: Sequence[Ask], deadline: float) -> Any:
        return None if any(ask.replicas for ask in asks) else original(self, pool, asks, deadline)

    def replies(
        original: Callable[..., tuple[list[Reply], bool]],
        self: Connections,
        asks: Sequence[Ask],
        attempt: Attempt | None,
        deadline: float,
    ) -> tuple[list[Reply], bool]:
        wanted = max((ask.replicas for ask in asks), default=0)
        if not wanted:
            return original(self, asks, attempt, deadline)
        found, lost = original(self, [ask._replace(replicas=0) for ask in asks], None, deadline)
        owner = self.topology.owner(asks[0].key or b"")
        other = next(node for node in self.topology.primaries if node != owner)
        [waited], _ = original(self, [Ask(None, (b"WAIT", wanted, 100), node=other)], None, deadline)
        return [reply._replace(acknowledged=cast("int", waited.value)) for reply in found], lost

    around(Shortcut, "take", take)
    around(Connections, "_replies", replies)


def lost_answer_sent_again_as_new() -> None:
    def commit(
        original: Callable[..., Steps[list[Outcome]]], self: Records, batches: Batches, *rest: Any, **keywords: Any
    ) -> Steps[list[Outcome]]:
        while True:
            outcomes = yield from original(self, batches, *rest, **{**keywords, "may_be_twice": True})
            if LOST not in outcomes:
                return outcomes

    around(Records, "commit", commit)
    replace(Records, "commit_one", _commit_one_like_many)


def place_from_the_newest_key() -> None:
    def place_of(self: Sessions, subject: str) -> bytes:
        return self.keyring.newest.subject_tag(subject)[:PLACE_BYTES]

    def sessions(original: Callable[..., None], self: Sessions, *arguments: Any) -> None:
        original(self, *arguments)
        self.place_of = lambda subject: place_of(self, subject)

    around(Sessions, "__init__", sessions)


def login_ends_the_old_session_first() -> None:
    def move(self: Records, old: Change, new: Change, fetched: Fetched, now_ms: int) -> Steps[Outcome]:
        (outcome,) = yield from self.commit([[old]], fetched, now_ms, 0)
        if not isinstance(outcome, Conflict):
            (outcome,) = yield from self.commit([[new]], fetched, now_ms, 0)
        return outcome

    replace(changing, "move", move)
