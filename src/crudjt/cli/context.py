"""Settings that all commands share: where the store is, and how it is opened."""

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import click

from crudjt._backends.embedded.engine.directory import holds_store, prepare_directory
from crudjt._backends.grpc.location import access_token_in
from crudjt._core.clock import iso
from crudjt._core.keyring import generate_secret_key
from crudjt._registry import backend_of
from crudjt.base import Store
from crudjt.cli import keys
from crudjt.cli.notices import as_json, inform, warn
from crudjt.cli.progress import progress
from crudjt.errors import InvalidParameter, StoreInaccessible
from crudjt.opening import Location, OpenOptions, parse, resolve

_OF_DIRECTORIES = frozenset({"allow_shared_directory"})
_OF_SERVERS = frozenset({"replicas", "assume"})

Connecting = Path | bool | int | tuple[str, ...] | None
"""The value of an option that is for some stores only; ``None`` if it is not given."""


@dataclass
class Settings:
    """The options of the group.

    Attributes:
        location: as for `crudjt.open`; ``None`` where it is not given.
        secret_key_file: a file with the secret keys, for a store that takes any.
        json: whether to print JSON; a command has this option too.
        connection: the options for a server; ``None`` for each that is not given.
        new_key: whether the secret keys may be new to a store that exists.
        moving_to: as for `crudjt.open`.

    """

    location: Location | None
    secret_key_file: Path | None
    json: bool
    connection: dict[str, Connecting]
    new_key: bool = False
    moving_to: str | None = None

    @property
    def place(self) -> str | Path:
        """The URL or the directory of the store."""
        return resolve(self.location)

    def can_be_made(self) -> bool:
        """Tell whether there is no store yet; a location where none can be made is refused."""
        place = self.place
        if isinstance(place, Path):
            return not holds_store(place)
        if "create" not in backend_of(place).OPTIONS:
            raise click.UsageError("this command makes a store; --store must not be a server that has one")
        try:
            self.open(finds_sessions=False).close()
        except (StoreInaccessible, InvalidParameter):  # there is none, no key for it, or what comes up again later
            return True
        return False

    def refuse_url(self) -> None:
        """Refuse a URL, for a command that needs no store."""
        if self.location is not None and isinstance(self.place, str):
            raise click.UsageError("--store does not go with this command: it asks no store")

    def options(self, key_file: Path | None = None, *, create: bool = False) -> OpenOptions:
        """Return the options that `crudjt.open` takes for the store.

        Args:
            key_file: where to find the secret keys if ``--secret-key-file`` is not given.
            create: whether the command makes the store if there is none, and a secret key for a user who has none.

        Raises:
            StoreInaccessible: there is no store, and none is to be made or can be made.

        """
        place, options = self.place, self.connection_options()
        if "secret_key" in backend_of(place).OPTIONS:
            parse(place, {**options, "secret_key": generate_secret_key()})  # refuses before a key is made
            is_new = isinstance(place, Path) and not holds_store(place)
            if isinstance(place, Path) and is_new:
                if not create and not place.is_file():
                    raise StoreInaccessible(place, "there is no store here (to make one: crudjt init)")
                if place.exists():  # no key is made for a directory that cannot be a store
                    prepare_directory(place, create=create, allow_shared=options.get("allow_shared_directory", False))
            options["secret_key"] = keys.secret_keys(
                self.secret_key_file or key_file,
                place if isinstance(place, Path) else None,
                may_make=is_new if isinstance(place, Path) else create,
            )
            if "create" in backend_of(place).OPTIONS:
                options["create"] = create
        elif self.secret_key_file is not None:
            raise click.UsageError("--secret-key-file does not go with this store: the server has its own")
        return options

    def connection_options(self) -> OpenOptions:
        """Return the options that say how to connect to the store."""
        taken = set(backend_of(self.place).OPTIONS)
        options: dict[str, Any] = {}
        if self.moving_to is not None:
            options["moving_to"] = self.moving_to
            taken.update(backend_of(resolve(self.moving_to)).OPTIONS)
        for name, value in self.connection.items():
            parameter = name.removesuffix("_file")
            if value is not None and parameter not in taken:
                kind = "a directory" if name in _OF_DIRECTORIES else "a server"
                kind = "Valkey or Redis servers" if name in _OF_SERVERS else kind
                raise click.UsageError(f"--{name.replace('_', '-')} is only for {kind}")
            if isinstance(value, Path) and parameter == "access_token":
                options[parameter] = access_token_in(value)
            elif value is not None:
                options[parameter] = value
        return cast("OpenOptions", options)

    def open(self, options: OpenOptions | None = None, *, create: bool = False, finds_sessions: bool = True) -> Store:
        """Open the store.

        Says on the standard error output if it made one: a new store that was not expected is a wrong location.

        Args:
            options: what `options` returned, if it was called already.
            create: whether to make the store if there is none, and a secret key for a user who has none.
            finds_sessions: whether the command needs the right secret key to do what it is for.

        Raises:
            StoreInaccessible: there is no store, and none is to be made; no secret key that was given made a session in
                it, though there are some, and ``--new-key`` was not given.

        """
        parsed = parse(self.place, self.options(create=create) if options is None else options)
        is_new = isinstance(self.place, Path) and not holds_store(self.place)
        with progress("Opening"):  # after a crash or a boot, the log is read
            store = parsed.open()
        if is_new:
            inform(f"Made a new store: {self.place}")
        elif not self.new_key and not getattr(store, "key_is_known", True):
            if not finds_sessions:
                warn(f"{store.location}: the secret key is not the one that the sessions of this store were made with")
                return store
            store.close()
            raise StoreInaccessible(
                store.location,
                "the secret key is not the one that the sessions of this store were made with, so none would be found; "
                "give that one with --secret-key-file, or begin to use this one with --new-key",
            )
        return store

    def show(self, document: dict[str, Any], text: str = "") -> None:
        """Print a result: the document with ``--json``, else the text, if it has one."""
        line = as_json(with_times(document)) if self.json else text.encode()
        if not line:
            return
        try:
            click.echo(line)  # as bytes: JSON is UTF-8, whatever the terminal's encoding
        except OSError:
            with contextlib.suppress(OSError):
                sys.stdout.close()  # or Python tries once more when it ends, and exits with 120
            raise


def with_times(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with its times as text."""
    return {name: iso(value) if isinstance(value, datetime) else value for name, value in document.items()}
