"""Labels: texts that name sessions to `Store.revoke`, beside their subject.

As that of a subject, the keyed hash of a label is in the clear in a record, and files it in an index: what is stored
tells which sessions have a label in common, and cannot be turned back into its text.
"""

from typing import NamedTuple

import msgspec

from crudjt._core.details import Details, checked_label
from crudjt._core.header import SUBJECT_TAG
from crudjt._core.keyring import Key
from crudjt._core.record import each_label_tag
from crudjt._core.validation import checked_subject
from crudjt.errors import InvalidParameter


class Tags(NamedTuple):
    """The tags of what a revocation names, under one secret key."""

    subject: bytes | None
    label: bytes | None

    def fits(self, record: bytes) -> bool:
        """Tell whether a record, or a mark, has both, by what is not authenticated yet."""
        if self.subject is not None and record[SUBJECT_TAG] != self.subject:
            return False
        return self.label is None or self.label in each_label_tag(record)


class Named(NamedTuple):
    """The arguments of a revocation: the sessions of a subject, those with a label, or of a subject with a label."""

    subject: str | None
    label: str | None

    def tags(self, key: Key) -> Tags:
        """Return the tags under a secret key."""
        return Tags(
            None if self.subject is None else key.subject_tag(self.subject),
            None if self.label is None else key.label_tag(self.label),
        )


def named(subject: str | None, label: str | None) -> Named:
    """Return checked arguments of `Store.revoke`."""
    if subject is None and label is None:
        raise InvalidParameter("subject", "subject or label must be given, or both: revoke ends what they name")
    if subject is not None:
        checked_subject(subject)
    if label is not None:
        checked_label(label)
    return Named(subject, label)


def tagged(details: Details | None, key: Key) -> Details | None:
    """Return details with the tags of their labels under a secret key."""
    if details is None:
        return None
    tags = b"".join(map(key.label_tag, details.labels))
    return details if tags == details.tags else msgspec.structs.replace(details, tags=tags)
