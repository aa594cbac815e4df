"""Device bound sessions for frameworks that block: what becomes of a request before a view serves it."""

import logging
from typing import NamedTuple

import crudjt
from crudjt.contrib._device_bound.answers import UNAVAILABLE, Answer, refusal
from crudjt.contrib._device_bound.decisions import HeaderOf, Verdict, verdict
from crudjt.contrib._device_bound.endpoints import answer, seconds
from crudjt.contrib._device_bound.headers import quoted_root
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
    return Asked(method, quoted_root(root), path, header, cookie)


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
