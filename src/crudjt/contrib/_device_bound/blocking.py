"""Device bound sessions for frameworks that block: steps of the session before a view, and at its response."""

import logging
from typing import NamedTuple
from urllib.parse import quote

import crudjt
from crudjt.contrib._device_bound.answers import UNAVAILABLE, Answer, offer, refusal
from crudjt.contrib._device_bound.decisions import HeaderOf, Verdict, verdict
from crudjt.contrib._device_bound.endpoints import answer, seconds
from crudjt.contrib._device_bound.settings import DeviceBound
from crudjt.contrib._sessions import sync
from crudjt.contrib._sessions.states import Held
from crudjt.errors import CrudjtError

logger = logging.getLogger("crudjt.contrib")


class Asked(NamedTuple):
    """A request, as far as device bound sessions depend on it. `root` is what comes before the path in the URL."""

    method: str
    root: str
    path: str
    header: HeaderOf
    cookie: str | None


def asked(method: str, root: str, path: str, header: HeaderOf, cookie: str | None) -> Asked:
    """Return a request whose root comes as the server has decoded it."""
    return Asked(method, quote(root.rstrip("/"), safe="/"), path, header, cookie)


def owned(settings: DeviceBound, request: Asked) -> bool:
    """Return whether a request is to a path at which browsers prove that they are on the device."""
    return request.method == "POST" and settings.owns(request.path)


def decide(settings: DeviceBound, store: crudjt.Store, request: Asked, held: Held | None) -> Answer | Verdict:
    """Return the answer to a request, or whether the application gets a session: `SERVE` or `EMPTY`."""
    binding, read = (None, None) if held is None else (held.device, held.read)
    if owned(settings, request) and (settings.offers or binding is not None):
        return answered(settings, store, request, held)
    if held is None or binding is None or read is None:
        return Verdict.SERVE
    now = seconds(read)
    given = verdict(binding, request.cookie, now, request.method, request.header, read.id)
    return refusal(given, binding, now) or given


def answered(settings: DeviceBound, store: crudjt.Store, request: Asked, held: Held | None) -> Answer:
    """Answer a request to one of the paths."""
    try:
        return sync.run(store, answer(settings, request.path, request.root, held, request.header))
    except CrudjtError as error:
        return unavailable(error)


def unavailable(error: CrudjtError) -> Answer:
    """Return the answer while the store fails, and log why."""
    logger.error("the store failed, so a device is not answered", exc_info=error)
    return UNAVAILABLE


def response_headers(
    settings: DeviceBound, store: crudjt.Store, root: str, before: Held | None, after: Held | None
) -> list[tuple[str, str]]:
    """Return headers for a response, by the session that the request found and the one that it leaves."""
    was_bound = before is not None and before.device is not None and before.device.registered
    if after is None:
        return [("Set-Cookie", settings.forget_cookie())] if was_bound else []
    binding = after.device
    has_new_token = before is None or before.token != after.token
    if binding is None or binding.registered or not (settings.offers and has_new_token):
        return []
    try:  # no error may keep the browser from its new token
        read = store.peek(after.token)
    except CrudjtError:
        logger.exception("the store failed, so a session is not offered to the device of its browser")
        return []
    return [] if read is None else [offer(settings, quote(root.rstrip("/"), safe="/"), binding, seconds(read))]
