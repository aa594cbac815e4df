"""Types of the sessions of requests, as applications of each framework see them."""

from typing import TYPE_CHECKING, Annotated, Any

from django.http import HttpRequest
from fastapi import Depends
from fastapi.security import SecurityScopes
from flask import Flask
from litestar.middleware import DefineMiddleware
from rest_framework.request import Request as RestRequest
from rest_framework.response import Response
from rest_framework.views import APIView
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request

import crudjt
import crudjt.aio
from crudjt.contrib import django, fastapi, flask, litestar, rest_framework, starlette
from crudjt.contrib.api_tokens import ApiToken, AsyncApiTokens
from crudjt.contrib.dpop import AsyncDpop
from crudjt.contrib.fastapi_dpop import DpopApiToken, DpopKey, DpopSession
from crudjt.contrib.fastapi_tokens import ApiTokenBearer

if TYPE_CHECKING:
    from typing_extensions import assert_type


STORE = crudjt.aio.open("sessions")
DPOP = AsyncDpop(STORE)


def in_django(request: HttpRequest) -> None:
    session = django.session_of(request)
    assert_type(session, django.SessionStore)
    assert_type(session.id, str | None)
    session.rotate()
    assert_type(django.get_store(), crudjt.Store)


def in_flask(app: Flask) -> None:
    flask.Sessions(app, store=crudjt.open("sessions"))
    session = flask.current_session()
    assert_type(session, flask.StoredSession)
    assert_type(session.id, str | None)
    assert_type(session.subject, str | None)
    session.subject = "alice"
    session.subject = 42  # type: ignore[assignment] # pyright: ignore[reportAttributeAccessIssue]
    flask.Sessions(app, stor=crudjt.open("sessions"))  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def in_starlette(request: Request) -> Starlette:
    session = starlette.session_of(request)
    assert_type(session, starlette.BrowserSession)
    assert_type(session["user_id"], Any)
    assert_type(session.id, str | None)
    session.subject = "alice"
    session.rotate()
    session.rotates()  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    store = crudjt.aio.open("sessions")
    return Starlette(middleware=[Middleware(starlette.SessionMiddleware, store=store, subject_key="user_id")])


async def in_fastapi(session: fastapi.RequiredSession, store: fastapi.CurrentStore) -> dict[str, Any]:
    assert_type(session, crudjt.Session)
    assert_type(store, crudjt.AsyncStore)
    return session.data


async def with_tokens(
    tokens: AsyncApiTokens, request: Request, session: Annotated[crudjt.Session, Depends(DpopSession(STORE, DPOP))]
) -> None:
    assert_type(await tokens.create("alice", "laptop", ["mail"], bound_to=session.bound_to), str)
    assert_type(await tokens.read("myapp_"), ApiToken | None)
    assert_type(await tokens.of("alice"), list[ApiToken])
    assert_type(await DpopSession(STORE, DPOP)(request), crudjt.Session)
    assert_type(await DpopKey(DPOP)(request), str)
    assert_type(await DpopApiToken(tokens, DPOP)(request, SecurityScopes()), ApiToken)
    assert_type(await ApiTokenBearer(tokens)(request, SecurityScopes()), ApiToken)
    await tokens.create("alice")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


class Mail(APIView):
    permission_classes = (rest_framework.HasScope.of("mail") | rest_framework.HasScope,)

    def get(self, request: RestRequest) -> Response:
        assert_type(rest_framework.create_token(request.user, "laptop"), str)
        assert_type(rest_framework.tokens_of(request.user), list[ApiToken])
        return Response()


def in_litestar(connection: litestar.Connection) -> DefineMiddleware:
    session = litestar.session_of(connection)
    assert_type(session, litestar.BrowserSession)
    assert_type(session.subject, str | None)
    return DefineMiddleware(litestar.SessionMiddleware, store=crudjt.open("sessions"))
