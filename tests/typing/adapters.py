"""Types of the sessions of requests, as applications of each framework see them."""

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from flask import Flask
from litestar.middleware import DefineMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request

import crudjt
import crudjt.aio
from crudjt.contrib import django, fastapi, flask, litestar, starlette

if TYPE_CHECKING:
    from typing_extensions import assert_type


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


def in_litestar(connection: litestar.Connection) -> DefineMiddleware:
    session = litestar.session_of(connection)
    assert_type(session, litestar.BrowserSession)
    assert_type(session.subject, str | None)
    return DefineMiddleware(litestar.SessionMiddleware, store=crudjt.open("sessions"))
