"""Drive `CRUDJT` as the other end of a pipe says, ours or the original's: whichever the Python that runs this imports.

Ends by itself when the pipe does, as a script that never calls `shutdown_server`.
"""

import sys
from multiprocessing.connection import Connection
from operator import attrgetter

from crudjt import CRUDJT


def answer(name: str, arguments: tuple[object, ...], keywords: dict[str, object]) -> tuple[object, ...]:
    """Return what a call returned, or the names of the classes of what it raised, and the message."""
    try:
        return "returned", attrgetter(name)(CRUDJT)(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001 - told to the other end
        message = error.details() if hasattr(error, "details") else str(error)
        return "raised", [each.__name__ for each in type(error).__mro__], message


def main() -> None:
    """Answer until nobody asks."""
    pipe = Connection(int(sys.argv[1]))
    pipe.send("ready")
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        pipe.send(answer(*request))


if __name__ == "__main__":
    main()
