"""A real uWSGI that serves a WSGI application on a Unix socket, and requests to it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import crudjt
from tests.support.processes import PATIENCE, eventually

_DEBIAN = "/usr/bin/uwsgi"
_DEBIAN_PYTHON = "/usr/bin/python3"
_DEBIAN_PLUGIN = Path("/usr/lib/uwsgi/plugins/python3_plugin.so")


def of_pypi() -> list[str]:
    """Return the command of pyuwsgi, which always starts the threads of Python."""
    return [str(Path(sysconfig.get_path("scripts")) / "uwsgi")]


def of_debian() -> list[str] | None:
    """Return the command of Debian's uWSGI, which starts no threads by itself; None if it cannot run these tests.

    Its Python has to be of the version of this one, whose packages it uses.
    """
    if not Path(_DEBIAN).exists() or not _DEBIAN_PLUGIN.exists() or not shutil.which(_DEBIAN_PYTHON):
        return None
    version = subprocess.run(
        [_DEBIAN_PYTHON, "-c", "import sys; print(sys.implementation.cache_tag)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    ).stdout.strip()
    return [_DEBIAN, "--plugin", "python3"] if version == sys.implementation.cache_tag else None


class Site:
    """A uWSGI that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", address: Path, log: Path) -> None:
        self._process = process
        self._address = address
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def get(self) -> str:
        """Return the body of an answer; any status but 200 is an error."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(self._address))
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.split(b" ", 2)[1:2] == [b"200"], self.log
        return body.decode()

    def accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._address)) == 0

    def stop(self) -> None:
        """End it as an init system does, and wait: for less than the minute after which it kills a stuck worker."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE / 2)


@contextmanager
def serving(uwsgi: list[str], directory: Path, application: str, *options: str, **environment: str) -> Generator[Site]:
    """Run uWSGI with three workers beside the block; `application` is the text of a WSGI module."""
    (directory / "site.py").write_text(application)
    places = [str(Path(crudjt.__file__).parent.parent), *(place for place in sys.path if "site-packages" in place)]
    address, log = directory / "socket", directory / "log"
    command = [*uwsgi, "--http-socket", str(address), "--master", "--processes", "3", "--die-on-term"]
    command += ["--listen", "64", "--wsgi-file", str(directory / "site.py"), "--disable-logging", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(places)} | environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        site = Site(process, address, log)
        assert eventually(site.accepts, PATIENCE), site.log
        yield site
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)
