"""Meanings of errors that servers reply: one table from the first word of an error to what a driver does about it."""

import re
from enum import Enum, auto

from crudjt._backends.valkey.requests import Node
from crudjt.errors import StoreError, StoreFailed, StoreFull, StoreInaccessible, StoreUnavailable

_COMMAND = re.compile(r"run the '([A-Za-z|]+)' command")
_MAX_TEXT = 200  # characters of a server's own words in an error


class Meaning(Enum):
    """The reaction of a driver to an error. All but the last three say that the request was surely not carried out."""

    MOVED = auto()  # the slot is at another node: learn it, and ask there
    ASK = auto()  # the slot is on its way to another node: ask there, this time
    UNKNOWN_SCRIPT = auto()  # send the text of the script
    LATER = auto()  # ask the same node again after a pause
    STALE_MAP = auto()  # refresh the map, and ask again after a pause
    FULL = auto()  # StoreFull
    DENIED = auto()  # StoreInaccessible, with the missing right
    FAILED = auto()  # StoreFailed


MEANINGS: dict[str, Meaning] = {
    "MOVED": Meaning.MOVED,
    "ASK": Meaning.ASK,
    "NOSCRIPT": Meaning.UNKNOWN_SCRIPT,
    "TRYAGAIN": Meaning.LATER,
    "LOADING": Meaning.LATER,
    "BUSY": Meaning.LATER,
    "NOREPLICAS": Meaning.LATER,
    "CLUSTERDOWN": Meaning.STALE_MAP,
    "MASTERDOWN": Meaning.STALE_MAP,
    "READONLY": Meaning.STALE_MAP,
    "REDIRECT": Meaning.STALE_MAP,
    "OOM": Meaning.FULL,
    "MISCONF": Meaning.FULL,
    "NOAUTH": Meaning.DENIED,
    "WRONGPASS": Meaning.DENIED,
    "NOPERM": Meaning.DENIED,
    "DENIED": Meaning.DENIED,
    "ERR": Meaning.FAILED,  # but for the texts below
    "CROSSSLOT": Meaning.FAILED,
    "WRONGTYPE": Meaning.FAILED,
    "UNBLOCKED": Meaning.FAILED,
    # For commands that are never sent here.
    **dict.fromkeys(
        [
            "BUSYGROUP",
            "BUSYKEY",
            "EXECABORT",
            "INPROG",
            "INVALIDOBJ",
            "IOERR",
            "NOGOODSLAVE",
            "NOGROUP",
            "NOMASTERLINK",
            "NOPROTO",
            "NOQUORUM",
            "NOSUB",
            "NOTBUSY",
            "UNKILLABLE",
        ],
        Meaning.FAILED,
    ),
}
"""Every word that Redis 7 and Valkey 8 begin an error with. One that is not here means FAILED."""

_NO_CLUSTER = "cluster support disabled"
_NO_PASSWORD = "without any password configured"  # noqa: S105 - a text of servers
_NO_COMMAND = "unknown command"
_TEXTS = {
    "max number of clients": Meaning.LATER,
    _NO_CLUSTER: Meaning.DENIED,
    _NO_PASSWORD: Meaning.DENIED,
    _NO_COMMAND: Meaning.DENIED,
    "no permissions": Meaning.DENIED,  # within a script
    "No permissions": Meaning.DENIED,
    "can't run this command": Meaning.DENIED,  # as above, Redis 7.0
    "can't access at least one of the keys": Meaning.DENIED,  # as above
}
"""Parts of errors that begin with ERR."""

_REASONS = {
    "LOADING": "it is loading its data",
    "BUSY": "it is busy with a script that takes long",
    "NOREPLICAS": "too few replicas are connected for a write (min-replicas-to-write)",
    "CLUSTERDOWN": "the cluster is down: too few primaries are up, or slots have no owner",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "READONLY": "it is a replica now",
    "TRYAGAIN": "keys of the slot are being moved to another node",
    "MISCONF": "it cannot write its own files, and refuses changes until it can; free space on its disk",
    "OOM": "its memory is full (maxmemory); raise it, or end sessions",
    "NOAUTH": "it requires a password: set CRUDJT_CLUSTER_PASSWORD, or CRUDJT_CLUSTER_PASSWORD_FILE",
    "WRONGPASS": "user or password is wrong: see CRUDJT_CLUSTER_USER, and CRUDJT_CLUSTER_PASSWORD or its _FILE",
    "DENIED": "it is in protected mode: set a password for its default user",
    "CROSSSLOT": "a request was for keys of several slots",
    "WRONGTYPE": "a key of the namespace holds a value of another type: another program writes to it",
}


class ErrorReply(Exception):
    """An error that a server replied.

    Attributes:
        word: its first word.
        text: what follows.

    """

    def __init__(self, reply: str) -> None:
        """Take the error as it was sent, without the dash."""
        super().__init__()  # the text may hold a key
        self.word, _, self.text = reply.partition(" ")

    @property
    def meaning(self) -> Meaning:
        """The reaction of a driver to it."""
        if self.word == "ERR":
            return next((meaning for part, meaning in _TEXTS.items() if part in self.text), Meaning.FAILED)
        return MEANINGS.get(self.word, Meaning.FAILED)


def reason(error: ErrorReply) -> str:
    """Return what is wrong with the server, and the remedy. It holds no key."""
    if error.word in _REASONS:
        return _REASONS[error.word]
    if error.meaning is Meaning.DENIED:
        return _denial(error.text)
    return f"it replied {error.word} {error.text.partition(', with args')[0][:_MAX_TEXT]}".rstrip()


def _denial(text: str) -> str:
    command = _COMMAND.search(text)
    if command:
        name = command[1].lower()
        return f"the user lacks the right to run {name.upper()}; grant it with: ACL SETUSER … +{name}"
    if _NO_CLUSTER in text:
        return "it is no node of a cluster; open it with valkey:// or valkeys://"
    if _NO_PASSWORD in text:
        return "it has no password; unset CRUDJT_CLUSTER_PASSWORD and CRUDJT_CLUSTER_PASSWORD_FILE"
    if _NO_COMMAND in text:
        return "it does not know a command that crudjt needs (Redis 7.0 or Valkey 8.0); it may be renamed or disabled"
    if "can't run this command" in text:
        return "the user lacks the right to run a command of the commit script; see the ACL line in docs/cluster.md"
    return "the user lacks the right to the keys of the namespace; grant it with: ACL SETUSER … ~NAMESPACE:*"


def store_error(error: ErrorReply, node: Node, location: str) -> StoreError:
    """Return the error to raise for one that a server replied, and that is not to be followed any longer."""
    text = f"{address(node)}: {reason(error)}"
    match error.meaning:
        case Meaning.FULL:
            return StoreFull(location, text)
        case Meaning.DENIED:
            return StoreInaccessible(location, text)
        case Meaning.FAILED:
            return StoreFailed(location, text)
        case _:
            return StoreUnavailable(location, text)


def address(node: Node) -> str:
    """Return host and port as they are written, an IPv6 address in brackets."""
    return f"[{node.host}]:{node.port}" if ":" in node.host else f"{node.host}:{node.port}"
