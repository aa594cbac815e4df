"""An example of every error, with its fields."""

import inspect
from pathlib import Path

import crudjt
from crudjt import errors
from crudjt.errors import CrudjtError

PATH = Path("place")
URL = "valkey://host/sessions"


EXAMPLES: list[tuple[CrudjtError, dict[str, object]]] = [
    (
        crudjt.InvalidParameter("ttl", "ttl must be above 0"),
        {"parameter": "ttl", "problem": "ttl must be above 0"},
    ),
    (
        crudjt.InvalidType("token", "token must be a str"),
        {"parameter": "token", "problem": "token must be a str"},
    ),
    (crudjt.DataTooLarge(5000, 4096), {"size": 5000, "limit": 4096, "parameter": "data"}),
    (crudjt.VersionConflict(1, 2), {"expected": 1, "actual": 2}),
    (crudjt.TooManySessions(3), {"max_sessions": 3}),
    (
        crudjt.DataMismatch("0" * 32, "User", "Object missing required field `id`"),
        {"session": "0" * 32, "model": "User", "problem": "Object missing required field `id`"},
    ),
    (crudjt.MissingDependency("gRPC", "grpc"), {"dependency": "gRPC", "extra": "grpc"}),
    (crudjt.StoreClosed(), {}),
    (crudjt.StoreUnavailable("grpc://host", "no answer"), {"location": "grpc://host", "reason": "no answer"}),
    (crudjt.StoreBusy(PATH, "is being recovered", 1.5), {"path": PATH, "reason": "is being recovered", "waited": 1.5}),
    (crudjt.StoreFull(PATH, "the disk is full"), {"path": PATH, "reason": "the disk is full"}),
    (crudjt.StoreFailed(PATH, "a sync failed"), {"path": PATH, "reason": "a sync failed"}),
    (crudjt.StoreInaccessible(PATH, "is a file"), {"path": PATH, "reason": "is a file"}),
    (crudjt.StoreMoved(PATH, "is elsewhere"), {"path": PATH, "reason": "is elsewhere"}),
    (crudjt.StoreFormatError(PATH, 2, 1), {"path": PATH, "found": 2, "supported": 1}),
    (crudjt.StoreCorrupt(PATH, 4096, "the CRC differs"), {"path": PATH, "offset": 4096, "reason": "the CRC differs"}),
    (crudjt.StoreFull(URL, "its memory is full"), {"path": URL, "reason": "its memory is full"}),
    (crudjt.StoreCorrupt(URL, None, "a record is damaged"), {"path": URL, "reason": "a record is damaged"}),
]


def error_classes() -> dict[str, type[CrudjtError]]:
    found = {name: each for name, each in vars(errors).items() if inspect.isclass(each)}
    return {name: each for name, each in found.items() if issubclass(each, CrudjtError)}
