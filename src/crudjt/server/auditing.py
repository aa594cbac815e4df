"""Record what clients do that is for operators, in the audit log."""

import hashlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from crudjt._core.audit import audit
from crudjt.server.services.method import Method

_FINGERPRINT_DIGITS = 8


class Audit:
    """One call, as the audit log has it.

    Attributes:
        response: what the call has answered, for its result; ``None`` where it streams.

    """

    def __init__(self) -> None:
        """Begin without a response."""
        self.response: Any = None

    def result(self) -> tuple[str, dict[str, int]]:
        """Return "done" or "missing", and how many sessions were ended."""
        response = self.response
        if response is None:
            return "done", {}
        fields: set[str] = {field.name for field in response.DESCRIPTOR.fields}
        if "found" in fields and not response.found:
            return "missing", {}
        if "session" in fields and not response.HasField("session"):
            return "missing", {}
        return "done", {"ended": response.ended} if "ended" in fields else {}


@contextmanager
def audited(method: Method, request: Any, context: grpc.ServicerContext) -> Generator[Audit]:
    """Record the call of a block, whose method is for operators."""
    call, action = Audit(), method.action or ""
    operator, details = _operator(context), dict(_details(request))
    if method.endless:  # which may end only with the server
        audit(operator, action, "begun", **details)
    try:
        yield call
    except BaseException as error:
        audit(operator, action, type(error).__name__, **details)
        raise
    result, numbers = call.result()
    audit(operator, action, result, **details, **numbers)


def _operator(context: grpc.ServicerContext) -> str:
    """Return the address of a client, and a fingerprint of its access token: the first digits of its SHA-256."""
    sent = [value for key, value in context.invocation_metadata() if key == "authorization"]
    if not sent:
        return str(context.peer())
    token = sent[0].encode() if isinstance(sent[0], str) else sent[0]
    digest = hashlib.sha256(token.partition(b" ")[2]).hexdigest()[:_FINGERPRINT_DIGITS]
    return f"access token {digest} from {context.peer()}"


def _details(request: Any) -> Iterator[tuple[str, str]]:
    fields = {field.name for field in request.DESCRIPTOR.fields}
    if "id" in fields:
        yield "handle", request.id.hex()
    if "subject" in fields and request.subject:
        yield "subject", request.subject
