"""The Authorization header of a request with a token, and the answers to those refused: RFC 6750, RFC 9449."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

logger = logging.getLogger("crudjt.contrib")

BEARER = "Bearer"
DPOP = "DPoP"

_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class Presented(NamedTuple):
    """A token that a request came with, and the scheme that it was presented by."""

    scheme: str
    token: str

    def __repr__(self) -> str:
        """Show the scheme alone."""
        return f"<Presented {self.scheme}>"


class AccessRefused(Exception):
    """The answer to a request whose token is missing, wrong or not enough.

    Attributes:
        status: the status of HTTP.
        error: the code that RFC 6750 or RFC 9449 has for it; ``None`` where no token was presented.
        description: a sentence for the developer of the client, with nothing of the request in it.
        scheme: the scheme of the token that was presented; ``None`` if there was none.
        scopes: the scopes that are needed, where those of the token are not enough.
        nonce: a nonce that the next proof has to have.

    """

    def __init__(
        self,
        status: int,
        error: str | None,
        description: str,
        *,
        scheme: str | None = None,
        scopes: Iterable[str] = (),
        nonce: str | None = None,
    ) -> None:
        """Take each attribute."""
        super().__init__(description)
        self.status = status
        self.error = error
        self.description = description
        self.scheme = scheme
        self.scopes: tuple[str, ...] = tuple(scopes)
        self.nonce = nonce

    def challenge(self, schemes: Mapping[str, str]) -> str:
        """Return the header ``WWW-Authenticate``.

        Args:
            schemes: each scheme that the resource takes, and the parameters that it always has.

        """
        told = self.scheme or next(iter(schemes))
        return ", ".join(f"{name} {given}".rstrip() for name, given in self._parameters(schemes, told))

    def _parameters(self, schemes: Mapping[str, str], told: str) -> Iterable[tuple[str, str]]:
        for name, always in schemes.items():
            given = [always] if always else []
            if name == told and self.error is not None:
                given += [f'error="{self.error}"', f'error_description="{self.description}"']
                given += [f'scope="{" ".join(self.scopes)}"'] if self.scopes else []
            yield name, ", ".join(given)


def presented(headers: Sequence[str], schemes: Iterable[str]) -> Presented:
    """Return the token of a request.

    Args:
        headers: the values of each header ``Authorization``.
        schemes: the schemes that the resource takes.

    Raises:
        AccessRefused: there is none, or its form is wrong.

    """
    if len(headers) > 1:
        raise AccessRefused(400, "invalid_request", "there is more than one header Authorization")
    scheme, _, token = headers[0].strip().partition(" ") if headers else ("", "", "")
    known = next((each for each in schemes if each.lower() == scheme.lower()), None)
    if known is None:
        raise AccessRefused(401, None, "a token is required")
    token = token.strip()
    if not _TOKEN68.fullmatch(token):
        raise AccessRefused(400, "invalid_request", "the header Authorization has no token", scheme=known)
    return Presented(known, token)


def unknown_token(scheme: str) -> AccessRefused:
    """Return the answer to a token that is unknown, expired or ended."""
    return AccessRefused(401, "invalid_token", "the token is unknown, expired or ended", scheme=scheme)


def require_binding(given: Presented, bound_to: str | None) -> bool:
    """Return whether a proof of the key has to be checked.

    Args:
        given: the token.
        bound_to: the thumbprint of the key that it is bound to; ``None`` for none.

    Raises:
        AccessRefused: the token is bound and presented without a proof, or the reverse.

    """
    if bound_to is not None and given.scheme != DPOP:
        note_bound()
        raise AccessRefused(401, "invalid_token", "the token needs a proof of its key", scheme=given.scheme)
    if bound_to is None and given.scheme == DPOP:
        raise AccessRefused(401, "invalid_token", "the token is bound to no key", scheme=given.scheme)
    return bound_to is not None


def note_bound() -> None:
    """Log that a bound token came without a proof: a client is set up wrong, or a thief has a token of no use."""
    logger.warning("a token that is bound to a key was presented without a proof, and refused")


def require_scopes(has: frozenset[str], needs: Sequence[str], scheme: str) -> None:
    """Check that a token has all of some scopes.

    Raises:
        AccessRefused: it has not.

    """
    if not has.issuperset(needs):
        description = "the token has not the scopes that are required"
        raise AccessRefused(403, "insufficient_scope", description, scheme=scheme, scopes=needs)
