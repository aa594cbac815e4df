"""The records of a store, its secret keys, and the sessions that this process has met."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.manifest import AT_REST
from crudjt._backends.valkey.requests import Ask, Steps
from crudjt._backends.valkey.steps.recent import Recent
from crudjt._backends.valkey.steps.sealed_records import Durability, SealedRecords
from crudjt._core.clock import Clock
from crudjt._core.operations import Sessions
from crudjt._core.tokens import ID_BYTES, token_block, token_blocks
from crudjt.errors import StoreBusy

MAX_ROUNDS = 100  # decisions of one operation


class Records(SealedRecords):
    """The records of one store, and what its operations share.

    Attributes:
        sessions: the decisions, under its secret keys.
        clock: the source of time.
        recent: the sessions that this process has met last.
        marked: marks that were met, by id, and are passed over.

    """

    marked: Mapping[bytes, bytes] = MappingProxyType({})

    def __init__(self, location: str, layout: Layout, sessions: Sessions, clock: Clock, durability: Durability) -> None:
        """Take what the operations of a store share; nothing is sent."""
        super().__init__(location, layout, durability)
        self.sessions = sessions
        self.clock = clock
        self.recent = Recent()

    def met(self, id_: bytes, mark: bytes) -> Steps[bytes | None]:  # noqa: ARG002 - as above
        """Refuse a store whose sessions are moved elsewhere."""
        raise (yield from self.moved())

    def absent(self) -> Steps[None]:
        """Refuse a store whose sessions are moved elsewhere. Looked at after a session was not found."""
        key = self.layout.manifest
        (reply,) = yield [Ask(key, (b"GETRANGE", key, 0, len(AT_REST) - 1))]
        if reply.value and reply.value != AT_REST:
            raise (yield from self.moved())

    def busy(self) -> StoreBusy:
        """Return the error for a session that other processes change all the time."""
        return StoreBusy(self.location, f"the session was changed {MAX_ROUNDS} times while this call tried to", 0)

    def ids_of(self, token: str) -> list[bytes]:
        """Return the id that a token has under each secret key; none for a malformed one."""
        block = token_block(token)
        return [] if block is None else [key.tokens.id(block) for key in self.sessions.keyring.newest_first]

    def ids_of_many(self, tokens: Sequence[str]) -> list[tuple[bytes, ...]]:
        """Return the result of `ids_of` for each token: all blocks are decrypted in one call for each key."""
        blocks = token_blocks(tokens)
        joined = b"".join([block for block in blocks if block is not None])
        ids = zip(*[_cut(key.tokens.id(joined)) for key in self.sessions.keyring.newest_first], strict=True)
        return [() if block is None else next(ids) for block in blocks] if None in blocks else list(ids)


def _cut(joined: bytes) -> list[bytes]:
    return [joined[at : at + ID_BYTES] for at in range(0, len(joined), ID_BYTES)]
