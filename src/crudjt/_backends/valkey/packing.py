"""Requests as they are sent.

libvalkey has a function for it, which crashes the process if a signal handler raises while it packs an int.
"""

from collections.abc import Iterable

from crudjt._backends.valkey.requests import Ask

Command = tuple[bytes | int | str, ...]

_WAIT_SHARE = 0.8  # of the time that is left: WAIT must answer before the driver gives its connection up
_TABLED = 1024
_LENGTHS = [b"$%d\r\n" % size for size in range(_TABLED)]  # before a word; to format it takes twice as long


def pack(commands: Iterable[Command]) -> bytes:
    """Return commands as they are sent."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        _append_words(parts, command)
    return b"".join(parts)


def pack_one(ask: Ask) -> bytes:
    """Return a request as it is sent, with the name of its script instead of the text."""
    if ask.script is None:
        return pack((ask.args,))
    parts = [b"*%d\r\n%b" % (len(ask.args) + 2, ask.script.packed_name)]
    _append_words(parts, ask.args)
    return b"".join(parts)


def pack_gets(keys: list[bytes]) -> bytes:
    """Return the requests for the values of keys, as they are sent."""
    sizes = set(map(len, keys))
    if len(sizes) != 1:
        return pack([(b"GET", key) for key in keys])
    start = b"*2\r\n$3\r\nGET\r\n$%d\r\n" % sizes.pop()
    return b"%b%b\r\n" % (start, (b"\r\n" + start).join(keys))


def _append_words(parts: list[bytes], words: Command) -> None:
    for each in words:
        word = each if type(each) is bytes else str(each).encode()  # half the time of `isinstance`
        size = len(word)
        parts += _LENGTHS[size] if size < _TABLED else b"$%d\r\n" % size, word, b"\r\n"


def command_of(ask: Ask) -> Command:
    """Return the command of a request, with the name of its script instead of the text."""
    return ask.args if ask.script is None else (b"EVALSHA", ask.script.sha, *ask.args)


def wait_for(replicas: int, left: float) -> Command:
    """Return the command that waits for replicas, if `left` seconds remain."""
    return (b"WAIT", replicas, max(1, int(left * _WAIT_SHARE * 1000)))
