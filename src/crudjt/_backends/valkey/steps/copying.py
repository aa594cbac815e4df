"""Read all sessions for a copy."""

from typing import cast

from crudjt._backends.valkey.requests import Ask, Steps
from crudjt._backends.valkey.steps.records import Records
from crudjt._backends.valkey.steps.scanning import Scan
from crudjt._core.moves import is_record


def next_records(records: Records, scan: Scan) -> Steps[list[tuple[bytes, bytes]]]:
    """Return ids and records of some keys, as each is now; a session that has ended since the keys were read is gone.

    Args:
        records: the records of the store.
        scan: over its sessions; see `Scan.ended`.

    """
    found = [(records.layout.id_of(key), key) for key in (yield from scan.step())]
    keys = [(id_, key) for id_, key in found if id_ is not None]
    replies = yield [Ask(key, (b"GET", key)) for _, key in keys]
    values = [(id_, cast("bytes | None", reply.value)) for (id_, _), reply in zip(keys, replies, strict=True)]
    return [(id_, value) for id_, value in values if value and is_record(value)]
