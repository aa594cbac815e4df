"""Tokens that are bound to a key, for Django REST framework: authentication by proofs of DPoP (RFC 9449).

Put ``crudjt.contrib.rest_framework.dpop.DpopTokenAuthentication`` into ``DEFAULT_AUTHENTICATION_CLASSES``, before
`TokenAuthentication` if tokens without a key are taken too. Clients send ``Authorization: DPoP TOKEN`` and a header
``DPoP`` with a proof for each request. ``REST_CRUDJT = {"DPOP": {…}}`` has the options of `Dpop`.
"""

from crudjt._core.extras import require_extra

require_extra("dpop")

from abc import ABC, abstractmethod
from typing import Any, NoReturn
from urllib.parse import quote

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from crudjt import Session, Store
from crudjt.contrib._access import DPOP, AccessRefused, presented, require_binding, unknown_token
from crudjt.contrib._device_bound.binding import is_bound
from crudjt.contrib._purposes import is_login
from crudjt.contrib._sessions.reserved import listed
from crudjt.contrib.api_tokens import ApiToken
from crudjt.contrib.django import get_store
from crudjt.contrib.dpop import Dpop
from crudjt.contrib.rest_framework._authentication import active_user
from crudjt.contrib.rest_framework._settings import token_settings
from crudjt.contrib.rest_framework._tokens import api_tokens

__all__ = ["DpopSessionAuthentication", "DpopTokenAuthentication", "prove_key"]

_made: list[tuple[Store, dict[str, Any], Dpop]] = []


class ProofRefused(APIException):
    """The answer to a request without a good token or proof, with ``WWW-Authenticate``."""

    def __init__(self, refused: AccessRefused) -> None:
        """Take the reason."""
        super().__init__(refused.description, refused.error)
        self.status_code: int = refused.status
        self.auth_header: str = refused.challenge({DPOP: _dpop().challenge})


class _DpopAuthentication(BaseAuthentication, ABC):
    """Takes ``Authorization: DPoP …``; a request with another scheme is left to other authentication classes."""

    @abstractmethod
    def look(self, text: str) -> ApiToken | Session | None:
        """Return what a token opens, and change nothing."""

    @abstractmethod
    def use(self, text: str) -> ApiToken | Session | None:
        """Return what a token opens, and restart its idle timeout."""

    def authenticate(self, request: Request) -> tuple[Any, ApiToken | Session] | None:
        """Return the user of a token and what the token opens; ``None`` if the request presents none.

        Raises:
            ProofRefused: the token is unknown, expired or ended, its user is not active, or the request does not prove
                to have its key.

        """
        try:
            return self._opened(request)
        except AccessRefused as refused:
            if refused.error is None:
                return None
            _refuse(request, refused)

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - of the base class
        """Return the scheme, which a 401 names."""
        return f"{DPOP} {_dpop().challenge}"

    def _opened(self, request: Request) -> tuple[Any, ApiToken | Session]:
        header: str | None = request.META.get("HTTP_AUTHORIZATION")
        given = presented([] if header is None else [header], [DPOP])
        opened = self.look(given.token)
        user = None if opened is None else active_user(opened.subject)
        if opened is None or user is None:
            raise unknown_token(DPOP)
        require_binding(given, opened.bound_to)
        _prove(request, token=given.token, bound_to=opened.bound_to)
        if opened.last_seen is not None:
            opened = self.use(given.token)
        if opened is None:  # it has ended since
            raise unknown_token(DPOP)
        return user, opened


class DpopTokenAuthentication(_DpopAuthentication):
    """Takes API tokens that are bound to a key: ``request.auth`` is an `ApiToken`."""

    def look(self, text: str) -> ApiToken | None:
        """Return an API token, and change nothing."""
        return api_tokens().peek(text)

    def use(self, text: str) -> ApiToken | None:
        """Return an API token, and restart its idle timeout."""
        return api_tokens().read(text)


class DpopSessionAuthentication(_DpopAuthentication):
    """Takes tokens of sessions that are bound to a key: ``request.auth`` is a `crudjt.Session`.

    A session is what ``get_store().create(…, subject=str(user.pk), bound_to=prove_key(request))`` made.
    """

    def look(self, text: str) -> Session | None:
        """Return a session, and change nothing."""
        return _of_a_user(get_store().peek(text))

    def use(self, text: str) -> Session | None:
        """Return a session, and restart its idle timeout."""
        return _of_a_user(get_store().read(text))


def prove_key(request: Request) -> str:
    """Return the thumbprint of the key that a request proves to have, to bind a new token to it.

    Call it when the password was found to be right, once for a request.

    Raises:
        ProofRefused: there is no good proof. The answer is 400.

    """
    try:
        return _prove(request)
    except AccessRefused as refused:
        _refuse(request, refused)


def _prove(request: Request, *, token: str | None = None, bound_to: str | None = None) -> str:
    header: str | None = request.META.get("HTTP_DPOP")  # two of them are one, with a comma, which no proof has
    url = f"{request.scheme}://{request.get_host()}{quote(request.path)}"
    proofs = [] if header is None else [header]
    return _dpop().prove(proofs, request.method or "", url, token=token, bound_to=bound_to)


def _refuse(request: Request, refused: AccessRefused) -> NoReturn:
    view: Any = (request.parser_context or {}).get("view")
    if refused.nonce is not None and view is not None:
        view.headers |= {"DPoP-Nonce": refused.nonce, "Cache-Control": "no-store"}
    raise ProofRefused(refused) from None


def _of_a_user(session: Session | None) -> Session | None:
    usable = session is not None and session.subject is not None and is_login(session) and not is_bound(session)
    return listed(session) if session is not None and usable else None


def _dpop() -> Dpop:
    """Return the proofs that are good by the settings. It is kept, as it knows the nonce of this process."""
    store, options = get_store(), token_settings.DPOP
    if not _made or _made[0][0] is not store or _made[0][1] is not options:
        _made[:] = [(store, options, Dpop(store, **options))]
    return _made[0][2]
