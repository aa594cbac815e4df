"""Every order in which a mover and callers can take their steps, over a model of source and destination.

A process is a generator: it yields an action, which is carried out at once and whole, and receives the answer. A state
is what source and destination hold and what each process has been answered. States that were seen are not entered
again, so the search is complete. At the end of each order a new mover finishes the move, every token is read, and the
history of the calls must be explained by some order of theirs that keeps to real time.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from itertools import permutations
from typing import Any, NamedTuple

from crudjt._backends.moving import steps
from crudjt._backends.moving.steps import At, Outcome
from crudjt._core import moves, stages
from crudjt._core.changes import DELETE, SESSION, Change
from crudjt._core.record import MIN_RECORD_BYTES

Steps = Generator[Any, Any, Any]
World = tuple[frozenset[tuple[bytes, bytes]], frozenset[tuple[bytes, bytes]], frozenset[tuple[bytes, bytes]]]

MOVE = b"m" * 16
A, B = b"a" * 16, b"b" * 16


def record_of(version: int) -> bytes:
    """Return a record that says no more than which data it has."""
    return (bytes([1, 0, 0, 0, version])).ljust(MIN_RECORD_BYTES, b"\0")


def version_in(record: bytes) -> int:
    return record[4]


def _no_swap() -> bool:
    raise AssertionError("the model swaps by itself")


class Stores:
    """A source in a directory and a destination on servers: what they hold, and each action on it."""

    takes_no_new = False

    def __init__(self, world: World) -> None:
        self.source, self.stages, self.live = (dict(part) for part in world)

    def world(self) -> World:
        return frozenset(self.source.items()), frozenset(self.stages.items()), frozenset(self.live.items())

    def finish(self) -> None:
        """Do what is done when a mover has come to the end: the source is not asked any more after that."""
        if any(map(moves.is_record, self.source.values())):
            raise Violation("a mover has ended, and there are records left")
        self.stages = {id_: stage for id_, stage in self.stages.items() if not self._is_unused(stage)}

    def _is_unused(self, stage: bytes) -> bool:
        return len(stage) > moves.EPOCH_BYTES and stage[: moves.EPOCH_BYTES] != bytes(moves.EPOCH_BYTES)

    # As the reader of a decision

    def get(self, key: bytes) -> bytes | None:
        return self.source.get(key[len(SESSION) :])

    def commit(self, changes: Sequence[Change]) -> None:
        for kind, id_, record in changes:
            if kind == DELETE:
                del self.source[id_]
            else:
                self.source[id_] = record

    # Actions

    def carry_out(self, action: Any, call: "Call | None") -> Any:
        if action is At.SOURCE:
            assert call is not None
            return self._at_source(call)
        if action is At.DESTINATION:
            assert call is not None
            return call.carry_out(self.live)
        return getattr(self, f"_{type(action).__name__.lower()}")(action)

    def _at_source(self, call: "Call") -> Outcome:
        has_begun = moves.NOTE_ID in self.source
        if call.makes and has_begun:
            return Outcome(None, has_begun=True)
        values = {id_: self.source[id_] for id_ in call.ids if id_ in self.source}
        marked = {id_: value for id_, value in values.items() if moves.is_mark(value)}
        if marked and not call.of_subject:
            return Outcome(None, marked, has_begun)
        if call.rotates_to is not None and values and has_begun and self.takes_no_new:
            ((id_, record),) = values.items()
            fresh = moves.Rotation("new", call.rotates_to, record, (DELETE, id_, record), _no_swap)
            return Outcome(None, has_begun=True, refused=fresh)
        records = {id_: value for id_, value in self.source.items() if moves.is_record(value)}
        rest = {id_: value for id_, value in self.source.items() if id_ not in records}
        value = call.carry_out(records)
        self.source = rest | records
        return Outcome(value, marked, has_begun)

    def _begin(self, _action: steps.Begin) -> int:
        epoch, changes = moves.begin(self, MOVE, "there")
        self.commit(changes)
        return epoch

    def _look(self, action: steps.Look) -> moves.Looked:
        """Look in the order of the ids."""
        after = action.at if isinstance(action.at, bytes) else moves.NOTE_ID
        found = sorted(id_ for id_ in self.source if id_ > after)
        return moves.Looked(tuple((id_, self.source[id_]) for id_ in found[:1]), found[0] if found[1:] else None)

    def _stage(self, action: steps.Stage) -> list[stages.Staged]:
        answers = []
        for id_, record in action.records.items():
            answer, self.stages[id_] = stages.stage(self.stages.get(id_), action.epoch, record)
            answers.append(answer)
        return answers

    def _mark(self, action: steps.Mark) -> list[bytes] | None:
        marked, changes = moves.mark(self, action.epoch, action.records)
        self.commit(changes)
        return marked

    def _publish(self, action: steps.Publish) -> None:
        for id_ in action.marks:
            self.stages[id_], record = stages.publish(self.stages.get(id_))
            if record is not None:
                self.live[id_] = record

    _publishforgood = _publish

    def _clear(self, action: steps.Clear) -> None:
        self.commit(moves.clear(self, action.marks)[1])

    def _stagenew(self, action: steps.StageNew) -> None:
        self._stage(steps.Stage(moves.NO_EPOCH, {action.rotation.id: action.rotation.record}))

    def _swap(self, action: steps.Swap) -> bool:
        _, old, record = action.rotation.old
        if self.source.get(old) != record:
            return False
        del self.source[old]
        self.source |= action.rotation.marks
        return True

    def _leave(self, _action: steps.Leave) -> None:
        raise Violation("a record whose stage is used")


class FromServers(Stores):
    """A source on servers: a pass finds what was there when it began, and nothing newer."""

    takes_no_new = True

    def _look(self, action: steps.Look) -> moves.Looked:
        if action.at is None:
            return moves.Looked((), tuple(sorted(self.source.keys() - {moves.NOTE_ID})) or None)
        found = action.at
        assert isinstance(found, tuple)
        items = [(id_, self.source[id_]) for id_ in found[:1] if id_ in self.source]
        return moves.Looked(tuple(items), found[1:] or None)


class ToDirectory(Stores):
    """A destination in a directory, with its own decisions."""

    def _stage(self, action: steps.Stage) -> list[stages.Staged]:
        if action.epoch != moves.NO_EPOCH and _FINISHED in self.stages:
            return [stages.Staged.LATER] * len(action.records)
        answers, changes = stages.stage_all(_There(self), action.epoch, action.records, 0)
        self._commit_there(changes)
        return answers

    def _publish(self, action: steps.Publish) -> None:
        self._commit_there(stages.publish_all(_There(self), action.marks)[1])

    _publishforgood = _publish

    def _commit_there(self, changes: Sequence[Change]) -> None:
        for kind, id_, value in changes:
            part = self.live if id_ in (A, B) else self.stages
            if kind == DELETE:
                del part[id_]
            else:
                part[id_] = value

    def finish(self) -> None:
        super().finish()
        self.stages[_FINISHED] = b""

    def _is_unused(self, stage: bytes) -> bool:
        return bool(stage) and stages.is_of_a_mover(stage)


class Back(FromServers, ToDirectory):
    """A source on servers and a destination in a directory."""


_FINISHED = b"finished"


class _There:
    """The reader of a decision of the destination."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def get(self, key: bytes) -> bytes | None:
        id_ = key[len(SESSION) :]
        return (self._stores.live if id_ in (A, B) else self._stores.stages).get(id_)


class Call(NamedTuple):
    """A call of the store: what it does to the sessions of one store, and its steps."""

    name: str
    ids: tuple[bytes, ...]
    does: Callable[[dict[bytes, bytes]], Any]
    makes: bool = False
    of_subject: bool = False
    rotates_to: bytes | None = None

    def carry_out(self, sessions: dict[bytes, bytes]) -> Any:
        return self.does(sessions)

    def steps(self) -> Steps:
        if self.makes:
            return steps.of_a_new_session()
        if self.of_subject:
            return steps.of_a_subject(lambda here, there: here + there)
        return steps.of_one_session()


def read(id_: bytes = A) -> Call:
    return Call("read", (id_,), lambda sessions: version_in(sessions[id_]) if id_ in sessions else None)


def take(id_: bytes = A) -> Call:
    """A limited read, the last one."""
    return Call("take", (id_,), lambda sessions: version_in(sessions.pop(id_)) if id_ in sessions else None)


def delete(id_: bytes = A) -> Call:
    return Call("delete", (id_,), lambda sessions: sessions.pop(id_, None) is not None)


def update(version: int, id_: bytes = A) -> Call:
    def does(sessions: dict[bytes, bytes]) -> bool:
        if id_ in sessions:
            sessions[id_] = record_of(version)
        return id_ in sessions

    return Call("update", (id_,), does)


def rotate(old: bytes = A, new: bytes = B) -> Call:
    def does(sessions: dict[bytes, bytes]) -> str | None:
        if old not in sessions:
            return None
        sessions[new] = sessions.pop(old)
        return "new"

    return Call("rotate", (old,), does, rotates_to=new)


def revoke() -> Call:
    def does(sessions: dict[bytes, bytes]) -> int:
        return sum(sessions.pop(id_, None) is not None for id_ in (A, B))

    return Call("revoke", (A, B), does, of_subject=True)


def create(id_: bytes = B) -> Call:
    def does(sessions: dict[bytes, bytes]) -> bool:
        sessions[id_] = record_of(9)
        return True

    return Call("create", (id_,), does, makes=True)


Mover = Callable[[], Steps]


def mover() -> Steps:
    return steps.of_a_mover(lambda _id, _record: True)


class Violation(Exception):
    """A history that no order of the calls explains."""


class _Process(NamedTuple):
    answers: tuple[Any, ...] = ()
    after: frozenset[int] = frozenset()  # the processes that had ended when this one began
    ended: bool = False
    result: Any = None


class Search:
    """The search over all orders; `states` counts those that were entered."""

    def __init__(
        self,
        calls: Sequence[Call],
        movers: Sequence[Mover],
        *,
        stores: type[Stores] = Stores,
        movers_die: bool = True,
        finish: Mover = mover,
        sessions: Mapping[bytes, int] | None = None,
    ) -> None:
        self._calls = calls
        self._make = [call.steps for call in calls] + list(movers)
        self._stores = stores
        self._movers_die = movers_die
        self._finish = finish
        self._before = dict({A: 1} if sessions is None else sessions)
        self._explained: set[Any] = set()
        self.states = 0

    def run(self) -> int:
        """Search; return the number of states.

        Raises:
            Violation: the first history that cannot be explained.

        """
        source = frozenset((id_, record_of(version)) for id_, version in self._before.items())
        first: tuple[World, tuple[_Process, ...]] = (
            (source, frozenset(), frozenset()),
            tuple(_Process() for _ in self._make),
        )
        seen, waiting = {first}, [first]
        while waiting:
            world, processes = waiting.pop()
            self.states += 1
            running = [number for number, process in enumerate(processes) if not process.ended]
            if not running:
                self._check(world, processes)
            for number in running:
                followers = [self._step(world, processes, number)]
                if self._movers_die and number >= len(self._calls):
                    dead = processes[number]._replace(ended=True)
                    followers.append((world, (*processes[:number], dead, *processes[number + 1 :])))
                for follower in followers:
                    if follower not in seen:
                        seen.add(follower)
                        waiting.append(follower)
        return self.states

    def _step(self, world: World, processes: tuple[_Process, ...], number: int) -> tuple[World, tuple[_Process, ...]]:
        process = processes[number]
        if not process.answers:
            process = process._replace(after=frozenset(n for n, other in enumerate(processes) if other.ended))
        stores = self._stores(world)
        call = self._calls[number] if number < len(self._calls) else None
        generator = self._make[number]()
        action = next(generator)
        try:
            for answer in process.answers:
                action = generator.send(_thawed(answer))
            answer = _frozen(stores.carry_out(action, call))
            process = process._replace(answers=(*process.answers, answer))
            generator.send(_thawed(answer))
        except StopIteration as stop:
            process = process._replace(ended=True, result=stop.value)
            if stop.value is steps.Ended.DONE:
                stores.finish()
        return stores.world(), (*processes[:number], process, *processes[number + 1 :])

    def _check(self, world: World, processes: tuple[_Process, ...]) -> None:
        """Finish the move, read every token, and explain the history."""
        calls = [
            (call, process.after & frozenset(range(len(self._calls))), process.result)
            for call, process in zip(self._calls, processes, strict=False)
        ]
        stores = self._stores(world)
        if drive(stores, self._finish()) is steps.Ended.DONE:
            stores.finish()
        last = tuple((id_, drive(stores, steps.of_one_session(), read(id_))) for id_ in (A, B))
        history = tuple((call.name, after, result) for call, after, result in calls), last
        if history in self._explained:
            return
        if not any(self._explains(order, calls, last) for order in permutations(range(len(calls)))):
            raise Violation(f"{history} in {self.states} states")
        self._explained.add(history)

    def _explains(self, order: Sequence[int], calls: Sequence[tuple[Call, frozenset[int], Any]], last: Any) -> bool:
        sessions = {id_: record_of(version) for id_, version in self._before.items()}
        done: set[int] = set()
        for number in order:
            call, after, result = calls[number]
            if not after <= done or call.carry_out(sessions) != result:
                return False
            done.add(number)
        return all((version_in(sessions[id_]) if id_ in sessions else None) == found for id_, found in last)


def drive(stores: Stores, generator: Steps, call: Call | None = None) -> Any:
    """Carry out all steps of a process that runs alone."""
    answer = None
    while True:
        try:
            action = generator.send(answer)
        except StopIteration as stop:
            return stop.value
        answer = stores.carry_out(action, call)


class _Met(NamedTuple):
    """An `Outcome` that can be hashed."""

    value: Any
    marked: tuple[tuple[bytes, bytes], ...]
    has_begun: bool
    refused: moves.Rotation | None


def _frozen(answer: Any) -> Any:
    if isinstance(answer, Outcome):
        return _Met(answer.value, tuple(answer.marked.items()), answer.has_begun, answer.refused)
    return tuple(answer) if isinstance(answer, list) else answer


def _thawed(answer: Any) -> Any:
    if isinstance(answer, _Met):
        return Outcome(answer.value, dict(answer.marked), answer.has_begun, answer.refused)
    return list(answer) if type(answer) is tuple else answer
