"""Servers as a model in memory, with a driver that runs the steps of operations and loses replies where it is told."""

from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, cast

from crudjt._backends.valkey.requests import LOST, PRIMARIES, Ask, Node, Reply, Result, Script, Steps, Value, together
from crudjt._backends.valkey.scripts import COMMIT, END, EXCHANGE, FIELDS, FILE, INSERT_ONE, LOOK, REPLACE_ONE
from crudjt._core.record import NONCE
from crudjt.errors import StoreError

NODE = Node("model", 1)


class ModelledServers:
    """The keys of a store, and a driver for it.

    Attributes:
        keys: records by key.
        indexes: members and scores by key.
        sent: every request that was sent, in order.
        replicas: how many acknowledge a write.
        index_ms: how long each index lives, in milliseconds; -1 for ever.
        lose: the number of the request, from 1, whose reply is lost the first time; 0 for none.
        carried_out: whether that request is carried out before its reply is lost.
        fail: raises instead of carrying a request out, if it is to fail.
        before: called with each request before it is carried out.

    """

    def __init__(self) -> None:
        self.keys: dict[bytes, bytes] = {}
        self.indexes: dict[bytes, dict[bytes, float]] = {}
        self.sent: list[Ask] = []
        self.replicas = 0
        self.index_ms = -1
        self.lose = 0
        self.carried_out = False
        self.fail: Callable[[Ask], StoreError | None] = lambda _ask: None
        self.before: Callable[[Ask], None] = lambda _ask: None

    def run(self, steps: Steps[Result]) -> Result:
        """Carry out an operation."""
        try:
            asks = next(steps)
            while True:
                try:
                    replies = together(asks, [self._answer(ask) for ask in asks])
                except StoreError as error:
                    asks = steps.throw(error)
                else:
                    asks = steps.send(replies)
        except StopIteration as end:
            result: Result = end.value
            return result

    def _answer(self, ask: Ask) -> Reply:
        self.sent.append(ask)
        if (error := self.fail(ask)) is not None:
            raise error
        self.before(ask)
        acknowledged = self.replicas if ask.replicas else 0
        if len(self.sent) != self.lose:
            return Reply(self._carry_out(ask), acknowledged)
        if self.carried_out:
            self._carry_out(ask)
        if not ask.repeat:
            return Reply(LOST)
        return Reply(self._carry_out(ask), acknowledged, repeated=True)

    def _carry_out(self, ask: Ask) -> Value:
        if ask is PRIMARIES:
            return [NODE]
        if ask.script is COMMIT:
            return self._commit(ask.args)
        if ask.script is not None:
            scripts: dict[Script, Callable[..., Value]] = {
                REPLACE_ONE: self._replace_one,
                INSERT_ONE: self._insert_one,
                END: self._end,
                EXCHANGE: self._exchange,
                FILE: self._file,
                LOOK: self._look,
            }
            return scripts[ask.script](*ask.args)
        name, *arguments = ask.args
        commands: dict[bytes, Callable[..., Value]] = {
            b"GET": self._get,
            b"GETRANGE": self._get_range,
            b"ZRANGE": self._members,
            b"ZREMRANGEBYSCORE": self._remove_members,
            b"ZREM": self._remove_member,
            b"ZSCORE": self._score,
            b"SCAN": self._scan,
            b"SET": self._set_new,
        }
        return commands[cast("bytes", name)](*arguments)

    def _get(self, key: Any) -> Value:
        return self.keys.get(key)

    def _get_range(self, key: Any, first: Any, last: Any) -> Value:
        return self.keys.get(key, b"")[first : last + 1]

    def _members(self, key: Any, first: Any, last: Any, with_scores: Any = None) -> Value:
        members = sorted(self.indexes.get(key, {}).items(), key=lambda each: (each[1], each[0]))
        if with_scores:
            return cast("Value", [text for member, score in members for text in (member, str(score).encode())])
        return cast("Value", [member for member, _ in members[first : None if last == -1 else last + 1]])

    def _remove_members(self, key: Any, _first: Any, last: Any) -> Value:
        members = self.indexes.get(key, {})
        kept = {member: score for member, score in members.items() if score > last}
        self._set_index(key, kept)
        return len(members) - len(kept)

    def _remove_member(self, key: Any, *removed: Any) -> Value:
        members = self.indexes.get(key, {})
        kept = {other: score for other, score in members.items() if other not in removed}
        self._set_index(key, kept)
        return len(members) - len(kept)

    def _score(self, key: Any, member: Any) -> Value:
        score = self.indexes.get(key, {}).get(member)
        return None if score is None else str(score).encode()

    def _file(self, _count: Any, key: Any, _now: Any, score: Any, id_: Any) -> Value:
        members = self.indexes.setdefault(key, {})
        members[id_] = max(members.get(id_, float("-inf")), float(score))
        return 1

    def _look(self, _count: Any, session: Any, index: Any, id_: Any) -> Value:
        score = self.indexes.get(index, {}).get(id_)
        head = self.keys.get(session, b"")[: NONCE.stop]
        return cast("Value", [head, None if score is None else str(score).encode(), self.index_ms])

    def _scan(self, _cursor: Any, _match: Any, pattern: Any, *_count: Any) -> Value:
        kind = pattern.partition(b"}")[2][:1]  # none: all keys of a namespace
        found = [key for key in (*self.keys, *self.indexes) if key.partition(b"}")[2][:1] == kind or not kind]
        return cast("Value", [b"0", found])

    def _set_new(self, key: Any, value: Any, _nx: Any) -> Value:
        if key in self.keys:
            return None
        self.keys[key] = value
        return b"OK"

    def _exchange(self, _count: Any, key: Any, read: Any, changed: Any) -> Value:
        if self.keys.get(key) != read:
            return 0
        self.keys[key] = changed
        return 1

    def _replace_one(self, _count: Any, key: Any, nonce: Any, record: Any, *_px: Any) -> Value:
        if self.keys.get(key, b"")[NONCE] != nonce:
            return cast("Value", [1, self.keys.get(key)])
        self.keys[key] = record
        return b"1"

    def _insert_one(self, _count: Any, key: Any, epoch: Any, record: Any, *_px: Any) -> Value:
        if self.keys.get(epoch):
            return cast("Value", [0, None])
        if key in self.keys:
            return cast("Value", [1, self.keys[key]])
        self.keys[key] = record
        return b"0"

    def _end(self, _count: Any, index: Any, *keys_and_now: Any) -> Value:
        keys = keys_and_now[:-1]
        nonces = [self.keys.get(key, b"")[NONCE] for key in keys]
        if bytes(24) in nonces:
            number = nonces.index(bytes(24))
            return cast("Value", [number + 1, self.keys[keys[number]]])
        for key in keys:
            self.keys.pop(key, None)
        if index != keys[0]:
            self._remove_member(index, *[key[-16:] for key in keys])
        return b"".join(b"1" if nonce else b"0" for nonce in nonces)

    def _set_index(self, key: bytes, members: dict[bytes, float]) -> None:
        if members:
            self.indexes[key] = members
        else:
            self.indexes.pop(key, None)

    def _commit(self, args: Sequence[Any]) -> Value:
        """Do what the script does; the contract suite runs the script itself."""
        count: int = args[0]
        keys, (_now, again, *values) = args[1 : count + 1], args[count + 1 :]
        changes = [
            (keys[2 * at], keys[2 * at + 1], *values[FIELDS * at : FIELDS * (at + 1)]) for at in range(count // 2)
        ]
        assert len({key.partition(b"}")[0] for key in keys}) == 1, "the keys of a script share a slot"
        if count % 2 and not again and keys[-1] in self.keys:
            return cast("Value", [0, None])
        found = b""
        for number, (key, _, kind, nonce, record, _, _, _) in enumerate(changes, 1):
            current = self.keys.get(key, b"")[NONCE]
            if kind == b"C":
                ids = b"".join(cast("list[bytes]", self._members(key, 0, -1)))
                if not again and sha1(ids, usedforsecurity=False).hexdigest().encode() != nonce:
                    return cast("Value", [number, None])
            elif again:
                if kind in b"IR" and current != record[NONCE]:
                    return cast("Value", [number, None])
            elif (current == bytes(24)) if kind == b"X" else (current != nonce):
                return cast("Value", [number, self.keys.get(key)])
            found += b"1" if current else b"0"
        for key, index, kind, _, _, _, _, id_ in changes:
            if kind in b"DX":
                self.keys.pop(key, None)
                if index != key:
                    members = self.indexes.get(index, {})
                    self._set_index(index, {member: score for member, score in members.items() if member != id_})
        for key, index, kind, _, record, _, score, id_ in changes:
            if kind in b"IR":
                self.keys[key] = record
                if index != key:
                    self.indexes.setdefault(index, {})[id_] = float(score)
        return found
