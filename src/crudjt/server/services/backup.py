"""Send a copy of a store to a client, which `crudjt._backends.grpc.backup` receives."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from crudjt._rpc.chunking import PART_BYTES
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.base import Store


def send_backup(store: Store, _request: pb.BackupRequest) -> Iterator[pb.BackupResponse]:
    """Stream a copy of the store, which is made in the directory for temporary files (``TMPDIR``).

    Its names are gone before the first byte is sent, so that nothing is left of it, however the call ends.
    """
    with ExitStack() as opened:
        with TemporaryDirectory(prefix="crudjt-backup-") as temporary:
            copy = Path(temporary) / "copy"
            store.backup(copy)
            paths = sorted(copy.rglob("*"))
            directories = [path.relative_to(copy).as_posix() for path in paths if path.is_dir()]
            files = [
                (path.relative_to(copy).as_posix(), opened.enter_context(path.open("rb")))
                for path in paths
                if not path.is_dir()
            ]
        for directory in directories:
            yield pb.BackupResponse(directory=directory)
        for name, file in files:
            yield pb.BackupResponse(file=name)
            while content := os.read(file.fileno(), PART_BYTES):
                yield pb.BackupResponse(content=content)
