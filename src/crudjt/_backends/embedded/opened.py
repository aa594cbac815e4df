"""An open store directory as one `Store` has it: its engine, keys, read cache and clock."""

import logging
import weakref
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from crudjt._backends.embedded.engine import known_keys, moving, registry
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.read_cache import ReadCache
from crudjt._core.changes import Decision, Result
from crudjt._core.clock import NS_PER_MS
from crudjt._core.keyring import Keyring
from crudjt._core.operations import Sessions
from crudjt._core.options import Options
from crudjt.base import Store
from crudjt.errors import StoreClosed, StoreCorrupt

logger = logging.getLogger("crudjt.secret_key")


class _Closed:
    """Replaces the engine after close(): any use raises StoreClosed."""

    def __getattr__(self, _name: str) -> NoReturn:
        raise StoreClosed


class _Unnoted:
    """Makes sessions while the manifest lacks a key: any use notes the keys first, and then never comes here again."""

    def __init__(self, store: "OpenedStore") -> None:
        self._store = weakref.ref(store)

    def __getattr__(self, name: str) -> object:
        store = self._store()
        assert store is not None, "a method of the store is running"
        return getattr(store.noted_sessions(), name)


def _refuse(_token: str) -> NoReturn:
    raise StoreClosed


class OpenedStore(Store):
    """The part of a store in a directory that all its methods share."""

    def __init__(self, directory: Path, secrets: Sequence[bytes], options: Options) -> None:
        """Open or create the store in a directory; use `crudjt.open` instead."""
        engine = registry.acquire(directory, options)
        try:
            self._refuse_moves(engine)
            keyring = Keyring(secrets, engine.salt)
            found = known_keys.find_keys(engine, keyring)
            if not found.known:
                logger.warning(
                    "%s: its sessions are not found: none was made with this secret key; add the one that did",
                    directory,
                )
        except BaseException:
            registry.release(engine, options)
            raise
        self._directory = directory
        self._options = options
        self._engine: Engine = engine
        self._key_is_known = found.known
        self._sessions = Sessions(keyring, found.placement, partial(_damaged, directory))
        unnoted: Any = _Unnoted(self)
        self._minting: Sessions = self._sessions if found.noted else unnoted  # what makes sessions under the newest key
        self._clock = options.clock
        self._max_data_bytes = options.max_data_bytes
        self._durable = options.durability == "full"
        self._cache = ReadCache(options.max_cache_bytes)
        self._cached = self._cache.get
        self._words = engine.words
        self._abandon = weakref.finalize(self, registry.abandon, (engine, options))
        self._abandon.atexit = False

    @property
    def location(self) -> str:
        return str(self._directory)

    @property
    def durable(self) -> bool:
        return self._durable

    @property
    def max_data_bytes(self) -> int:
        return self._max_data_bytes

    def close(self) -> None:
        engine = self._engine
        if isinstance(engine, _Closed):
            return
        closed: Any = _Closed()  # takes the place of any part, so that every use raises
        refuse: Any = _refuse
        self._engine = self._cache = self._sessions = self._minting = closed
        self._cached = refuse
        self._abandon.detach()
        registry.release(engine, self._options)

    def __repr__(self) -> str:
        """Return the location and state, without any data."""
        state = "closed" if isinstance(self._engine, _Closed) else "open"
        return f"<EmbeddedStore {str(self._directory)!r} {state}>"

    @property
    def key_is_known(self) -> bool:
        """Whether one of the secret keys has made a session here, or none has yet."""
        return self._key_is_known

    def find_lock(self) -> None:
        """Prepare `writes_at_once`. It may have to wait, as a write."""
        self._engine.find_lock()

    def writes_at_once(self) -> bool:
        """Tell whether a small write would wait for nothing now. The first session under a new key waits for files."""
        return self._engine.is_free() and self._minting is self._sessions

    def _refuse_moves(self, engine: Engine) -> None:
        """Refuse a store whose sessions are being moved from it or to it."""
        engine.refuse_move()
        moving.refuse_arrival(engine)

    def noted_sessions(self) -> Sessions:
        """Note the keys in the manifest, before one of them makes its first session."""
        sessions = self._sessions
        placement = known_keys.note_keys(self._engine, sessions.keyring)
        self._key_is_known = True
        self._sessions = self._minting = Sessions(sessions.keyring, placement, partial(_damaged, self._directory))
        return self._minting

    def _now_ms(self) -> int:
        clock = self._clock
        return clock() // NS_PER_MS

    def _write(self, decide: Decision[Result], *arguments: Any) -> Result:
        return self._engine.write(decide, arguments, self._durable)


def _damaged(directory: Path, id_: bytes) -> StoreCorrupt:
    return StoreCorrupt(directory, 0, f"the record of session {id_.hex()} is damaged")
