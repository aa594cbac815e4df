"""Windows and macOS, as far as Linux can play them: clients of servers work, and a directory is refused in words.

What POSIX has and Windows has not is taken away, in a process of its own, before crudjt is imported.
"""

import os
import subprocess
import sys

import pytest

from tests.support.project import ROOT

TAKEN_AWAY = """
import asyncio, ctypes, grpc, grpc.aio, importlib.metadata, mmap, multiprocessing, os, secrets, signal, socket, sys
import subprocess, tempfile, threading, time, uuid, zoneinfo
import anyio, fastapi, flask, jinja2, starlette.middleware, uvicorn, valkey  # these know their systems

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in {"fcntl", "grp", "pwd", "resource", "termios"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Finder())
for name in (
    "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "chown", "fchmod", "fchown", "fdatasync", "fork", "getegid",
    "geteuid", "getgid", "getgroups", "getuid", "killpg", "mkfifo", "pipe2", "posix_fallocate", "pread", "pwrite",
    "register_at_fork", "sched_getaffinity", "statvfs", "sync", "sysconf", "uname",
):
    delattr(os, name)
for name in ("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGUSR1", "pthread_sigmask", "sigtimedwait", "sigwait"):
    delattr(signal, name)
for name in [name for name in dir(mmap) if name.startswith(("MADV_", "MAP_", "PROT_"))]:
    delattr(mmap, name)
sys.platform = PLATFORM
"""

CLIENT = """
import crudjt, crudjt.aio, crudjt.testing, crudjt.contrib.fastapi, crudjt.contrib.flask, crudjt.contrib.starlette

async def look(location, options):
    async with crudjt.aio.open(location, **options) as store:
        await store.read("A" * 22)

for location in ("grpc://127.0.0.1:1", "valkey://127.0.0.1:1"):
    options = {} if location.startswith("grpc") else {"secret_key": crudjt.generate_secret_key()}
    try:
        with crudjt.open(location, **options) as store:
            store.read("A" * 22)
    except crudjt.StoreUnavailable:
        print("no server")
    try:
        asyncio.run(look(location, options))
    except crudjt.StoreUnavailable:
        print("no server")
assert "lmdb" not in sys.modules
"""

DIRECTORY = """
for opened in (
    lambda: crudjt.open("sessions", secret_key=crudjt.generate_secret_key()),
    lambda: crudjt.testing.temporary_store().__enter__(),
):
    try:
        opened()
    except crudjt.StoreInaccessible as error:
        print(str(error).partition(": ")[2])
"""

EVERYTHING = """
import pkgutil
import crudjt
django.conf.settings.configure(CRUDJT_LOCATION="grpc://127.0.0.1:1")
for module in pkgutil.walk_packages(crudjt.__path__, "crudjt.", onerror=lambda name: None):
    if module.name != "crudjt.__main__":
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            assert error.name in {"fcntl", "resource"}, error
            print(module.name)
"""

KNOW_THEIR_SYSTEMS = "import click, django.conf, django.contrib.sessions, grpc_health, litestar, prometheus_client"

SHELL = """
from crudjt.cli import main
for command in (
    "--store grpc://127.0.0.1:1 stats", "--store grpc://127.0.0.1:1 health", "--store sessions init", "serve",
):
    try:
        main(command.split(), prog_name="crudjt")
    except SystemExit as ended:
        print(ended.code)
"""


def printed(platform: str, code: str, others: str = "") -> list[str]:
    """Return the lines that code prints on another system; `others` is run while this is still Linux."""
    return subprocess.run(
        [sys.executable, "-c", f"PLATFORM = {platform!r}\n{others}\n{TAKEN_AWAY}\n{code}"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_clients_need_nothing_of_posix_and_a_directory_is_refused_with_what_works(platform: str) -> None:
    refused = (
        f"a store in a directory needs Linux, not {platform}; open the location of a server, such as "
        "'grpc://HOST:PORT' or 'valkey://HOST:PORT'"
    )
    assert printed(platform, CLIENT + DIRECTORY) == ["no server"] * 4 + [refused] * 2


@pytest.mark.slow
def test_only_the_engine_and_the_server_need_posix_and_the_shell_command_works() -> None:
    *modules, stats, health, init, serve = printed("win32", EVERYTHING + SHELL, KNOW_THEIR_SYSTEMS)
    others = [name for name in modules if not name.startswith("crudjt._backends.embedded.")]
    assert others == ["crudjt._filesystem.flock", "crudjt.cli.server_commands", "crudjt.server"]
    assert (stats, health, init, serve) == ("3", "1", "3", "2")
