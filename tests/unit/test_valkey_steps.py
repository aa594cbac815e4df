"""The operations of a store on servers, over a model of the servers that loses the reply to each request in turn."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.operations import Operations
from crudjt._backends.valkey.requests import LOST, Ask, Reply, Steps
from crudjt._backends.valkey.scripts import COMMIT, END, INSERT_ONE, REPLACE_ONE
from crudjt._backends.valkey.steps import arriving
from crudjt._backends.valkey.steps.records import Records
from crudjt._backends.valkey.steps.sealed_records import Durability
from crudjt._core.keyring import Keyring, Placement
from crudjt._core.operations import Sessions
from crudjt._core.record import MIN_RECORD_BYTES, each_label_tag
from crudjt._core.session import Session
from crudjt._core.tokens import ID_BYTES
from crudjt._core.validation import KEEP
from crudjt.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreUnavailable
from crudjt.testing import FakeClock
from tests.support.modelled_servers import ModelledServers

COMMITS = (COMMIT, INSERT_ONE, REPLACE_ONE, END)
NEW_LIMITS = (KEEP, KEEP, KEEP)


def damaged(id_: bytes) -> StoreCorrupt:
    return StoreCorrupt("model", None, id_.hex())


class Store:
    """Operations over the model, as a store has them."""

    def __init__(self, servers: ModelledServers, clock: FakeClock, replicas: tuple[int, int] = (0, 0)) -> None:
        sessions = Sessions(Keyring([bytes(range(32)), bytes(range(1, 33))], b"salt"), Placement(bytes(32)), damaged)
        self.servers = servers
        self.operations, self._elsewhere = (
            Operations(Records("model", Layout("test"), sessions, clock, Durability(*replicas)), 64 * 1024)
            for _ in range(2)
        )

    def create(self, data: Any = None, *, subject: str | None = None, **limits: Any) -> str:
        """Create a session as another process does, so that this one has not met it."""
        return self._created(self._elsewhere, data, subject, limits)

    def create_here(self, data: Any = None, *, subject: str | None = None, **limits: Any) -> str:
        return self._created(self.operations, data, subject, limits)

    def _created(self, operations: Operations, data: Any, subject: str | None, limits: dict[str, Any]) -> str:
        given = {"ttl": None, "max_reads": None, "idle": None, **limits}
        return self.servers.run(operations.create(data or {}, subject=subject, **given))

    def peek(self, token: str | None) -> Session | None:
        return None if token is None else self.servers.run(self.operations.peek(token))

    def listed(self, subject: str) -> list[str]:
        filed = self.servers.run(self.operations.list_ids(subject))
        return [each.id for page in self.operations.pages(filed) for each in self.servers.run(page)]


@pytest.fixture
def servers() -> ModelledServers:
    return ModelledServers()


@pytest.fixture
def store(servers: ModelledServers) -> Store:
    return Store(servers, FakeClock())


def alive(store: Store, token: str | None) -> Session:
    session = store.peek(token)
    assert session is not None
    return session


def losses(prepare: Callable[[Store], Any], call: Callable[[Store, Any], Steps[Any]]) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the store, what was prepared and the outcome, for the loss of each reply of a call.

    Each is lost twice: of a request that was carried out, and of one that was not.
    """
    lossless = Store(ModelledServers(), FakeClock())
    prepared = prepare(lossless)
    before = len(lossless.servers.sent)
    lossless.servers.run(call(lossless, prepared))
    for number in range(len(lossless.servers.sent) - before):
        for carried_out in (False, True):
            clock = FakeClock()
            store = Store(ModelledServers(), clock)
            prepared = prepare(store)
            store.servers.lose, store.servers.carried_out = len(store.servers.sent) + number + 1, carried_out
            try:
                outcome: Any = store.servers.run(call(store, prepared))
            except StoreUnavailable as error:
                outcome = error
            consistent(store)
            yield store, prepared, outcome


def consistent(store: Store) -> None:
    """Expect the index of each subject to list its sessions and no other, and that of a label all of its sessions."""
    layout, indexes = Layout("test"), store.servers.indexes
    subjects = {index: members for index, members in indexes.items() if layout.label_tag_of(index) is None}
    listed = {(index, member) for index, members in subjects.items() for member in members}
    assert {layout.session(member) for _, member in listed} <= store.servers.keys.keys()
    tags = {record[48:64] for record in store.servers.keys.values()} - {bytes(16)}
    assert {layout.tag_of(index) for index, _ in listed} == tags
    for key, record in store.servers.keys.items():
        assert all(key[-ID_BYTES:] in indexes[layout.label(tag)] for tag in each_label_tag(record))


def test_a_lost_create_is_known_by_its_nonce_or_not_known() -> None:
    outcomes = []
    for store, _, outcome in losses(
        lambda _: None, lambda store, _: store.operations.create({"a": 1}, 60, 3, None, "x")
    ):
        outcomes.append(type(outcome))
        assert len(store.servers.keys) == (isinstance(outcome, str))
        if isinstance(outcome, str):
            assert alive(store, outcome).reads_left == 3
    assert outcomes == [StoreUnavailable, str]


def test_a_lost_update_is_done_once_or_not_known() -> None:
    seen = []
    for store, token, outcome in losses(
        lambda store: store.create({"n": 0}, subject="x"),
        lambda store, token: store.operations.update(token, {"n": 1}, *NEW_LIMITS, None),
    ):
        session = alive(store, token)
        done = session.version == 2
        assert session.data == {"n": int(done)}
        assert outcome is True if done else isinstance(outcome, StoreUnavailable)
        seen.append(done)
    assert seen == [True] * 4 + [False, True]  # two keys to look the token up under, and the commit


def test_a_lost_read_is_counted_once_or_not_known() -> None:
    seen = []
    for store, token, outcome in losses(
        lambda store: store.create({}, max_reads=3), lambda store, token: store.operations.read(token)
    ):
        left = alive(store, token).reads_left
        if isinstance(outcome, Session):
            assert (outcome.reads_left, left) == (2, 2)
        else:
            assert isinstance(outcome, StoreUnavailable)
            assert left == 3
        seen.append(left)
    assert seen == [2] * 4 + [3, 2]


def test_it_is_not_known_which_of_two_readers_took_the_last_read() -> None:
    seen = []
    for store, token, outcome in losses(
        lambda store: store.create({}, max_reads=1, subject="x"), lambda store, token: store.operations.read(token)
    ):
        gone = store.peek(token) is None
        assert gone if isinstance(outcome, Session) else isinstance(outcome, StoreUnavailable)
        seen.append((type(outcome), gone))
    assert seen[4:] == [(StoreUnavailable, False), (StoreUnavailable, True)]


def test_a_lost_extension_of_an_idle_timeout_does_not_fail_the_read(servers: ModelledServers) -> None:
    for carried_out in (False, True):
        clock = FakeClock()
        store = Store(ModelledServers(), clock)
        token = store.create({}, idle=100)
        clock.advance(50)
        store.servers.lose, store.servers.carried_out = len(store.servers.sent) + 3, carried_out
        session = store.servers.run(store.operations.read(token))
        assert session is not None
        assert session.expires_in == 100
        clock.advance(99)
        assert store.peek(token) is not None


def test_a_lost_rotate_leaves_one_session_or_is_not_known() -> None:
    seen = []
    for store, token, outcome in losses(
        lambda store: store.create({}, subject="x"),
        lambda store, token: store.operations.rotate(token, None, KEEP, KEEP, KEEP, None),
    ):
        assert len(store.servers.keys) == 1
        moved = store.peek(token) is None
        assert store.peek(outcome) is not None if moved else isinstance(outcome, StoreUnavailable)
        seen.append(moved)
    assert seen == [True] * 4 + [False, True]


def test_a_lost_login_leaves_no_session_but_that_of_a_known_token() -> None:
    seen = []
    for store, token, outcome in losses(
        lambda store: store.create({"cart": 1}),
        lambda store, token: store.operations.rotate(token, None, "ada", KEEP, KEEP, None),
    ):
        old, listed = store.peek(token) is not None, store.listed("ada")
        if isinstance(outcome, StoreUnavailable):
            assert listed == []
        else:
            assert not old
            assert listed == [alive(store, outcome).id]
        seen.append((isinstance(outcome, str), old))
    insert, delete = [(False, True), (True, False)], [(False, True), (False, False)]
    assert seen == [(True, False)] * 4 + insert + delete


def test_a_lost_delete_is_repeated_and_not_claimed_twice() -> None:
    seen = []
    for store, token, outcome in losses(
        lambda store: store.create({}, subject="x"), lambda store, token: store.operations.delete(token)
    ):
        assert store.peek(token) is None
        seen.append(type(outcome))
    assert seen == [bool] * 5 + [StoreUnavailable]


def test_a_lost_revoke_is_repeated_and_counts_what_is_gone() -> None:
    for store, tokens, outcome in losses(
        lambda store: [store.create({}, subject="x") for _ in range(3)],
        lambda store, tokens: store.operations.revoke("x", tokens[1]),
    ):
        assert [store.peek(token) is None for token in tokens] == [True, False, True]
        assert outcome == 2


def test_a_lost_ending_of_many_is_repeated_and_counts_what_is_gone() -> None:
    for store, tokens, outcome in losses(
        lambda store: [store.create({}, subject="x"), store.create({}), store.create({})],
        lambda store, tokens: store.operations.delete_many(tokens),
    ):
        assert [store.peek(token) for token in tokens] == [None] * 3
        assert outcome == 3


def test_many_lost_reads_are_counted_once_or_not_known() -> None:
    for store, tokens, outcome in losses(
        lambda store: [store.create({}, max_reads=2), store.create({}, idle=10), store.create({}, subject="x")],
        lambda store, tokens: store.operations.read_many([*tokens, tokens[0]]),
    ):
        if isinstance(outcome, list):
            assert [session and session.reads_left for session in outcome] == [1, None, None, 0]
            assert store.peek(tokens[0]) is None
        else:
            assert isinstance(outcome, StoreUnavailable)


# Conflicts


def interfere(store: Store, change: Callable[[], object]) -> None:
    """Make a change before the next commit, once."""

    def before(ask: Ask) -> None:
        if ask.script in COMMITS:
            store.servers.before = lambda _ask: None
            change()

    store.servers.before = before


def test_a_change_that_meets_another_is_decided_again(store: Store) -> None:
    token = store.create({"n": 0}, max_reads=5)
    interfere(store, lambda: store.servers.run(store.operations.read(token)))
    session = store.servers.run(store.operations.read(token))
    assert session is not None
    assert session.reads_left == 3


def test_an_update_of_a_session_that_has_just_ended_does_not_revive_it(store: Store) -> None:
    token = store.create({"n": 0}, subject="x")
    interfere(store, lambda: store.servers.run(store.operations.delete(token)))
    assert store.servers.run(store.operations.update(token, {"n": 1}, *NEW_LIMITS, None)) is False
    assert store.servers.keys == {}


def test_a_login_that_meets_an_update_takes_the_new_data_along(store: Store) -> None:
    token = store.create({"n": 0})
    update = store.operations.update(token, {"n": 1}, *NEW_LIMITS, None)
    commits: list[Ask] = []

    def before(ask: Ask) -> None:
        if ask.script in COMMITS:
            commits.append(ask)
            if len(commits) == 2:  # the old session is about to be ended
                store.servers.run(update)

    store.servers.before = before
    new = store.servers.run(store.operations.rotate(token, None, "ada", KEEP, KEEP, None))
    assert alive(store, new).data == {"n": 1}
    assert store.listed("ada") == [alive(store, new).id]
    assert store.peek(token) is None


def test_a_session_that_changes_all_the_time_is_busy(store: Store) -> None:
    token = store.create({"n": 0})

    def before(ask: Ask) -> None:
        if ask.script in COMMITS:
            store.servers.before = lambda _ask: None
            store.servers.run(store.operations.touch(token, 60, KEEP))
            store.servers.before = before

    store.servers.before = before
    with pytest.raises(StoreBusy):
        store.servers.run(store.operations.update(token, {"n": 1}, *NEW_LIMITS, None))


# Replicas


def test_a_change_that_too_few_replicas_have_raises(servers: ModelledServers) -> None:
    clock = FakeClock()
    store = Store(servers, clock, (2, 2))
    servers.replicas = 2
    token = store.create({}, subject="x", idle=100, max_reads=5)
    idle = store.create({}, idle=100)
    servers.replicas = 1
    operations = store.operations
    for steps in (
        operations.create({}, None, None, None, None),
        operations.update(token, {}, *NEW_LIMITS, None),
        operations.read(token),
        operations.rotate(token, None, KEEP, KEEP, KEEP, None),
        operations.delete(token),
        operations.revoke("x", None),
        operations.delete_many([token]),
    ):
        with pytest.raises(StoreUnavailable, match=r"1 of 2 replicas|only 1 of 2"):
            servers.run(steps)
    clock.advance(50)
    assert servers.run(operations.read(idle)) is not None, "no read is refused because of an idle timeout"


def test_an_ending_waits_for_replicas_also_where_there_is_nothing_to_end(servers: ModelledServers) -> None:
    """What it did not find may be due to an ending that no replica has."""
    store = Store(servers, FakeClock(), (0, 1))
    token = store.create({}, subject="x")
    servers.keys.clear()
    servers.indexes.clear()
    for steps in (
        store.operations.delete(token),
        store.operations.delete_many([token]),
        store.operations.revoke_id("0" * 32, None),
        store.operations.revoke("x", None),
    ):
        with pytest.raises(StoreUnavailable, match="0 of 1"):
            servers.run(steps)


def test_changes_wait_for_no_replica_where_only_endings_have_to(servers: ModelledServers) -> None:
    store = Store(servers, FakeClock(), (0, 1))
    token = store.create({}, max_reads=2)
    assert store.servers.run(store.operations.update(token, {}, *NEW_LIMITS, None)) is True
    assert store.servers.run(store.operations.read(token)) is not None
    with pytest.raises(StoreUnavailable):
        store.servers.run(store.operations.read(token))


# Failures


def test_full_servers_refuse_no_read_because_of_an_idle_timeout(servers: ModelledServers) -> None:
    clock = FakeClock()
    store = Store(servers, clock)
    idle, counted = store.create({}, idle=100), store.create({}, max_reads=3)
    clock.advance(50)
    servers.fail = lambda ask: StoreFull("model", "full") if ask.script in COMMITS else None
    assert servers.run(store.operations.read(idle)) is not None
    assert [session is not None for session in servers.run(store.operations.read_many([idle]))] == [True]
    with pytest.raises(StoreFull):
        servers.run(store.operations.read(counted))


def test_a_login_whose_old_session_cannot_be_ended_leaves_no_new_one(servers: ModelledServers) -> None:
    store = Store(servers, FakeClock())
    token = store.create({})
    commits = 0

    def fail(ask: Ask) -> StoreError | None:
        nonlocal commits
        commits += ask.script in COMMITS
        return StoreUnavailable("model", "down") if commits == 2 and ask.script in COMMITS else None

    servers.fail = fail
    with pytest.raises(StoreUnavailable):
        servers.run(store.operations.rotate(token, None, "ada", KEEP, KEEP, None))
    assert store.listed("ada") == []
    assert store.peek(token) is not None


def test_many_that_cannot_all_be_created_are_not_left_behind(servers: ModelledServers) -> None:
    store = Store(servers, FakeClock())
    commits = 0

    def fail(ask: Ask) -> StoreError | None:
        nonlocal commits
        commits += 1
        return StoreFull("model", "full") if commits == 3 else None

    servers.fail = fail
    with pytest.raises(StoreFull):
        servers.run(store.operations.create_many([{}] * 1200, None, None, None, "x"))
    assert not servers.keys
    assert not servers.indexes


def test_a_malformed_token_is_never_sent(store: Store) -> None:
    operations = store.operations
    for token in ("", "short", "ü" * 22, "A" * 21 + "B"):
        for steps in (operations.read(token), operations.peek(token), operations.delete(token)):
            store.servers.run(steps)
    assert [ask for ask in store.servers.sent if ask.args] == []


# Upkeep


@pytest.mark.parametrize("when", ["it is found", "it has been looked at"])
def test_a_sweep_ends_what_has_expired_and_leaves_what_has_just_been_extended(
    servers: ModelledServers, when: str
) -> None:
    clock = FakeClock()
    store = Store(servers, clock)
    expired, extended, alive_ = (store.create({}, ttl=60, subject="x") for _ in range(3))
    clock.advance(59)
    assert servers.run(store.operations.touch(alive_, None, KEEP)) is True
    touch = store.operations.touch(extended, 60, KEEP)

    def extend(ask: Ask) -> None:
        if ask.args[:1] == (b"SCAN",) if when == "it is found" else ask.script is not None:
            servers.before = lambda _ask: None
            clock.set_back(1)  # the other process is a little late
            servers.run(touch)
            clock.advance(1)

    clock.advance(1)
    servers.before = extend
    swept = servers.run(store.operations.sweep())
    # A conflict leaves all sessions of a place to the next sweep.
    assert swept + servers.run(store.operations.sweep()) == 1
    assert [store.peek(token) is not None for token in (expired, extended, alive_)] == [False, True, True]
    consistent(store)


def test_a_sweep_removes_the_entries_of_sessions_that_the_servers_have_removed(servers: ModelledServers) -> None:
    clock = FakeClock()
    store = Store(servers, clock)
    store.create({}, ttl=60, subject="x")
    servers.keys.clear()
    clock.advance(121)
    assert servers.run(store.operations.sweep()) == 0
    assert servers.indexes == {}


def begin_two(store: Store, clock: FakeClock) -> list[str]:
    tokens = []
    for _ in range(2):
        tokens.append(store.create(subject="alice"))
        clock.advance(1)
    return tokens


def test_a_revocation_counts_those_that_were_alive_and_leaves_no_entry(store: Store, servers: ModelledServers) -> None:
    clock = FakeClock()
    store = Store(servers, clock)
    tokens = [store.create({"n": ttl}, subject="ada", ttl=ttl) for ttl in (10, 100, 100)]
    clock.advance(20)
    del servers.keys[Layout("test").session(bytes.fromhex(alive(store, tokens[2]).id))]
    assert servers.run(store.operations.revoke("ada", None)) == 1
    assert not any(servers.indexes.values())
    assert [store.peek(token) for token in tokens] == [None] * 3


@pytest.mark.parametrize("place", ["new", "rotated", "moved"])
@pytest.mark.parametrize("other", ["login", "logout", "both"])
def test_a_limit_of_sessions_holds_whatever_happens_between_two_requests(place: str, other: str) -> None:
    """A login of another process, or the end of a session, comes before each request in turn."""
    number, sent = 0, 1
    while number < sent:
        clock = FakeClock()
        store = Store(ModelledServers(), clock)
        servers = store.servers
        tokens = begin_two(store, clock)
        visitor = store.create(subject="alice" if place == "rotated" else None)
        start = len(servers.sent)

        def disturb(_ask: Ask, store: Store = store, last: int = start + number + 1, ends: str = tokens[1]) -> None:
            if len(store.servers.sent) == last:
                store.servers.before = lambda _ask: None
                if other != "login":
                    store.servers.run(store.operations.delete(ends))
                if other != "logout":
                    store.create(subject="alice", max_sessions=2)

        servers.before = disturb
        if place == "new":
            store.create(subject="alice", max_sessions=2)
        else:
            servers.run(store.operations.rotate(visitor, None, "alice", KEEP, KEEP, None, max_sessions=2))
        sent = len(servers.sent) - start
        consistent(store)
        assert len(store.listed("alice")) <= 2
        number += 1
    assert number > 4


def test_a_stage_whose_reply_is_lost_is_not_sent_again(servers: ModelledServers) -> None:
    """The first may still come, and replace a later one of the same mover."""
    records = Store(servers, FakeClock()).operations._records
    steps = arriving.stage(records, 1, {bytes(16): bytes(MIN_RECORD_BYTES)}, 0)
    assert len(next(steps)) == 1
    with pytest.raises(StoreUnavailable, match="begin the move again"):
        steps.send([Reply(LOST)])
