"""The store of this process: the one that the settings describe, and while Django runs tests a temporary one."""

import multiprocessing.util
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

import crudjt
from crudjt._core.process_guard import guard, own_memory, renew
from crudjt.contrib._settings import (
    DEVICE_BOUND,
    MAX_DATA_BYTES,
    MAX_SESSIONS,
    OPEN,
    PREFIX,
    RECORD_CLIENT,
    RENEW_KEYS,
    max_sessions,
    open_configured,
    record_client,
    renew_keys,
    timeout,
)

LOCATION = f"{PREFIX}LOCATION"

# `manage.py test` sets its environment up after the application was imported, which may open the store.
_IS_TEST_COMMAND = sys.argv[1:2] == ["test"] and Path(sys.argv[0]).name in ("manage.py", "django-admin", "__main__.py")


class _Opening:
    """The lock of the thread that opens or closes the store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        guard(self)

    def __enter__(self) -> None:
        if not own_memory[0]:
            renew()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def leave_to_parent(self) -> None:
        """Make a lock of this process: a thread of the parent may have been opening the store."""
        self._lock = threading.Lock()


_opening = _Opening()
_open: list[crudjt.Store] = []
_tests_of_open = [0]  # what `tests` returned when the store was opened
_timeouts: dict[str, float | None] = {}  # those that were looked up
_max_sessions: dict[str, int | None] = {}  # as well
_records_client: dict[str, bool] = {}  # as well
_renews_keys: dict[str, bool] = {}  # as well
_offers_devices: dict[str, bool] = {}  # as well
_overrides = [0]  # how many tests in force have set the location


def setting(name: str) -> Any:
    """Return the value of a setting, ``None`` where it is not set."""
    return getattr(settings, name, None)


def timeout_of(name: str) -> float | None:
    """Return a timeout that is set, in seconds. It is looked up once: a missing setting costs Django microseconds.

    Raises:
        InvalidParameter: it is not a number above 0.

    """
    try:
        return _timeouts[name]
    except KeyError:
        value = _timeouts[name] = timeout(setting, name)
        return value


def max_sessions_of_user() -> int | None:
    """Return how many sessions a user may have, ``None`` for any number. It is looked up once, as the timeouts are.

    Raises:
        InvalidParameter: it is not a whole number, at least 1.

    """
    try:
        return _max_sessions[MAX_SESSIONS]
    except KeyError:
        value = _max_sessions[MAX_SESSIONS] = max_sessions(setting)
        return value


def records_client() -> bool:
    """Return whether sessions note the clients that they begin for. It is looked up once, as the timeouts are.

    Raises:
        InvalidParameter: it is no bool.

    """
    try:
        return _records_client[RECORD_CLIENT]
    except KeyError:
        value = _records_client[RECORD_CLIENT] = record_client(setting)
        return value


def renews_keys() -> bool:
    """Return whether sessions of older secret keys get new ones. It is looked up once, as the timeouts are.

    Raises:
        InvalidParameter: it is no bool.

    """
    try:
        return _renews_keys[RENEW_KEYS]
    except KeyError:
        value = _renews_keys[RENEW_KEYS] = renew_keys(setting)
        return value


def offers_devices() -> bool:
    """Return whether a login offers the browser to bind its session. It is looked up once, as the timeouts are."""
    try:
        return _offers_devices[DEVICE_BOUND]
    except KeyError:
        value = _offers_devices[DEVICE_BOUND] = setting(DEVICE_BOUND) is True
        return value


def tests() -> int:
    """Return the id of this process while it runs tests, else 0.

    They are those of pytest, whose plugin notes them, and those of ``manage.py test``, or for which Django's test
    environment is set up. 0 too while a test overrides ``CRUDJT_LOCATION``: it then gets the store that it describes.
    """
    if _overrides[0]:
        return 0
    if _IS_TEST_COMMAND:
        return os.getpid()
    modules = sys.modules
    plugin: Any = modules.get("_crudjt_pytest")
    if plugin is not None and plugin.running:
        return os.getpid()
    utils: Any = modules.get("django.test.utils")
    return os.getpid() if utils is not None and hasattr(getattr(utils, "_TestState", None), "saved_data") else 0


def get_store() -> crudjt.Store:
    """Return the store that the ``CRUDJT_*`` settings describe, opened at the first call.

    While Django runs tests it is a temporary store of this process, so that no test meets the sessions of users, nor
    those of tests that run in parallel.

    Raises:
        InvalidParameter: a setting is not usable.
        StoreError: the store cannot be opened.

    """
    wanted = tests()
    try:
        if _tests_of_open[0] == wanted:
            return _open[0]
    except IndexError:
        pass
    with _opening:
        if _tests_of_open[0] != wanted:
            _close()
            _tests_of_open[0] = wanted
        if not _open:
            _open.append(_temporary() if wanted else open_configured(setting))
        return _open[0]


@contextmanager
def use_store(store: crudjt.Store) -> Generator[crudjt.Store]:
    """Keep the sessions of Django in a store for a block, for tests: in an empty one, or in one with a clock to move.

    The caller closes the store. A setting that is overridden inside the block closes it too.
    """
    with _opening:
        _close()
        _open.append(store)
        _tests_of_open[0] = tests()
    try:
        yield store
    finally:
        with _opening:
            _open.clear()


def _temporary() -> crudjt.Store:
    directory = tempfile.mkdtemp(prefix="crudjt-tests-")
    limit: dict[str, Any] = {} if setting(MAX_DATA_BYTES) is None else {"max_data_bytes": setting(MAX_DATA_BYTES)}
    store = crudjt.open(Path(directory), secret_key=crudjt.generate_secret_key(), **limit)

    def remove(process: int) -> None:
        if process == os.getpid():
            store.close()
            shutil.rmtree(directory, ignore_errors=True)

    # As atexit, but the processes of parallel tests, which end without its functions, call it too.
    multiprocessing.util.Finalize(None, remove, args=(os.getpid(),), exitpriority=0)
    return store


def _close() -> None:
    while _open:
        _open.pop().close()


def _forget(*, setting: str, enter: bool, **_: object) -> None:
    """Close the store when a test overrides its settings; the next call opens the one that they describe then."""
    _timeouts.pop(setting, None)
    _max_sessions.pop(setting, None)
    _records_client.pop(setting, None)
    _renews_keys.pop(setting, None)
    _offers_devices.pop(setting, None)
    if setting in OPEN:
        with _opening:
            _overrides[0] += (1 if enter else -1) if setting == LOCATION else 0
            _close()


setting_changed.connect(_forget)
