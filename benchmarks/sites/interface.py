"""What every application of the comparison does, and what it is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.payloads import PAYLOADS
from benchmarks.processes import REDIS_SOCKET

SESSION = PAYLOADS[196]
"""What `/fill` puts into a session: six keys."""

VARIABLE = "CRUDJT_BENCH_SITE"
"""The variable that tells a worker of a server which site it is to open."""

USER_KEY = "member"
LIFETIME_SECONDS = 14 * 24 * 3600
IDLE_SECONDS = 1800
SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105 - of a run, on loopback
COOKIE = "session"

Values = Any
"""A session, whatever its type: keys are set and read as in a dict."""


@dataclass(frozen=True)
class Setup:
    """How a site is to be opened.

    Attributes:
        sessions: who keeps the sessions, as the catalogue has it.
        workspace: a directory that is there for one turn, with the socket of Redis.
        idle: whether a session ends after `IDLE_SECONDS` without a request, so that each request extends it.

    """

    sessions: str
    workspace: str
    idle: bool = False

    @property
    def store(self) -> Path:
        """The directory of our store."""
        return Path(self.workspace, "store")

    @property
    def redis_url(self) -> str:
        """The socket of Redis, which is what costs least."""
        return f"unix://{Path(self.workspace, REDIS_SOCKET)}"


def fill(session: Values) -> str:
    """Put the data of a browser into its session."""
    session.update(SESSION)
    return "filled"


def read(session: Values) -> str:
    """Read one key."""
    return str(session["csrf"])


def write(session: Values) -> str:
    """Change one key."""
    session["visits"] = session.get("visits", 0) + 1
    return "written"


def log_in(session: Values) -> str:
    """Note who has logged in, which gives a session of ours a new token."""
    session[USER_KEY] = "1000042"
    return "logged in"


VIEWS = {"fill": fill, "read": read, "write": write, "login": log_in}
"""By path; `/anonymous` does not look at the session."""
