"""Stage and publish sessions that are moved to this store."""

from collections.abc import Mapping
from typing import cast

from crudjt._backends.valkey.move_scripts import LATER, PUBLISH, STAGE, STAGED, USED, USED_MS
from crudjt._backends.valkey.requests import LOST, Ask, Steps
from crudjt._backends.valkey.steps.commit_requests import lifetime
from crudjt._backends.valkey.steps.records import Records
from crudjt._backends.valkey.steps.scanning import Scan
from crudjt._core.clock import NS_PER_MS
from crudjt._core.header import NO_SUBJECT, SUBJECT_TAG
from crudjt._core.moves import EPOCH_BYTES, NO_EPOCH
from crudjt._core.stages import Staged
from crudjt._core.tokens import PLACE

_ANSWERS = {STAGED: Staged.DONE, USED: Staged.USED, LATER: Staged.LATER}


def stage(records: Records, epoch: int, staged: Mapping[bytes, bytes], replicas: int) -> Steps[list[Staged]]:
    """Stage records, by id; return the answer to each.

    Raises:
        StoreUnavailable: a reply was lost, so that this stage may still come; it must not be repeated with this epoch.
            Or too few replicas have a stage.

    """
    now_ms = records.clock() // NS_PER_MS
    bare = epoch.to_bytes(EPOCH_BYTES, "big")
    asks: list[Ask] = []
    for id_, record in staged.items():
        key = records.layout.stage(id_)
        px, _ = lifetime(record, now_ms)
        if epoch == NO_EPOCH:
            px = min(px, USED_MS) if isinstance(px, int) else USED_MS
        asks.append(Ask(key, (1, key, bare, record, px), STAGE, replicas, repeat=False))
    replies = yield asks
    if any(reply.value is LOST for reply in replies):
        raise records.unavailable("no answer came to a stage; begin the move again")
    answers = [_ANSWERS[cast("int", reply.value)] for reply in replies]
    for answer, reply in zip(answers, replies, strict=True):
        if answer is Staged.DONE and reply.acknowledged < replicas:
            raise records.unavailable(f"only {reply.acknowledged} of {replicas} replicas have what was staged")
    return answers


def publish(records: Records, marks: Mapping[bytes, bytes], replicas: int) -> Steps[None]:
    """Publish sessions whose marks were met, by id. It may be done again at any time.

    Raises:
        StoreUnavailable: there was no answer, or too few replicas have a session.

    """
    now_ms = records.clock() // NS_PER_MS
    yield from records.file(marks.items(), now_ms, replicas)
    asks: list[Ask] = []
    for id_, mark in marks.items():
        stage_key, session, tag = records.layout.stage(id_), records.layout.session(id_), mark[SUBJECT_TAG]
        index = session if tag == NO_SUBJECT else records.layout.index(id_[PLACE], tag)
        px, score = lifetime(mark, now_ms)
        asks.append(Ask(stage_key, (3, stage_key, session, index, now_ms, px, score, id_, USED_MS), PUBLISH, replicas))
    replies = yield asks
    least = min((reply.acknowledged for reply in replies), default=replicas)
    if least < replicas:
        raise records.unavailable(f"sessions were moved here, but only {least} of {replicas} replicas have them")


def remove_stages(records: Records) -> Steps[int]:
    """Remove the stages that were not used, once the move has finished; return how many."""
    removed = 0
    scan = Scan(records.layout.all_stages)
    while not scan.ended:
        keys = yield from scan.step()
        starts = yield [Ask(key, (b"GETRANGE", key, 0, EPOCH_BYTES)) for key in keys]
        unused = [key for key, start in zip(keys, starts, strict=True) if _is_unused(cast("bytes", start.value))]
        if unused:
            yield [Ask(key, (b"UNLINK", key)) for key in unused]
            removed += len(unused)
    return removed


def _is_unused(start: bytes) -> bool:
    """Tell an unused stage of a mover, by its first bytes; that of a rotation may be about to be used."""
    return len(start) > EPOCH_BYTES and start[:EPOCH_BYTES] != bytes(EPOCH_BYTES)
