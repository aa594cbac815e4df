"""How deep the JSON of a stranger's token may be, found without parsing it.

To refuse JSON that is nested deeply, CPython 3.13 recurses 10,000 levels. With musl (Alpine), where a thread has a
stack of 1 MiB or less, that ends the process.
"""

from base64 import urlsafe_b64decode

_MAX_BRACKETS = 200


def is_nested_deeply(token: str) -> bool:
    """Return whether header or payload of a JWT could be, since they have more brackets than a token needs."""
    return any(_brackets(part) > _MAX_BRACKETS for part in token.split(".", 2)[:2])


def _brackets(part: str) -> int:
    try:
        json = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:  # no JWT, as who parses it will find
        return 0
    return json.count(b"[") + json.count(b"{")
