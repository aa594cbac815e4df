"""The calls of a store, as each backend has to take them."""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

SIGNATURES = {
    "create": (
        "(self, data, ttl=None, max_reads=None, *, idle=None, subject=None, max_sessions=None, "
        "when_full='end_oldest', client=None, bound_to=None, labels=())"
    ),
    "read": "(self, token)",
    "peek": "(self, token)",
    "update": "(self, token, data, ttl=KEEP, max_reads=KEEP, *, idle=KEEP, if_version=None)",
    "touch": "(self, token, ttl=KEEP, *, idle=KEEP)",
    "rotate": (
        "(self, token, *, data=None, subject=KEEP, ttl=KEEP, idle=KEEP, if_version=None, max_sessions=None, "
        "when_full='end_oldest', client=KEEP, bound_to=KEEP, labels=KEEP)"
    ),
    "delete": "(self, token)",
    "sessions": "(self, subject)",
    "revoke": "(self, subject=None, *, keep=None, label=None)",
    "revoke_id": "(self, id, *, subject=None)",
    "create_many": "(self, data, ttl=None, max_reads=None, *, idle=None, subject=None)",
    "read_many": "(self, tokens)",
    "delete_many": "(self, tokens)",
    "stats": "(self)",
    "sweep": "(self)",
    "sync": "(self)",
    "backup": "(self, path)",
    "close": "(self)",
    "count": "(self, subject=None)",
    "find": "(self, id)",
    "list": "(self, *, after=None, limit=100, subject=None, created_before=None, data=False)",
}


PROPERTIES = {"location", "durable", "max_data_bytes"}


def called(function: Callable[..., Any]) -> str:
    """Return a signature without its annotations, whose spelling differs between versions of Python."""
    signature = inspect.signature(function)
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def public(owner: object) -> set[str]:
    return {
        name for name, value in vars(owner).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
