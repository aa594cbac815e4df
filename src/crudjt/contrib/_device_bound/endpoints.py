"""The two paths at which browsers register the key of a device, and prove it to get another bound cookie.

As in the session core, calls of the store are yielded as values, and their answers are sent in.
"""

import logging
from collections.abc import Generator
from typing import Any

from crudjt._core.session import Session, read_at_ns
from crudjt.contrib._device_bound.answers import Answer, challenge, ended, instructions
from crudjt.contrib._device_bound.binding import Binding, binding_of, with_binding
from crudjt.contrib._device_bound.decisions import HeaderOf
from crudjt.contrib._device_bound.proofs import BadProof, Proof
from crudjt.contrib._device_bound.settings import DeviceBound
from crudjt.contrib._device_bound.tickets import is_challenge, new_cookie
from crudjt.contrib._sessions.calls import Call, Lifetime, Peek, Update
from crudjt.contrib._sessions.states import Held

logger = logging.getLogger("crudjt.contrib")

_MAX_CONFLICTS = 100  # each is another request that has written: a hundred in a row is a fault
_PROOF = "secure-session-response"

_NO_SESSION = Answer(401, (), b"no session")
_NOT_OFFERED = Answer(403, (), b"this session was not offered to a device")

Answering = Generator[Call, Any, Answer]


def answer(settings: DeviceBound, path: str, root: str, held: Held | None, header: HeaderOf) -> Answering:
    """Answer a request to one of the two paths.

    Args:
        settings: of the application.
        path: which of its paths it is.
        root: what comes before it in the URL.
        held: the session of the request's cookie.
        header: the headers of the request.

    """
    if held is None or held.read is None:
        return _NO_SESSION
    if path == settings.registration:
        return (yield from _register(settings, root, held, held.read, header))
    return _refresh(settings, root, held, held.read, header)


def seconds(session: Session) -> int:
    """Return when a session was read, in seconds since 1970, by the clock of the store."""
    return read_at_ns(session) // 1_000_000_000


def _register(settings: DeviceBound, root: str, held: Held, read: Session, header: HeaderOf) -> Answering:
    binding, now = held.device, seconds(read)
    if binding is None:
        return _NOT_OFFERED
    try:
        proof = _proof(binding, now, root + settings.registration, header)
        key = proof.own_key()
        proof.verify(key)
    except BadProof as problem:
        logger.info("a device was not registered for session %s: %s", held.id, str(problem))
        return Answer(403, (), b"no valid proof")
    kept = yield from _keep(held, Binding(binding.secret, binding.identifier, key, now), read)
    return kept if isinstance(kept, Answer) else _bound(settings, root, kept, read)


def _keep(held: Held, new: Binding, read: Session) -> Generator[Call, Any, Answer | Binding]:
    """Store the key of a device beside what other requests write; the first key wins."""
    current: Session | None = read
    for _ in range(_MAX_CONFLICTS):
        if current is None:
            return _NO_SESSION
        found = binding_of(current.data)
        if found is None:
            return _NOT_OFFERED
        if found.registered:
            if found.public_key == new.public_key:  # the answer to the first request was lost
                return found
            logger.warning("a second device tried to register for session %s", held.id)
            return Answer(403, (), b"this session is bound to another device")
        done = yield Update(held.token, with_binding(current.data, new), Lifetime(), current.version)
        if done is True:
            return new
        current = yield Peek(held.token)
    return Answer(503, (), b"the session is being changed: try again")


def _refresh(settings: DeviceBound, root: str, held: Held, read: Session, header: HeaderOf) -> Answer:
    identifier = _unquoted(header("sec-secure-session-id") or "")
    if not identifier:
        return Answer(400, (), b"Sec-Secure-Session-Id is missing")
    binding, now = held.device, seconds(read)
    if binding is None or binding.public_key is None or identifier != binding.name:
        return ended(identifier)
    try:
        _proof(binding, now, root + settings.refresh, header).verify(binding.public_key)
    except BadProof as problem:
        logger.info("the bound session %s was not refreshed yet: %s", held.id, str(problem))
        return Answer(403, (challenge(binding, now),), b"a proof is needed")
    return _bound(settings, root, binding, read)


def _bound(settings: DeviceBound, root: str, binding: Binding, read: Session) -> Answer:
    now = seconds(read)
    cookie = settings.set_cookie(new_cookie(binding.secret, now), read)
    headers = (("Set-Cookie", cookie), challenge(binding, now))
    return Answer(200, headers, instructions(settings, root, binding), "application/json")


def _proof(binding: Binding, now: int, path: str, header: HeaderOf) -> Proof:
    text = header(_PROOF)
    if not text:
        raise BadProof("there is none")
    proof = Proof(text)
    if not is_challenge(binding.secret, proof.challenge, now):
        raise BadProof("its challenge is not one of this session, or not recent")
    proof.require_audience(path)
    return proof


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text  # noqa: PLR2004 - both quotes
