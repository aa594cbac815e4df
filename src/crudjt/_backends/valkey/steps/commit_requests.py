"""Changes as the requests that commit them, and those that end sessions."""

from collections.abc import Iterable, Mapping, Sequence

from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.requests import Ask
from crudjt._backends.valkey.scripts import COMMIT, END, FILE, INSERT_ONE, REPLACE_ONE
from crudjt._backends.valkey.steps.fetched import Fetched
from crudjt._core.changes import DELETE, INSERT, REPLACE, SESSION, Change
from crudjt._core.header import EXPIRES, FLAGS_OFFSET, HAS_LABELS, HEADER_BYTES, NO_SUBJECT, SUBJECT_TAG, expires_of
from crudjt._core.moves import MARK_FORMAT
from crudjt._core.record import NONCE, each_label_tag
from crudjt._core.tokens import ID_BYTES, PLACE

MAX_CHANGES = 500  # of one script, which then takes a server 10 ms

_GRACE_MS = 10_000  # the header decides when a session ends; the server frees its memory some time later
_LETTERS = {INSERT: b"I", REPLACE: b"R"}  # of the commit script
_NEVER = bytes(8)  # the deadline of a session that has none


def commit_request(
    layout: Layout,
    changes: Sequence[Change],
    fetched: Fetched | None,
    now_ms: int,
    replicas: int,
    listed: Mapping[bytes, bytes] | None = None,
    *,
    again: bool = False,
    repeat: bool = False,
) -> Ask:
    """Return the request that commits changes of one place, all or none.

    Args:
        layout: the keys of the store.
        changes: the changes.
        fetched: the records that they rest on; ``None`` to end sessions whatever is there.
        now_ms: the time of the decision.
        replicas: how many must have the changes.
        listed: the SHA-1 that the ids of indexes must have, by their key.
        again: the request was sent before, and its reply was lost.
        repeat: the request may be sent again where its reply is lost.

    """
    session, index = layout.session, layout.index
    keys: list[bytes] = []
    values: list[bytes | int] = [now_ms, int(again)]
    epoch: tuple[bytes, ...] = ()
    for kind, id_, record in changes:
        key, tag = session(id_), record[SUBJECT_TAG]
        keys += key, key if tag == NO_SUBJECT else index(id_[PLACE], tag)
        if fetched is None:
            values += b"X", b"", b"", b"", b"", id_
            continue
        nonce = b"" if kind == INSERT else (fetched.get(SESSION + id_) or b"")[NONCE]
        if kind == DELETE:
            values += b"D", nonce, b"", b"", b"", id_
        else:
            values += _LETTERS[kind], nonce, record, *lifetime(record, now_ms), id_
            if kind == INSERT and record[0] != MARK_FORMAT:
                epoch = (layout.epoch(id_[PLACE]),)
    for index_key, sha1 in (listed or {}).items():
        keys += index_key, index_key
        values += b"C", sha1, b"", b"", b"", b""
    return Ask(keys[0], (len(keys) + len(epoch), *keys, *epoch, *values), COMMIT, replicas, repeat)


def request_for_one(
    layout: Layout, change: Change, at: bytes, there: bytes | None, now_ms: int, replicas: int
) -> Ask | None:
    """Return the request that commits a single change in the shortest way; ``None`` if the session has labels.

    Args:
        layout: the keys of the store.
        change: the change.
        at: the key of its session.
        there: the record that it rests on.
        now_ms: the time of the decision.
        replicas: how many must have the change.

    """
    kind, id_, record = change
    expires = record[EXPIRES]
    px = () if expires == _NEVER else (str(lifetime(record, now_ms)[0]).encode(),)
    if kind == REPLACE and there and expires == there[EXPIRES]:
        return Ask(at, (b"1", at, there[NONCE], record, *px), REPLACE_ONE, replicas, False)  # noqa: FBT003 - as fast as can be
    if record[FLAGS_OFFSET] >= HAS_LABELS:
        return None
    if kind == INSERT and record[SUBJECT_TAG] == NO_SUBJECT and record[0] != MARK_FORMAT:
        args = (b"2", at, layout.epoch(id_[PLACE]), record, *px)
        return Ask(at, args, INSERT_ONE, replicas, False)  # noqa: FBT003 - as above
    return commit_request(layout, (change,), Fetched({SESSION + id_: there}), now_ms, replicas)


def ending_request(layout: Layout, changes: Sequence[Change], now_ms: int, replicas: int) -> Ask:
    """Return the request that ends sessions of one place, whatever is there. It may be sent again."""
    tag = changes[0][2][SUBJECT_TAG]
    if any(record[SUBJECT_TAG] != tag for _, _, record in changes):
        return commit_request(layout, changes, None, now_ms, replicas, repeat=True)
    keys = layout.sessions([id_ for _, id_, _ in changes])
    index = keys[0] if tag == NO_SUBJECT else layout.index(changes[0][1][PLACE], tag)
    return Ask(keys[0], (len(keys) + 1, index, *keys, now_ms), END, replicas)


def writing_request(layout: Layout, place: bytes, replicas: int) -> Ask:
    """Return a request that writes to a place and changes nothing: it ends a session that never was."""
    never = bytes(PLACE.start) + place + bytes(ID_BYTES - PLACE.stop)
    return commit_request(layout, [(DELETE, never, bytes(HEADER_BYTES))], None, 0, replicas, repeat=True)


def filing_requests(layout: Layout, records: Iterable[tuple[bytes, bytes]], now_ms: int, replicas: int) -> list[Ask]:
    """Return the requests that file sessions under their labels, from their ids and records or marks."""
    return [
        Ask(key, (1, key, now_ms, lifetime(record, now_ms)[1], id_), FILE, replicas)
        for id_, record in records
        for key in map(layout.label, each_label_tag(record))
    ]


def lifetime(record: bytes, now_ms: int) -> tuple[int | bytes, int | bytes]:
    """Return how long a server keeps a record, in ms, and its score in the index, as the scripts take them."""
    expires = expires_of(record)
    return (max(expires - now_ms + _GRACE_MS, 1), expires) if expires else (b"", b"+inf")


def in_places(changes: Iterable[Change]) -> list[list[Change]]:
    """Return changes in batches of one place each, of at most `MAX_CHANGES`."""
    places: dict[bytes, list[list[Change]]] = {}
    for change in changes:
        batches = places.setdefault(change[1][PLACE], [[]])
        if len(batches[-1]) == MAX_CHANGES:
            batches.append([])
        batches[-1].append(change)
    return [batch for batches in places.values() for batch in batches]
