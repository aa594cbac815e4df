"""Note in the manifest which secret keys a store was written with."""

import msgspec

from crudjt._backends.embedded.engine import manifest
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.log import (
    full_or_failed,
)
from crudjt._backends.embedded.engine.maintenance_lock import exclusively


def note_keys(engine: Engine, fingerprints: list[str]) -> bool:
    """Add fingerprints to the manifest; return whether any of them was there before, or the store had none."""
    try:
        known = manifest.load(engine.directory).keys
    except OSError as error:
        raise full_or_failed(engine.directory, error) from error
    missing = [fingerprint for fingerprint in fingerprints if fingerprint not in known]
    if missing:
        with exclusively(engine) as alone:
            if alone:  # else the next opening does it
                current = manifest.load(engine.directory)
                keys = current.keys + [fingerprint for fingerprint in missing if fingerprint not in current.keys]
                msgspec.structs.replace(current, keys=keys).save(engine.directory)
    return not known or len(missing) < len(fingerprints)
