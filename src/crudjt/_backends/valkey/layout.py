"""Names of keys on the servers.

    session   <namespace>:{ppp}s<id>    the record, as docs/format.md describes it; 16 bytes of id
    index     <namespace>:{ppp}u<tag>   sorted set of a subject's ids, by deadline in ms; 16 bytes of subject tag
    label     <namespace>:{ppp}l<tag>   the same for a label; its place is the first two bytes of the tag
    stage     <namespace>:{ppp}m<id>    only while sessions are moved here: see move_scripts.py; 16 bytes of id
    epoch     <namespace>:{ppp}e        only once sessions are moved from here: see move_scripts.py
    manifest  <namespace>:{manifest}    JSON, see manifest.py

``ppp`` is the place of an id in URL-safe Base64 (RFC 4648, section 5): 16 bits, and no ``}``. It is the hash tag, so
all keys of a place, and with it all sessions of a subject and their index, share a slot. The 65,536 places hit 16,382
of the 16,384 slots. A namespace holds no brace.
"""

import re
from binascii import b2a_base64
from collections.abc import Iterable

from crudjt._core.tokens import ID_BYTES, PLACE, PLACE_BYTES

_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_PLACE_CHARACTERS = 3
_TAG_BYTES = 16

_KNOWN = re.compile(rb":\{(manifest\}|[A-Za-z0-9_-]{3}\}([suml].{16}|e)|[A-Za-z0-9_=-]{4}\}probe)\Z", re.DOTALL)

assert PLACE_BYTES * 8 <= _PLACE_CHARACTERS * 6


class Layout:
    """The keys of one namespace.

    Attributes:
        manifest: the key of the manifest.
        all_sessions: pattern of the keys of sessions, for SCAN MATCH.
        all_indexes: pattern of the keys of indexes.
        all_labels: pattern of the keys of labels' indexes.
        all_stages: pattern of the keys of stages.
        everything: pattern of all keys of the namespace.
        tag: where the hash tag of a session's key lies.

    """

    def __init__(self, namespace: str) -> None:
        """Take the namespace, without glob characters and braces."""
        self._start = namespace.encode() + b":{"
        self.tag = slice(len(self._start), len(self._start) + _PLACE_CHARACTERS)
        self.manifest = self._start + b"manifest}"
        any_place = self._start + b"?" * _PLACE_CHARACTERS + b"}"
        self.all_sessions = any_place + b"s*"
        self.all_indexes = any_place + b"u*"
        self.all_labels = any_place + b"l*"
        self.all_stages = any_place + b"m*"
        self.everything = namespace.encode() + b":*"

    def session(self, id_: bytes) -> bytes:
        """Return the key of a session."""
        ppp = b2a_base64(id_[PLACE])[:_PLACE_CHARACTERS].translate(_TO_URL_SAFE)
        return b"%b%b}s%b" % (self._start, ppp, id_)

    def sessions(self, ids: Iterable[bytes]) -> list[bytes]:
        """Return the keys of sessions."""
        start = self._start
        return [
            b"%b%b}s%b" % (start, b2a_base64(id_[PLACE])[:_PLACE_CHARACTERS].translate(_TO_URL_SAFE), id_)
            for id_ in ids
        ]

    def stage(self, id_: bytes) -> bytes:
        """Return the key of the stage of a session."""
        ppp = b2a_base64(id_[PLACE])[:_PLACE_CHARACTERS].translate(_TO_URL_SAFE)
        return b"%b%b}m%b" % (self._start, ppp, id_)

    def epoch(self, place: bytes) -> bytes:
        """Return the key of the epoch of a place."""
        ppp = b2a_base64(place)[:_PLACE_CHARACTERS].translate(_TO_URL_SAFE)
        return b"%b%b}e" % (self._start, ppp)

    def index(self, place: bytes, tag: bytes) -> bytes:
        """Return the key of the index of a subject, from its place and its tag."""
        ppp = b2a_base64(place)[:_PLACE_CHARACTERS].translate(_TO_URL_SAFE)
        return b"%b%b}u%b" % (self._start, ppp, tag)

    def label(self, tag: bytes) -> bytes:
        """Return the key of the index of a label, from its tag. It lies elsewhere than its sessions."""
        ppp = b2a_base64(tag[:PLACE_BYTES])[:_PLACE_CHARACTERS].translate(_TO_URL_SAFE)
        return b"%b%b}l%b" % (self._start, ppp, tag)

    def id_of(self, key: bytes) -> bytes | None:
        """Return the id of a session's key; ``None`` if it is not one, or lies at another place than its id."""
        id_ = key[-ID_BYTES:]
        return id_ if len(id_) == ID_BYTES and key == self.session(id_) else None

    def is_known(self, key: bytes) -> bool:
        """Tell whether a key has the form of a key of a store, in this namespace or in one below it (``app:test``)."""
        return _KNOWN.search(key) is not None

    def tag_of(self, key: bytes) -> bytes | None:
        """Return the subject tag of an index's key; ``None`` if it is not one."""
        head, tag = key[:-_TAG_BYTES], key[-_TAG_BYTES:]
        start = len(self._start)
        is_index = head[:start] == self._start and head[start + _PLACE_CHARACTERS :] == b"}u"
        return tag if is_index and len(tag) == _TAG_BYTES else None

    def label_tag_of(self, key: bytes) -> bytes | None:
        """Return the label tag of the key of a label's index; ``None`` if it is not one."""
        tag = key[-_TAG_BYTES:]
        return tag if len(tag) == _TAG_BYTES and key == self.label(tag) else None
