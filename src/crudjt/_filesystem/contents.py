"""The content of whole files: read, copied, or as a digest."""

import hashlib
import logging
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from crudjt import _filesystem
from crudjt._filesystem.ownership import readable_by_others
from crudjt.errors import InvalidParameter

_CHUNK_BYTES = 1024**2

_logger = logging.getLogger("crudjt")


def read_file(path: Path) -> bytes:
    """Return the content of a file."""
    with _filesystem.opened(path) as descriptor:
        return b"".join(_chunks(descriptor))


def mapped_to_read(path: Path) -> bytes | mmap.mmap:
    """Return the content of a file as a map. No process may shorten the file while the map is in use.

    It is read once, since a bad sector raises an error when read, and kills the process when mapped.
    """
    with _filesystem.opened(path) as descriptor:
        size = os.fstat(descriptor).st_size
        for offset in range(0, size, _CHUNK_BYTES):
            _filesystem.read_at(descriptor, _CHUNK_BYTES, offset)
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) if size else b""


def copy_file(source: Path, target: int) -> tuple[int, str]:
    """Copy a file into an open descriptor; return its size and SHA-256 as copied."""
    digest = hashlib.sha256()
    offset = 0
    with _filesystem.opened(source) as descriptor:
        for chunk in _chunks(descriptor):
            digest.update(chunk)
            _filesystem.write_at(target, chunk, offset)
            offset += len(chunk)
    return offset, digest.hexdigest()


def digest_file(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a file."""
    digest = hashlib.sha256()
    size = 0
    with _filesystem.opened(path) as descriptor:
        for chunk in _chunks(descriptor):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _chunks(descriptor: int) -> Iterator[bytes]:
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        yield chunk


def read_parameter_file(parameter: str, path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file that a parameter names.

    Raises:
        InvalidParameter: it cannot be read. The message leaves the path out, since callers have passed a secret in
            place of the path to it.

    """
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InvalidParameter(parameter, f"cannot read the file that {parameter} names: {reason}") from None


def read_secret_file(parameter: str, path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file with a secret, and log a warning if other users have any right to it.

    Raises:
        InvalidParameter: it cannot be read.

    """
    content = read_parameter_file(parameter, path)
    mode = readable_by_others(Path(path))
    if mode is not None:
        _logger.warning("others may use the secret in %s (mode %04o); chmod 600 it", path, mode)
    return content
