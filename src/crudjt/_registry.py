"""The backends by the scheme of their locations, and what each of their modules has.

The backends of crudjt are listed here; another package adds one with an entry point in the group ``crudjt.backends``,
whose name is the scheme and whose value is a module with the members of `Backend`. A backend is imported when a
location of its scheme is opened.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from crudjt._core.report import Report
from crudjt.base import Store
from crudjt.errors import InvalidParameter

ENTRY_POINTS = "crudjt.backends"
DIRECTORY_BACKEND = "crudjt._backends.embedded"
BACKENDS = {
    "grpc": "crudjt._backends.grpc",
    "grpcs": "crudjt._backends.grpc",
    "unix": "crudjt._backends.grpc",
    "valkey": "crudjt._backends.valkey",
    "valkeys": "crudjt._backends.valkey",
    "valkey+cluster": "crudjt._backends.valkey",
    "valkeys+cluster": "crudjt._backends.valkey",
    "redis": "crudjt._backends.valkey",
    "rediss": "crudjt._backends.valkey",
    "redis+cluster": "crudjt._backends.valkey",
    "rediss+cluster": "crudjt._backends.valkey",
}
"""The modules of our own backends, by scheme."""


class Backend(Protocol):
    """A module that opens the locations of some schemes. Importing it does not import its driver."""

    @property
    @abstractmethod
    def SCHEMES(self) -> Collection[str]:  # noqa: N802 - a constant of the module
        """The URL schemes that it opens, in lower case."""

    @property
    @abstractmethod
    def OPTIONS(self) -> Collection[str]:  # noqa: N802 - a constant of the module
        """The options of `crudjt.open` that it takes. Any other is refused."""

    def parse(self, location: Any, options: Mapping[str, Any]) -> Any:
        """Check a location and its options, and return what `open_store` needs. Connects to nothing.

        Args:
            location: the URL as it was given; for the backend of directories, an absolute path.
            options: some of `OPTIONS`, with their values.

        Raises:
            InvalidParameter: the location or an option is not usable.

        """

    @abstractmethod
    def open_store(self, parsed: Any) -> Store:
        """Open the store that `parse` returned."""


class Examine(Protocol):
    """The optional member ``examine`` of a `Backend`: checks its stores for the command ``crudjt doctor``."""

    def __call__(
        self, location: Any, options: Mapping[str, Any], *, repair: bool, progress: Callable[[int, int], object]
    ) -> Report:
        """Check a store, without a secret key, and repair it first if told to.

        Args:
            location: as for `Backend.parse`.
            options: how to connect to the store.
            repair: whether to change anything.
            progress: takes how much is done, and how much there is to do, in any unit.

        """
        ...


def backend_of(location: str | Path) -> Backend:
    """Return the backend of a location that `resolve` returned, imported.

    Raises:
        InvalidParameter: no backend has its scheme.

    """
    if isinstance(location, Path):
        return cast("Backend", import_module(DIRECTORY_BACKEND))
    scheme = scheme_of(location)
    if scheme in BACKENDS:
        return cast("Backend", import_module(BACKENDS[scheme]))
    from importlib.metadata import entry_points  # noqa: PLC0415 - takes long to import

    others = {each.name.lower(): each for each in entry_points(group=ENTRY_POINTS)}
    if scheme in others:
        return cast("Backend", others[scheme].load())
    known = ", ".join(f"{each}:" for each in sorted(BACKENDS.keys() | others.keys()))
    raise InvalidParameter(
        "location",
        f"location begins with {scheme}:, which is not a known scheme ({known}); to open a directory with this "
        "name, put ./ before it or pass a pathlib.Path",
    )


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, in lower case."""
    return url.partition(":")[0].lower()


def examiner(place: str | Path) -> Examine | None:
    """Return what checks the stores of a backend, ``None`` if it has no such thing; `place` is as for `backend_of`."""
    found: Examine | None = getattr(backend_of(place), "examine", None)
    return found
