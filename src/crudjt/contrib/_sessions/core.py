"""The rules of a browser's session as a state machine without I/O: what a request found and left, and what follows.

`save` is a generator. It yields calls of a store as values, is sent their answers, and returns `Done`. A driver carries
the calls out: `sync.run` on a `Store`, `asynchronous.run` on an `AsyncStore`. A `VersionConflict` is sent in as an
answer; any other error of the store is thrown in, and comes out again. A session is created or rotated by the last call
only, so that no later call can fail and leave a session that no browser knows. Where nearly all requests leave a write
that needs none of this, the adapters make it themselves: see `plain`.
"""

import logging
from collections.abc import Callable, Generator
from typing import Any, Literal

from msgspec.structs import replace

from crudjt._core.validation import KEEP, KeepType
from crudjt.contrib._device_bound.binding import binding_of, offered, rebound
from crudjt.contrib._sessions.calls import Call, Create, Data, Delete, Lifetime, Peek, Rotate, Touch, Update
from crudjt.contrib._sessions.merge import merge, storable
from crudjt.contrib._sessions.reserved import is_bare
from crudjt.contrib._sessions.states import Done, Held, Left, Phase
from crudjt.errors import CrudjtError, VersionConflict

logger = logging.getLogger("crudjt.contrib")

_MAX_CONFLICTS = 100  # each is another request that has written: a hundred in a row is a fault


Steps = Generator[Call, Any, Done]


def save(held: Held | None, left: Left) -> Steps:
    """Store what a request left; yield the calls of the store, and return what follows.

    Raises:
        InvalidParameter: the data cannot be stored. Nothing was written then, but a logout holds.
        StoreError: the store failed.

    """
    if left.phase is Phase.FAILED:
        return (yield from _end(held)) if left.ends and held is not None else Done("keep", held)
    if held is None:
        return Done("keep", None) if left.is_empty else (yield from _begin(left, left.data))
    if left.ends:
        return (yield from _replace(held, left))
    late = left.phase is Phase.AFTER_HEADERS
    if (left.login or left.rotates) and not late:
        return (yield from _rotate(held, left))
    return (yield from _update(held, left))


def _begin(left: Left, data: Data, *, otherwise: Literal["keep", "forget"] = "keep") -> Steps:
    """Start a session with data that may be less than what the request left."""
    data = offered(data, left.binds)
    merged = None if data is left.data else data
    lifetime = left.lifetime(data, None)
    if isinstance(lifetime.ttl, int | float) and lifetime.ttl <= 0:
        return Done("forget", None, merged)
    if left.phase is Phase.AFTER_HEADERS:
        logger.warning("session data was set after the response had begun; no cookie can be sent, so it is not stored")
        return Done(otherwise, None, merged)
    stored, after = storable(data)
    token = yield Create(stored, left.subject, lifetime, left.room, left.client, left.labels or ())
    return Done("set", Held(token, None, left.subject, 1, after, None, binding_of(data)), merged)


def _end(held: Held) -> Steps:
    alive = yield Delete(held.token)
    return Done("forget", None, gone=not alive)


def _replace(held: Held, left: Left) -> Steps:
    """End a session, and begin another where something was set afterwards: both in one transaction."""
    if left.is_empty or left.phase is Phase.AFTER_HEADERS:
        done = yield from _end(held)
        return done if left.is_empty else (yield from _begin(left, left.data, otherwise="forget"))
    lifetime = left.lifetime(left.data, None)
    if isinstance(lifetime.ttl, int | float) and lifetime.ttl <= 0:
        return (yield from _end(held))
    data = offered(left.data, left.binds)
    stored, after = storable(data)
    try:
        token = yield Rotate(
            held.token, stored, left.subject, lifetime, None, left.room, left.client, left.labels or ()
        )
    except CrudjtError:  # data that is refused, or a full disk: the logout holds all the same
        yield Delete(held.token)
        raise
    if token is None:
        return replace((yield from _begin(left, left.data)), gone=True)
    now = Held(token, None, left.subject, held.version + 1, after, None, binding_of(data))
    return Done("set", now, None if data is left.data else data)


def _rotate(held: Held, left: Left) -> Steps:
    """Give a session a new token, and with a login its subject and a new lifetime.

    Data of other requests stays. Where the session has ended, a login begins one with the keys that this request has
    set and nothing else; without a login nothing is written.
    """
    subject: str | KeepType | None = left.subject if left.login else KEEP

    def adapted(data: Data) -> Data:
        return rebound(data, left.binds, same_user=left.subject == held.subject)

    data = adapted(left.data)
    stored, after = storable(data)
    changed = not held.equals(after, left.sets)

    def rotation(wanted: Data, stored: Data, version: int) -> Call:
        lifetime = left.lifetime(wanted, None if left.login else held) if left.login or changed else Lifetime()
        data, expected = (stored, version) if changed else (None, None)
        room = left.room if left.login else None
        client = KEEP if left.client is None else left.client
        labels = KEEP if left.labels is None else left.labels
        return Rotate(held.token, data, subject, lifetime, expected, room, client, labels)

    token, wanted, after, version = yield from _merged(held, left, (data, stored, after), rotation, adapted)
    if token is None:
        return (yield from _ended_elsewhere(held, left))
    read = None if left.login else held.read
    now = Held(token, None, left.subject, version + changed, after, read, binding_of(wanted))
    return Done("set", now, None if wanted is left.data else wanted)


def _update(held: Held, left: Left) -> Steps:
    """Write the keys that a request changed, over what other requests have stored since it read the session."""
    stored, after = storable(left.data)
    if held.equals(after, left.sets):
        if not left.touches:
            return Done("keep", held)
        alive = yield Touch(held.token, left.lifetime(left.data, held))
        return Done("keep", held) if alive else (yield from _ended_elsewhere(held, left))

    def update(wanted: Data, stored: Data, version: int) -> Call:
        return Update(held.token, stored, left.lifetime(wanted, held), version)

    alive, wanted, after, version = yield from _merged(held, left, (left.data, stored, after), update)
    if not alive:
        return (yield from _ended_elsewhere(held, left))
    if is_bare(wanted) and left.subject is None and not left.keeps_empty:
        return (yield from _end(held))
    now = Held(held.token, held.id, held.subject, version + 1, after, held.read, binding_of(wanted))
    return Done("keep", now, None if wanted is left.data else wanted)


def _merged(
    held: Held,
    left: Left,
    first: tuple[Data, Data, bytes],
    change: Callable[[Data, Data, int], Call],
    adapted: Callable[[Data], Data] = lambda data: data,
) -> Generator[Call, Any, tuple[Any, Data, bytes, int]]:
    """Yield a change, with the keys of other requests merged in, until none of them has come between.

    `first` is the data, the same as the store takes it, and packed; `change` takes the first two and the version that
    it replaces; `adapted` returns merged data as it is to be stored. Returns the answer of the store, ``None`` if the
    session has ended; the data, also packed; and the version that it replaced.
    """
    wanted, stored, after = first
    version = held.version
    conflicts = 0
    while True:
        answer = yield change(wanted, stored, version)
        if not isinstance(answer, VersionConflict):
            return answer, wanted, after, version
        theirs = yield Peek(held.token)
        if theirs is None:
            return None, wanted, after, version
        conflicts += 1
        if conflicts == _MAX_CONFLICTS:
            raise answer
        version, wanted = theirs.version, adapted(merge(held.before, left.data, theirs.data))
        stored, after = storable(wanted)


def _ended_elsewhere(held: Held, left: Left) -> Steps:
    """Begin a session if this request logs in, with its own keys alone: what has ended does not return."""
    if left.login and left.phase is Phase.BEFORE_HEADERS:
        return replace((yield from _begin(left, left.own(held.before))), gone=True)
    logger.info("a session was ended while a request of it was running; what the request changed is not stored")
    return Done("keep", held, lost=True)
