"""The port between the steps of an operation and the drivers that talk to servers.

An operation is a generator without input or output. It yields the requests that can be sent together, and is sent their
replies in order. A blocking and an asyncio driver run the same generators.
"""

from collections.abc import Callable, Generator, Sequence
from enum import Enum
from hashlib import sha1
from typing import Final, Literal, NamedTuple, Protocol, TypeVar, cast, overload

Result = TypeVar("Result")


class Script:
    """A Lua script. A driver sends EVALSHA, and EVAL to a server that does not know the script yet.

    Attributes:
        text: the source.
        sha: its SHA-1, by which servers know it.
        packed_name: the first words of a request to run it by that, as they are sent.

    """

    __slots__ = ("packed_name", "sha", "text")

    def __init__(self, text: str) -> None:
        """Take the source."""
        self.text = text.encode()
        self.sha = sha1(self.text, usedforsecurity=False).hexdigest().encode()
        self.packed_name = b"$7\r\nEVALSHA\r\n$%d\r\n%b" % (len(self.sha), self.sha)


class Node(NamedTuple):
    """The address of a server."""

    host: str
    port: int


class Lost(Enum):
    """The type of `LOST`."""

    LOST = "LOST"


LOST: Final = Lost.LOST
"""The value of a reply that did not come: the request was sent, and may have been carried out."""


class Ask(NamedTuple):
    """One request.

    Attributes:
        key: decides the slot, and so the primary; ``None`` for any primary, or for `node`.
        args: the command and its arguments; with `script`: the number of keys, the keys and the other arguments.
        script: the script to run.
        replicas: how many replicas the driver waits for, with WAIT behind the request on the same connection; 0 for
            none. It writes nothing into the reply's value.
        repeat: what to do when the reply is lost: send the request again until the timeout (True), or reply `LOST`.
        node: the server that must answer, whatever it is at that time.

    """

    key: bytes | None
    args: tuple[bytes | int | str, ...]
    script: Script | None = None
    replicas: int = 0
    repeat: bool = True
    node: Node | None = None


PRIMARIES: Final = Ask(None, ())
"""Not sent to a server: the value of its reply is the list of the primaries that have slots, each a `Node`."""


class Gets(Sequence[Ask]):
    """Requests for the values of keys, which have one reply together: its value is the list of theirs.

    Attributes:
        keys: the keys.
        tag: where the hash tag of each lies.
        while_waiting: what a driver may call while the servers are at work.

    """

    __slots__ = ("keys", "tag", "while_waiting")

    def __init__(self, keys: list[bytes], tag: slice, while_waiting: Callable[[], object] = int) -> None:
        """Take the keys, all of one layout."""
        self.keys = keys
        self.tag = tag
        self.while_waiting = while_waiting

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.keys)

    @overload
    def __getitem__(self, at: int, /) -> Ask: ...

    @overload
    def __getitem__(self, at: slice, /) -> list[Ask]: ...

    def __getitem__(self, at: int | slice, /) -> Ask | list[Ask]:
        """Return a request, or several."""
        if isinstance(at, slice):
            return [Ask(key, (b"GET", key)) for key in self.keys[at]]
        key = self.keys[at]
        return Ask(key, (b"GET", key))


Value = bytes | int | None | list["Value"] | list[Node]
"""A reply of a server: an error is raised. Text is bytes."""


class Reply(NamedTuple):
    """The reply to an `Ask`.

    Attributes:
        value: what the server replied, or `LOST`. A reply whose WAIT was lost is lost as well.
        acknowledged: how many replicas have the write, with `Ask.replicas`.
        repeated: an earlier reply was lost, and the request was sent again (`Ask.repeat`).

    """

    value: Value | Literal[Lost.LOST]
    acknowledged: int = 0
    repeated: bool = False


def together(asks: Sequence[Ask], replies: list[Reply]) -> list[Reply]:
    """Return the replies to requests that were sent one by one as those who asked expect them: see `Gets`."""
    return [Reply(cast("Value", [reply.value for reply in replies]))] if isinstance(asks, Gets) else replies


Steps = Generator[Sequence[Ask], list[Reply], Result]
"""An operation. The requests of a step reach each node in their order; nothing orders those to different nodes."""


class Driver(Protocol):
    """Runs operations; so does the asyncio driver, with ``async def``."""

    def run(self, steps: Steps[Result], *, per_step: bool = False, limit: float | None = None) -> Result:
        """Carry out an operation and return its result.

        Args:
            steps: the operation.
            per_step: give each step a timeout of its own, for an operation of any length.
            limit: the timeout in seconds; ``None`` for that of the store.

        A request that was surely not carried out (a redirection, a refused connection, a server that loads its data) is
        sent again until the timeout. After it, and for
        an error reply, a `StoreError` is raised within the generator, once all requests of the step have a reply or
        were given up. The generator may then clean up: those steps have a timeout of their own. Any other exception
        closes the generator.
        """
        ...

    def close(self) -> None:
        """Disconnect. `run` raises `StoreClosed` from now on."""
        ...
