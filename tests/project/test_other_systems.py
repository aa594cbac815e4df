"""Windows and macOS, as far as Linux can play them: clients of servers work, and a directory is refused in words.

What POSIX has and Windows has not is taken away, in a process of its own, before crudjt is imported.
"""

import os
import subprocess
import sys

import pytest

from tests.support.project import ROOT

TAKEN_AWAY = """
import asyncio, ctypes, grpc, grpc.aio, importlib.metadata, mmap, multiprocessing, os, secrets, socket, subprocess, sys
import tempfile, threading, time, uuid, zoneinfo
import fastapi, flask, starlette.middleware, anyio  # these know their systems

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in {"fcntl", "grp", "lmdb", "pwd", "resource", "termios"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Finder())
for name in (
    "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "fchmod", "fchown", "fdatasync", "fork", "getegid",
    "geteuid", "getuid", "posix_fallocate", "pread", "pwrite", "register_at_fork", "statvfs", "sysconf", "uname",
):
    delattr(os, name)
for name in [name for name in dir(mmap) if name.startswith(("MADV_", "MAP_", "PROT_"))]:
    delattr(mmap, name)
sys.platform = PLATFORM
"""

CLIENT = """
import crudjt, crudjt.aio, crudjt.testing, crudjt.contrib.fastapi, crudjt.contrib.flask, crudjt.contrib.starlette
for location in ("grpc://127.0.0.1:1", "valkey://127.0.0.1:1"):
    options = {} if location.startswith("grpc") else {"secret_key": crudjt.generate_secret_key()}
    try:
        with crudjt.open(location, **options) as store:
            store.read("A" * 22)
    except crudjt.StoreUnavailable:
        print("no server")
"""

DIRECTORY = """
import crudjt
try:
    crudjt.open("store", secret_key=crudjt.generate_secret_key())
except crudjt.StoreInaccessible as error:
    print(error)
"""


def printed(platform: str, code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", f"PLATFORM = {platform!r}\n{TAKEN_AWAY}\n{code}"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_a_client_of_a_server_needs_nothing_of_posix(platform: str) -> None:
    assert printed(platform, CLIENT) == "no server\nno server\n"


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_a_directory_is_refused_with_what_works_there(platform: str) -> None:
    assert printed(platform, DIRECTORY).endswith(
        f"store: a store in a directory needs Linux, not {platform}; open the location of a server, such as "
        "'grpc://HOST:PORT' or 'valkey://HOST:PORT'\n"
    )
