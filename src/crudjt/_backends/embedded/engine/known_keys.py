"""Note in the manifest which secret keys a store was written with, and read or make its placement key.

A key is noted before it first makes a session, not when the store is opened with it: who only looks into a store, with
a key that may be the wrong one, leaves no trace.
"""

import os
import random
import time
from typing import NamedTuple

import msgspec

from crudjt._backends.embedded.engine import manifest
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.maintenance_lock import exclusively
from crudjt._backends.embedded.engine.manifest import Manifest
from crudjt._backends.embedded.engine.os_errors import store_error
from crudjt._core.keyring import PLACEMENT_KEY_BYTES, Keyring, Placement

_WAIT_SECONDS = 1.0
_POLL_SECONDS = 0.01


class Found(NamedTuple):
    """The entries of a keyring in the manifest."""

    known: bool  # one of its keys was used before, or no key was
    noted: bool  # all of them are there, each with its copy of the placement key
    placement: Placement  # of the store, or a random one where no copy opens: then the keys must be noted first


def find_keys(engine: Engine, keyring: Keyring) -> Found:
    """Look the keys up in the manifest, and change nothing."""
    found = _load(engine)
    placement_key = keyring.open_placement_key(found.placement)
    return Found(
        not found.keys or any(fingerprint in found.keys for fingerprint in keyring.fingerprints),
        placement_key is not None and _complete(found, keyring),
        Placement(os.urandom(PLACEMENT_KEY_BYTES) if placement_key is None else placement_key),
    )


def note_keys(engine: Engine, keyring: Keyring) -> Placement:
    """Add the keys to the manifest, each with its copy of the placement key. To be called before they first write.

    Where no copy opens, a placement key is made, for the sessions of these keys. It is shared with other processes only
    once it is in the manifest. So this waits a second for a process that holds the manifest (it compacts, sweeps, or is
    the doctor). If it has to go on without, the subjects of this opening get places that no other opening knows, which
    is no worse than the random ones of older stores; the next opening tries again.
    """
    started = time.monotonic()
    while True:
        found = _load(engine)
        placement_key = keyring.open_placement_key(found.placement)
        if placement_key is None or not _complete(found, keyring):
            with exclusively(engine) as alone:
                if alone:
                    placement_key = _add(engine, keyring)
        if placement_key is None and time.monotonic() - started > _WAIT_SECONDS:
            placement_key = os.urandom(PLACEMENT_KEY_BYTES)
        if placement_key is not None:
            return Placement(placement_key)
        time.sleep(_POLL_SECONDS * (1 + random.random()))  # noqa: S311 - only to keep openers apart


def _load(engine: Engine) -> Manifest:
    try:
        return manifest.load(engine.directory)
    except OSError as error:
        raise store_error(error, engine.directory) from error


def _complete(found: Manifest, keyring: Keyring) -> bool:
    return all(key in found.keys and key in found.placement for key in keyring.fingerprints)


def _add(engine: Engine, keyring: Keyring) -> bytes:
    """Write what is missing, with the manifest to ourselves; return the placement key."""
    found = manifest.load(engine.directory)
    opened = keyring.open_placement_key(found.placement)
    placement_key = os.urandom(PLACEMENT_KEY_BYTES) if opened is None else opened
    kept = {} if opened is None else found.placement  # a copy that does not open is replaced
    msgspec.structs.replace(
        found,
        keys=found.keys + [key for key in keyring.fingerprints if key not in found.keys],
        placement=found.placement | keyring.seal_placement_key(placement_key) | kept,
    ).save(engine.directory)
    return placement_key
