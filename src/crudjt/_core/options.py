"""The options of an embedded store: one frozen object, validated once."""

from dataclasses import dataclass
from typing import Literal

from crudjt._core.clock import Clock, system_clock
from crudjt.errors import InvalidParameter, InvalidType

Durability = Literal["interval", "replicated", "full"]
"""When a change is acknowledged; "replicated" is for stores that have replicas."""

_OF_A_DIRECTORY = ("interval", "full")

MIN_MAX_SIZE = 1024**2
DEFAULT_MAX_DATA_BYTES = 64 * 1024
DEFAULT_MAX_CACHE_BYTES = 32 * 1024**2


@dataclass(frozen=True, kw_only=True)
class Options:
    """The settings of an embedded store. `crudjt.open` documents each.

    Raises:
        InvalidParameter: a value is out of range.

    """

    durability: Durability = "interval"
    sync_interval: float = 0.5
    sweep_interval: float = 86_400.0
    max_size: int | None = None
    max_data_bytes: int = DEFAULT_MAX_DATA_BYTES
    max_cache_bytes: int = DEFAULT_MAX_CACHE_BYTES
    clock: Clock = system_clock
    create: bool = True
    allow_shared_directory: bool = False

    def __post_init__(self) -> None:
        """Check every value."""
        if self.durability not in _OF_A_DIRECTORY:
            raise InvalidParameter("durability", f"durability must be 'interval' or 'full', not {self.durability!r}")
        _require_number("sync_interval", self.sync_interval, 0.001, 3600, "seconds")
        _require_number("sweep_interval", self.sweep_interval, 0.001, 10**9, "seconds")
        require_max_data_bytes(self.max_data_bytes)
        _require_integer("max_cache_bytes", self.max_cache_bytes, 0, 2**40)
        if self.max_size is not None:
            _require_integer("max_size", self.max_size, MIN_MAX_SIZE, 2**45)
        for name in ("create", "allow_shared_directory"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidType(name, f"{name} must be True or False")
        require_clock(self.clock)


def require_max_data_bytes(value: int) -> None:
    """Check a largest size of data."""
    _require_integer("max_data_bytes", value, 1, 16 * 1024**2)


def require_clock(clock: Clock) -> None:
    """Check a source of time."""
    if not callable(clock):
        raise InvalidType("clock", "clock must be a callable that returns nanoseconds as an int")


def _require_number(name: str, value: float, low: float, high: float, unit: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidType(name, f"{name} must be a number of {unit}, not {type(value).__name__}")
    if not low <= value <= high:
        raise InvalidParameter(name, f"{name} must be from {low} to {high} {unit}, not {value!r}")


def _require_integer(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidType(name, f"{name} must be an int (bytes), not {type(value).__name__}")
    if not low <= value <= high:
        raise InvalidParameter(name, f"{name} must be from {low} to {high} bytes, not {value}")
