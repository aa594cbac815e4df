"""Fetch records, commit changes that rest on them, and recognise a commit whose reply was lost."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.manifest import moved, read_manifest
from crudjt._backends.valkey.requests import LOST, Ask, Gets, Reply, Steps
from crudjt._backends.valkey.steps import filing
from crudjt._backends.valkey.steps.commit_requests import (
    commit_request,
    ending_request,
    filing_requests,
    request_for_one,
    writing_request,
)
from crudjt._backends.valkey.steps.fetched import Conflict, Done, Fetched, Outcome, Refused, outcome_of
from crudjt._core.changes import DELETE, SESSION, Change
from crudjt._core.moves import MARK_FORMAT
from crudjt.errors import StoreMoved, StoreUnavailable

_NOT_KNOWN = "no answer came; the change may have been carried out or not"
_CHANGED = Done([True], repeated=False)
_DONE = (b"1", b"0")  # replies to the commit of one change


class Durability(NamedTuple):
    """How many replicas must have a change before a call returns."""

    changes: int
    endings: int  # of what ends a session


class SealedRecords:
    """The records of one store on the servers, without the keys that open them.

    Attributes:
        location: of the store, for errors.
        layout: the keys of its namespace.
        durability: what each change waits for.

    """

    def __init__(self, location: str, layout: Layout, durability: Durability) -> None:
        """Take the namespace and what changes wait for; nothing is sent."""
        self.location = location
        self.layout = layout
        self.durability = durability

    def fetch(self, ids: Iterable[bytes]) -> Steps[Fetched]:
        """Fetch the records of sessions."""
        ids = list(ids)
        if len(ids) == 1:
            key, reader_key = self.layout.session(ids[0]), SESSION + ids[0]
            (reply,) = yield (Ask(key, (b"GET", key)),)
            value: Any = reply.value
            if value and value[0] == MARK_FORMAT:
                value = yield from self.met(ids[0], value)
            return Fetched({reader_key: value})
        return (yield from self.fetched(ids, (yield from self.values(self.layout.sessions(ids)))))

    def values(self, keys: list[bytes], while_waiting: Callable[[], object] = int) -> Steps[list[bytes | None]]:
        """Fetch the values of sessions' keys: records and marks. The driver may call `while_waiting` while it waits."""
        if not keys:
            return []
        (reply,) = yield Gets(keys, self.layout.tag, while_waiting)
        return cast("list[bytes | None]", reply.value)

    def fetched(self, ids: Sequence[bytes], values: Sequence[bytes | None]) -> Steps[Fetched]:
        """Return the records of sessions from the values of their keys."""
        records = dict(zip([SESSION + id_ for id_ in ids], values, strict=True))
        for key, value in records.items():
            if value and value[0] == MARK_FORMAT:
                records[key] = yield from self.met(key[len(SESSION) :], value)
        return Fetched(records)

    def commit(
        self,
        batches: Sequence[Sequence[Change]],
        fetched: Fetched,
        now_ms: int,
        replicas: int,
        *,
        may_be_twice: bool = False,
        listed: Mapping[bytes, bytes] | None = None,
    ) -> Steps[list[Outcome]]:
        """Commit batches of changes, each of one place and each all or none, if what they rest on is still there.

        A batch whose reply is lost is sent once more, marked so: its new records show whether it was carried out.

        Args:
            batches: the changes.
            fetched: the records that they rest on.
            now_ms: the time of the decision.
            replicas: how many must have the changes.
            listed: the SHA-1 that the ids of indexes must have, by their key; each is at the place of the changes.
            may_be_twice: answer `LOST` for a batch whose reply is lost, and do not wait for the replicas to confirm.

        Raises:
            StoreUnavailable: it is not known whether the changes were carried out, or too few replicas have them.
            StoreMoved: a record was to be inserted, and the sessions are moved elsewhere.

        """
        labelled = filing.labelled(batches)
        if labelled:
            yield from self.file(filing.to_file(labelled), now_ms, replicas)
        replies = yield [commit_request(self.layout, changes, fetched, now_ms, replicas, listed) for changes in batches]
        settling = self._settled(batches, fetched, now_ms, replicas, replies, listed, may_be_twice=may_be_twice)
        outcomes = yield from settling
        if labelled:
            yield from filing.remove(self.layout, batches, outcomes)
        return outcomes

    def commit_one(self, change: Change, at: bytes, there: bytes | None, now_ms: int, replicas: int) -> Steps[Outcome]:
        """Commit a single change as `commit` does, in the shortest way.

        Args:
            change: the change.
            at: the key of its session.
            there: the record that it rests on.
            now_ms: the time of the decision.
            replicas: how many must have the change.

        """
        request = request_for_one(self.layout, change, at, there, now_ms, replicas)
        if request is None:
            return (yield from self.commit([[change]], Fetched({SESSION + change[1]: there}), now_ms, replicas))[0]
        replies = yield (request,)
        (reply,) = replies
        if reply.value in _DONE and reply.acknowledged >= replicas:
            return _CHANGED
        fetched = Fetched({SESSION + change[1]: there})
        (outcome,) = yield from self._settled([[change]], fetched, now_ms, replicas, replies)
        return outcome

    def _settled(
        self,
        batches: Sequence[Sequence[Change]],
        fetched: Fetched,
        now_ms: int,
        replicas: int,
        replies: list[Reply],
        listed: Mapping[bytes, bytes] | None = None,
        *,
        may_be_twice: bool = False,
    ) -> Steps[list[Outcome]]:
        """Return what came of batches of changes, and ask again for those whose replies were lost."""
        lost = [number for number, reply in enumerate(replies) if reply.value is LOST]
        if lost and not may_be_twice:
            if any(all(kind == DELETE for kind, _, _ in batches[number]) for number in lost):
                raise self.unavailable(_NOT_KNOWN)  # nothing is left that would show who ended the session
            asked = yield [
                commit_request(self.layout, batches[number], fetched, now_ms, replicas, listed, again=True)
                for number in lost
            ]
            for number, reply in zip(lost, asked, strict=True):
                if not isinstance(reply.value, bytes):
                    raise self.unavailable(_NOT_KNOWN)
                replies[number] = reply
        try:
            outcomes = [outcome_of(changes, reply) for changes, reply in zip(batches, replies, strict=True)]
        except Refused:
            raise (yield from self.moved()) from None
        if not may_be_twice:
            self._require_acknowledged(outcomes, replies, replicas)
        for number, outcome in enumerate(outcomes):
            if isinstance(outcome, Conflict) and outcome.record and outcome.record[0] == MARK_FORMAT:
                outcomes[number] = Conflict(outcome.id, (yield from self.met(outcome.id, outcome.record)))
        return outcomes

    def end(self, batches: Sequence[Sequence[Change]], now_ms: int) -> Steps[list[Done]]:
        """End sessions, each batch those of one place, whatever is there now. It is sent until there is an answer.

        It writes also where there is nothing to end: that may be due to an ending of another process which no replica
        has yet, and this write comes after it.

        Raises:
            StoreUnavailable: too few replicas have the endings.

        """
        replies = yield [ending_request(self.layout, changes, now_ms, self.durability.endings) for changes in batches]
        ended: list[Done] = []
        for changes, reply in zip(batches, replies, strict=True):
            ended.append((yield from self._ended(changes, reply, now_ms)))
        if filing.labelled(batches):
            yield from filing.remove(self.layout, batches, ended)
        return ended

    def file(self, records: Iterable[tuple[bytes, bytes]], now_ms: int, replicas: int) -> Steps[None]:
        """File sessions under their labels, from their ids and records or marks, before anything of them is there.

        Raises:
            StoreUnavailable: too few replicas have the entries.

        """
        asks = filing_requests(self.layout, records, now_ms, replicas)
        replies = (yield asks) if asks else []
        self.require(min((reply.acknowledged for reply in replies), default=replicas), replicas, "the entry of a label")

    def _ended(self, changes: Sequence[Change], reply: Reply, now_ms: int) -> Steps[Done]:
        """Return what a batch has ended. What is marked stays, and the others are ended without it."""
        left = list(changes)
        while isinstance(outcome := outcome_of(left, reply), Conflict):
            yield from self.met(outcome.id, outcome.record or b"")
            left = [change for change in left if change[1] != outcome.id]
            if not left:
                return Done([False] * len(changes), repeated=False)
            (reply,) = yield [ending_request(self.layout, left, now_ms, self.durability.endings)]
        assert isinstance(outcome, Done), "an ending is sent until there is an answer"
        self._require_acknowledged([outcome], [reply], self.durability.endings)
        found = dict(zip((change[1] for change in left), outcome.found, strict=True))
        return Done([found.get(change[1], False) for change in changes], outcome.repeated)

    # A store whose sessions are moved elsewhere

    def met(self, id_: bytes, mark: bytes) -> Steps[bytes | None]:  # noqa: ARG002 - for stores that know the id
        """Return what a caller is to see of a session that has a mark."""
        yield from ()
        return mark

    def absent(self) -> Steps[None]:
        """Check that a session that was not found is not elsewhere."""
        yield from ()

    def moved(self) -> Steps[StoreMoved]:
        """Return the error for a store whose sessions are moved elsewhere."""
        found = yield from read_manifest(self.location, self.layout)
        assert found.departure is not None, "it is noted before anything else is done"
        return moved(self.location, found.departure)

    def look(self, place: bytes, asks: Sequence[Ask]) -> Steps[list[Reply]]:
        """Look at keys of a place, and return when replicas have all endings there that the replies are due to.

        Raises:
            StoreUnavailable: too few replicas have them.

        """
        if not self.durability.endings:
            return (yield asks)
        *replies, last = yield [*asks, self.writing(place, self.durability.endings)]
        self._require_acknowledged([Done([], repeated=False)], [last], self.durability.endings)
        return replies

    def writing(self, place: bytes, replicas: int) -> Ask:
        """Return a request that writes to a place and changes nothing."""
        return writing_request(self.layout, place, replicas)

    def unavailable(self, reason: str) -> StoreUnavailable:
        """Return the error for what has no answer."""
        return StoreUnavailable(self.location, reason)

    def require(self, acknowledged: int, replicas: int, what: str) -> None:
        """Raise if too few replicas have what was written for a move."""
        if acknowledged < replicas:
            raise self.unavailable(f"only {acknowledged} of {replicas} replicas have {what}")

    def _require_acknowledged(self, outcomes: Sequence[Outcome], replies: Sequence[Reply], replicas: int) -> None:
        for outcome, reply in zip(outcomes, replies, strict=True):
            if isinstance(outcome, Done) and reply.acknowledged < replicas:
                raise self.unavailable(
                    f"the change was carried out, but only {reply.acknowledged} of {replicas} replicas have it, so a "
                    "failover may undo it"
                )
