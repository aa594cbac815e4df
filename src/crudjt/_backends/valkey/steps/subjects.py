"""List and end the sessions of a subject, which lie at one place together with their indexes."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

from crudjt._backends.valkey.requests import Ask, Reply, Steps
from crudjt._backends.valkey.steps import filing
from crudjt._backends.valkey.steps.commit_requests import MAX_CHANGES
from crudjt._backends.valkey.steps.ending import count_ended
from crudjt._backends.valkey.steps.fetched import Fetched
from crudjt._backends.valkey.steps.records import Records
from crudjt._core.changes import DELETE, SESSION, Change
from crudjt._core.clock import NS_PER_MS
from crudjt._core.header import HEADER_BYTES, TAG_OFFSET, head_of_subject
from crudjt._core.keyring import Key
from crudjt._core.labels import Tags
from crudjt._core.record import label_tags
from crudjt._core.session import Session
from crudjt._core.tokens import token_block

PAGE = 100  # sessions that are fetched together for a listing


class Filed(NamedTuple):
    """Ids from the index of a subject under one secret key."""

    key: Key
    tag: bytes
    ids: list[bytes]


def list_ids(records: Records, subject: str) -> Steps[list[Filed]]:
    """Return all ids of a subject, as of one time.

    Pages by rank would skip sessions while others end.
    """
    filed = yield from look(records, subject)
    yield from records.absent()
    return filed


def fetch_page(records: Records, key: Key, ids: Sequence[bytes]) -> Steps[list[Session]]:
    """Return those sessions of a page that are alive."""
    fetched = yield from records.fetch(ids)
    now_ns, sessions = records.clock(), records.sessions
    found = (sessions.find_id(fetched.get, key, id_) for id_ in ids)
    made = [(each.header.alive(now_ns // NS_PER_MS), sessions.session(each, now_ns)) for each in found if each]
    return [session for alive, session in made if alive]


def pages_of(filed: Sequence[Filed]) -> Iterator[tuple[Key, list[bytes]]]:
    """Yield the ids of a listing in pages."""
    for key, _, ids in filed:
        for start in range(0, len(ids), PAGE):
            yield key, ids[start : start + PAGE]


def revoke(records: Records, subject: str, keep: str | None) -> Steps[int]:
    """End the sessions of a subject until only that of the token `keep` is left; return how many were alive."""
    block = None if keep is None else token_block(keep, "keep")
    kept: set[bytes] = (
        set() if block is None else {key.tokens.id(block) for key in records.sessions.keyring.newest_first}
    )
    ended = 0
    while True:
        passed = len(records.marked)
        filed = yield from look(records, subject, MAX_CHANGES + passed, confirmed=True)
        endings: list[Change] = []
        alive: set[bytes] = set()
        for key, tag, listed in filed:
            ids = [id_ for id_ in listed if id_ not in kept and id_ not in records.marked]
            fetched = yield from records.fetch(ids)
            here = [id_ for id_ in ids if id_ not in records.marked]
            now_ms, tags = records.clock() // NS_PER_MS, Tags(tag, None)
            count, changes = records.sessions.end_filed(fetched, key, tags, here, now_ms)
            there = [id_ for _, id_, _ in changes]
            if count < len(there):  # some have expired
                there = [id_ for id_ in there if records.sessions.end_filed(fetched, key, tags, (id_,), now_ms)[0]]
            alive.update(there)
            endings += _with_labels(changes, fetched)
            if len(changes) < len(here):  # dead ones too: they leave the index
                head = head_of_subject(tag)[0]
                endings += [(DELETE, id_, head) for id_ in here if fetched.get(SESSION + id_) is None]
        if not endings:
            if len(records.marked) > passed:  # there may be more behind them
                continue
            yield from records.absent()
            return ended
        batches = [endings[start : start + MAX_CHANGES] for start in range(0, len(endings), MAX_CHANGES)]
        done = yield from records.end(batches, records.clock() // NS_PER_MS)
        ended += sum(count_ended(batch, each, alive) for batch, each in zip(batches, done, strict=True))


def _with_labels(changes: Sequence[Change], fetched: Fetched) -> list[Change]:
    """Return endings with the label tags of their sessions, if they have any: their entries are removed."""
    if not filing.labelled([changes]):
        return list(changes)
    records = ((id_, head, fetched.get(SESSION + id_) or b"") for _, id_, head in changes)
    return [
        (DELETE, id_, record[:TAG_OFFSET] + head[TAG_OFFSET:] + record[HEADER_BYTES:] if label_tags(record) else head)
        for id_, head, record in records
    ]


def look(records: Records, subject: str, last: int = -1, *, confirmed: bool = False) -> Steps[list[Filed]]:
    """Return the ids of a subject under each secret key, up to a rank.

    The newest key comes last: a rotate moves a session to it, which must not escape to an index that was looked at.
    """
    place = records.sessions.place_of(subject)
    keys = [(key, key.subject_tag(subject)) for key in reversed(records.sessions.keyring.newest_first)]
    indexes = [records.layout.index(place, tag) for _, tag in keys]
    asks = [Ask(index, (b"ZRANGE", index, 0, last)) for index in indexes]
    replies = yield from (records.look(place, asks) if confirmed else _ask(asks))
    return [Filed(*key, cast("list[bytes]", reply.value)) for key, reply in zip(keys, replies, strict=True)]


def _ask(asks: Sequence[Ask]) -> Steps[list[Reply]]:
    return (yield asks)
