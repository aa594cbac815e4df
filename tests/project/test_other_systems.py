"""Windows, as far as Linux can play it: clients of servers work. Elsewhere a directory is refused in words.

What POSIX has and Windows has not is taken away, in a process of its own, before crudjt is imported. How a store in a
directory works on Windows is tested with the real programs: tools/test-windows.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import crudjt
from tests.support.project import ROOT

TAKEN_AWAY = """
import asyncio, ctypes, grpc, grpc.aio, importlib.metadata, mmap, multiprocessing, os, secrets, signal, socket, sys
import subprocess, tempfile, threading, time, uuid, zoneinfo
import anyio, fastapi, flask, jinja2, jwt, starlette.middleware, uvicorn, valkey  # these know their systems

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
sys.platform = "win32"
import types

os.O_BINARY = os.O_NOINHERIT = 0
sys.modules["msvcrt"] = sys.modules["winreg"] = types.ModuleType("of_windows")
functions = "ReadFile", "WriteFile", "LockFileEx", "UnlockFileEx", "GetDriveTypeW", "GetTickCount64"
ctypes.WinDLL = lambda *_, **__: types.SimpleNamespace(**{name: types.SimpleNamespace() for name in functions})
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

EVERYTHING = """
import pkgutil
import crudjt
apps = [f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "messages", "sessions")]
django.conf.settings.configure(CRUDJT_LOCATION="grpc://127.0.0.1:1", INSTALLED_APPS=[*apps, "crudjt.contrib.django"])
django.setup()
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
for command in ("--store grpc://127.0.0.1:1 stats", "--store grpc://127.0.0.1:1 health", "serve"):
    try:
        main(command.split(), prog_name="crudjt")
    except SystemExit as ended:
        print(ended.code)
"""


def printed(code: str, others: str = "") -> list[str]:
    """Return the lines that code prints on Windows; `others` is run while this is still Linux."""
    return subprocess.run(
        [sys.executable, "-c", f"{others}\n{TAKEN_AWAY}\n{code}"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


@pytest.mark.slow
def test_clients_need_nothing_of_posix() -> None:
    assert printed(CLIENT) == ["no server"] * 4


def test_a_directory_is_refused_with_what_works_where_no_store_can_be(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "freebsd14")
    refused = "needs Linux, macOS or Windows, not freebsd14; open the location of a server, such as 'grpc://HOST:PORT'"
    with pytest.raises(crudjt.StoreInaccessible, match=refused):
        crudjt.open(path, secret_key=secret_key)


@pytest.mark.slow
def test_only_the_server_needs_posix_and_the_shell_command_works() -> None:
    *modules, stats, health, serve = printed(EVERYTHING + SHELL, KNOW_THEIR_SYSTEMS)
    others = [name for name in modules if not name.startswith("crudjt._filesystem.platform.")]
    assert others == ["crudjt.cli.server_commands", "crudjt.server"]
    assert (stats, health, serve) == ("3", "1", "2")
