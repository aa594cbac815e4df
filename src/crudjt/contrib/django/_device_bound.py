"""Device bound sessions in Django: a middleware that checks the session that Django's own has opened."""

from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from crudjt.contrib._device_bound.answers import Answer
from crudjt.contrib._device_bound.blocking import Asked, asked, decide, owned, unavailable
from crudjt.contrib._device_bound.decisions import Verdict
from crudjt.contrib._device_bound.headers import response_headers
from crudjt.contrib._device_bound.settings import DeviceBound
from crudjt.contrib._sessions import sync
from crudjt.contrib._sessions.states import Held
from crudjt.contrib._settings import device_bound
from crudjt.contrib.django._backend import SessionStore
from crudjt.contrib.django._middleware import note_current
from crudjt.contrib.django._store import get_store, setting
from crudjt.errors import CrudjtError

_NAMES = {
    "https_only": "SESSION_COOKIE_SECURE",
    "domain": "SESSION_COOKIE_DOMAIN",
    "path": "SESSION_COOKIE_PATH",
    "partitioned": "SESSION_COOKIE_PARTITIONED",
    "max_age": "SESSION_COOKIE_AGE",
}
_NO_COOKIE_FROM = 500  # the status from which Django sets no cookie of a session

_Response = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


def usable_settings() -> DeviceBound:
    """Return the settings of device bound sessions.

    Raises:
        InvalidParameter: one cannot be used.

    """
    same_site = settings.SESSION_COOKIE_SAMESITE or "Lax"
    bound = device_bound(setting, settings.SESSION_COOKIE_NAME, same_site, _NAMES)
    bound.require_usable(
        secure=settings.SESSION_COOKIE_SECURE,
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        partitioned=False,
        lifetime=settings.SESSION_COOKIE_AGE,
    )
    return bound


class DeviceBoundMiddleware:
    """Serves bound sessions with their proof only. In `MIDDLEWARE` it comes right after Django's `SessionMiddleware`.

    It answers the paths of registration and refresh itself, so that they need no `urls.py`, and no CSRF check and no
    login guard meets them.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: _Response) -> None:
        """Wrap the next middleware.

        Raises:
            InvalidParameter: a setting cannot be used.

        """
        self._get_response = get_response
        self._settings = usable_settings()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Serve a request."""
        if self._is_async:
            return self._serve(request)
        answer, held = self._checked(request)
        if answer is not None:
            return answer
        response = cast(HttpResponseBase, self._get_response(request))
        self._add_headers(request, response, held)
        return response

    async def _serve(self, request: HttpRequest) -> HttpResponseBase:
        answer, held = await sync_to_async(self._checked, thread_sensitive=False)(request)
        if answer is not None:
            return answer
        response = await cast(Awaitable[HttpResponseBase], self._get_response(request))
        await sync_to_async(self._add_headers, thread_sensitive=False)(request, response, held)
        return response

    def _checked(self, request: HttpRequest) -> tuple[HttpResponse | None, Held | None]:
        """Return the answer to a request that no view is to serve, and the session that it found."""
        session = request.session
        if not isinstance(session, SessionStore):
            return None, None
        to_serve = self._asked(request)
        try:
            held = session.read_ahead()
            decided = decide(self._settings, get_store(), to_serve, held)
        except CrudjtError as error:
            if not (self._settings.offers and owned(self._settings, to_serve)):
                raise
            held, decided = None, unavailable(error)
        if decided is Verdict.SERVE:
            session.admit()
            return None, held
        empty = request.session = SessionStore()
        note_current(empty, session)
        request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)  # else Django removes it from the browser
        return (_response(decided), held) if isinstance(decided, Answer) else (None, None)

    def _asked(self, request: HttpRequest) -> Asked:
        root = request.path.removesuffix(request.path_info)
        cookie = request.COOKIES.get(self._settings.cookie_name)
        return asked(request.method or "", root, request.path_info, request.headers.get, cookie)

    def _add_headers(self, request: HttpRequest, response: HttpResponseBase, before: Held | None) -> None:
        session = request.session
        if not isinstance(session, SessionStore) or not session.is_loaded:
            return
        after = session.held
        if after is not None and response.status_code >= _NO_COOKIE_FROM:
            return
        root = request.path.removesuffix(request.path_info)
        _add(response, sync.run(get_store(), response_headers(self._settings, root, before, after)))


def _response(answer: Answer) -> HttpResponse:
    response = HttpResponse(answer.body, status=answer.status)
    _add(response, answer.all_headers())
    return response


def _add(response: HttpResponseBase, headers: list[tuple[str, str]]) -> None:
    for name, value in headers:
        if name == "Set-Cookie":
            response.cookies.load(value)
        else:
            response.headers[name] = value
