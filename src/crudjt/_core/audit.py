"""The audit log: what operators do, in records of the logger ``crudjt.audit``. None holds a token or data."""

import logging

_logger = logging.getLogger("crudjt.audit")


def audit(operator: str, action: str, result: str, **details: str | int | None) -> None:
    """Log what an operator did.

    The record has the same as a dict, in its attribute ``audit``, for handlers that write JSON.

    Args:
        operator: who did it.
        action: what, as a verb and its object: "end session".
        result: "done", "missing", or the name of an error.
        details: handles, subjects and numbers. Never a token or data.

    """
    record = {"operator": operator, "action": action, "result": result, **details}
    text = ", ".join(f"{name} {value!r}" for name, value in details.items() if value is not None)
    _logger.info("%s: %s: %s (%s)", operator, action, result, text, extra={"audit": record})
