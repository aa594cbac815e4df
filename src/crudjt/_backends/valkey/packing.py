"""Requests as they are sent.

libvalkey has a function for it, which crashes the process if a signal handler raises while it packs an int.
"""

from collections.abc import Iterable
from typing import Any

from crudjt._backends.valkey.requests import Ask

Command = tuple[bytes | int | str, ...]

_WAIT_SHARE = 0.8  # of the time that is left: WAIT must answer before the driver gives its connection up
_OF_REPLACE_ONE = 4  # words of `scripts.REPLACE_ONE` without a lifetime
_TABLED = 1024
_LENGTHS = [b"$%d" % size for size in range(_TABLED)]  # before a word; to format it takes twice as long


def pack(commands: Iterable[Command]) -> bytes:
    """Return commands as they are sent."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d" % len(command))
        _append_words(parts, command)
    parts.append(b"")
    return b"\r\n".join(parts)


def pack_one(ask: Ask) -> bytes:
    """Return a request as it is sent, with the name of its script instead of the text."""
    args: Any = ask.args
    script, lengths = ask.script, _LENGTHS
    try:  # without a loop, in half of its time: a GET, and `REPLACE_ONE` of the scripts
        if script is None:
            a, b = args
            return b"\r\n".join((b"*2", lengths[len(a)], a, lengths[len(b)], b, b""))
        if len(args) == _OF_REPLACE_ONE:
            a, b, c, d = args
            start, of_a, of_b, of_c, of_d = script.packed_name, *map(len, args)
            return b"\r\n".join(
                (b"*6", start, lengths[of_a], a, lengths[of_b], b, lengths[of_c], c, lengths[of_d], d, b"")
            )
    except (ValueError, TypeError, IndexError):  # other words, or longer ones
        pass
    if script is None:
        return pack((args,))
    parts = [b"*%d" % (len(args) + 2), script.packed_name]
    _append_words(parts, args)
    parts.append(b"")
    return b"\r\n".join(parts)


def pack_gets(keys: list[bytes]) -> bytes:
    """Return the requests for the values of keys, as they are sent."""
    sizes = set(map(len, keys))
    if len(sizes) != 1:
        return pack([(b"GET", key) for key in keys])
    start = b"*2\r\n$3\r\nGET\r\n$%d\r\n" % sizes.pop()
    return b"%b%b\r\n" % (start, (b"\r\n" + start).join(keys))


def _append_words(parts: list[bytes], words: Command) -> None:
    for each in words:
        word = each if type(each) is bytes else b"%d" % each if type(each) is int else str(each).encode()
        size = len(word)
        parts += _LENGTHS[size] if size < _TABLED else b"$%d" % size, word


def command_of(ask: Ask) -> Command:
    """Return the command of a request, with the name of its script instead of the text."""
    return ask.args if ask.script is None else (b"EVALSHA", ask.script.sha, *ask.args)


def wait_for(replicas: int, left: float) -> Command:
    """Return the command that waits for replicas, if `left` seconds remain."""
    return (b"WAIT", replicas, max(1, int(left * _WAIT_SHARE * 1000)))
