"""The timed loops over sessions that are kept on servers: every operation is at least one trip."""

from benchmarks.payloads import updated
from benchmarks.peers.interface import MAX_READS, Engine
from benchmarks.tasks.visits import SESSIONS_OF_A_SUBJECT, Costs, Visit, copies, timed

MANY = 100


def visit_servers(engine: Engine, tokens: list[str], visit: Visit) -> tuple[Costs, list[str]]:
    """Time each operation; the sessions that are left are returned."""
    costs: Costs = {}
    tokens = tokens + timed(costs, "create", engine.create, [visit.data] * visit.count)
    chosen = copies(tokens[: visit.count])
    timed(costs, "read", engine.read, chosen)
    if engine.update is not None:
        update, after = engine.update, updated(visit.data)
        timed(costs, "update", lambda token: update(token, after), chosen)
    if engine.create_limited is not None and engine.read_limited is not None:
        limited = [engine.create_limited(visit.data) for _ in range(-(-visit.count // MAX_READS))]
        assert all(timed(costs, "read, limited", engine.read_limited, copies(limited * MAX_READS)))
    if engine.read_many is not None:
        batches = [chosen[start : start + MANY] for start in range(0, len(chosen), MANY)]
        found = timed(costs, f"read {MANY} at once", engine.read_many, batches)
        assert all(map(all, found))
    if engine.rotate is not None:
        rotated = timed(costs, "rotate", engine.rotate, chosen)
        assert all(rotated)
        tokens = rotated + tokens[visit.count :]
    if engine.create_owned is not None and engine.revoke is not None:
        create_owned = engine.create_owned
        subjects = [f"user {number}" for number in range(max(1, visit.count // SESSIONS_OF_A_SUBJECT))]
        owners = [subject for _ in range(SESSIONS_OF_A_SUBJECT) for subject in subjects]
        timed(costs, "create, with a subject", lambda owner: create_owned(visit.data, owner), owners)
        timed(costs, f"revoke {SESSIONS_OF_A_SUBJECT} sessions", engine.revoke, subjects)
    return costs, tokens
