"""One application for each framework whose sessions may be bound to a device, to be called or served."""

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import fastapi
import flask
import litestar
import starlette.requests
import starlette.responses
from django.contrib.auth import SESSION_KEY
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from litestar.config.csrf import CSRFConfig
from litestar.middleware import DefineMiddleware
from starlette._utils import get_route_path
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from werkzeug.test import Client

import crudjt
import crudjt.contrib.django
import crudjt.contrib.fastapi
import crudjt.contrib.flask
import crudjt.contrib.litestar
import crudjt.contrib.starlette
from tests.support.loops import Loop

USER = "user"
PATHS = ("/", "/login", "/logout", "/put", "/rotate", "/replace", "/clear-and-put", "/lasting")


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for each, value in self.headers if each.lower() == name.lower()), None)

    @property
    def cookies(self) -> list[str]:
        return [value for each, value in self.headers if each.lower() == "set-cookie"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def act(session: Any, key: str, path: str, query: str) -> str:
    """Do to a session what a path says; return what it is then, as JSON."""
    given = {name: values[0] for name, values in parse_qs(query).items()}
    if path == "/login":
        session[key] = given["user"]
    elif path == "/logout":
        session.clear()
    elif path == "/put":
        session.update(given)
    elif path == "/lasting":
        session.lifetime = timedelta(seconds=int(given["seconds"]))
    elif path == "/rotate":
        session.rotate()
    elif path == "/replace":
        for each in [each for each in session.keys() if each != key]:  # noqa: SIM118 - Django's is no dict
            del session[each]
    elif path == "/clear-and-put":
        session.clear()
        session.update(given)
    keys = sorted(each for each in session.keys() if each != key)  # noqa: SIM118
    user = session.get(key)
    return json.dumps({"user": user, "bound": session.device_bound, "keys": keys, "repr": repr(session)})


class DeviceSite:
    """An application of one framework."""

    name: str
    key = USER
    session_cookie = "session"
    is_asgi = True
    app: Any

    @property
    def bound_cookie(self) -> str:
        return f"__Host-{self.session_cookie}-bound"

    def call(self, method: str, target: str, headers: dict[str, str]) -> Reply:
        """Make a request."""
        raise NotImplementedError

    def close(self) -> None:
        """End what belongs to it."""


class AsgiDeviceSite(DeviceSite):
    """An application that is called on an event loop in a thread."""

    root_path = ""

    def __init__(self) -> None:
        self._loop = Loop()

    def call(self, method: str, target: str, headers: dict[str, str]) -> Reply:
        reply: Reply = self._loop.run(self.ask(method, target, headers))
        return reply

    def together(self, count: int, method: str, target: str, headers: dict[str, str]) -> list[Reply]:
        """Make the same request many times at once."""

        async def all_of_them() -> list[Reply]:
            return await asyncio.gather(*(self.ask(method, target, headers) for _ in range(count)))

        replies: list[Reply] = self._loop.run(all_of_them())
        return replies

    async def ask(self, method: str, target: str, headers: dict[str, str], kind: str = "http") -> Reply:
        path, _, query = target.partition("?")
        scope: dict[str, Any] = {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "https" if kind == "http" else "wss",
            "path": path,
            "raw_path": path.encode(),
            "root_path": self.root_path,
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "server": ("testserver", 443),
            "client": ("127.0.0.1", 1),
            "extensions": {},
        }
        if kind == "http":
            scope["method"] = method
        sent: list[Any] = []
        first = "http.request" if kind == "http" else "websocket.connect"
        messages = iter([{"type": first, "body": b"", "more_body": False}])

        async def receive() -> Any:
            message = next(messages, None)
            if message is None:
                await asyncio.Event().wait()  # the client stays connected
            return message

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        begun = sent[0]
        if kind == "websocket":
            return Reply(101 if begun["type"] == "websocket.accept" else 403, [], b"")
        answered = [(name.decode(), value.decode()) for name, value in begun["headers"]]
        return Reply(begun["status"], answered, b"".join(each.get("body", b"") for each in sent[1:]))

    def websocket(self, headers: dict[str, str]) -> Reply:
        """Open a websocket."""
        reply: Reply = self._loop.run(self.ask("GET", "/socket", headers, "websocket"))
        return reply

    def close(self) -> None:
        self._loop.close()


async def _socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


class StarletteDeviceSite(AsgiDeviceSite):
    name = "starlette"

    def __init__(self, store: crudjt.Store, **settings: Any) -> None:
        super().__init__()

        async def view(request: starlette.requests.Request) -> starlette.responses.Response:
            session = crudjt.contrib.starlette.session_of(request)
            return starlette.responses.HTMLResponse(
                act(session, USER, get_route_path(request.scope), request.url.query)
            )

        given: dict[str, Any] = {"subject_key": USER, "device_bound": True} | settings
        self.app = Starlette(
            routes=[Route(path, view, methods=["GET", "POST"]) for path in PATHS]
            + [WebSocketRoute("/socket", _socket)],
            middleware=[Middleware(crudjt.contrib.starlette.SessionMiddleware, store=store, **given)],
        )


class FastApiDeviceSite(AsgiDeviceSite):
    name = "fastapi"

    def __init__(self, store: crudjt.Store, **settings: Any) -> None:
        super().__init__()
        app = self.app = fastapi.FastAPI()
        crudjt.contrib.fastapi.use_store(app, store)
        given: dict[str, Any] = {"subject_key": USER, "device_bound": True} | settings
        app.add_middleware(crudjt.contrib.fastapi.SessionMiddleware, store=store, **given)

        async def view(request: fastapi.Request) -> fastapi.Response:
            session = crudjt.contrib.fastapi.session_of(request)
            return fastapi.responses.HTMLResponse(act(session, USER, request.url.path, request.url.query))

        for path in PATHS:
            app.add_api_route(path, view, methods=["GET", "POST"])
        app.add_api_websocket_route("/socket", _socket)

        @app.get("/bearer")
        async def bearer(session: crudjt.contrib.fastapi.RequiredSession) -> str:
            return repr(sorted(session.data))


class LitestarDeviceSite(AsgiDeviceSite):
    name = "litestar"

    def __init__(self, store: crudjt.Store, **settings: Any) -> None:
        super().__init__()

        async def view(request: litestar.Request[Any, Any, Any]) -> litestar.Response[str]:
            session = crudjt.contrib.litestar.session_of(request)
            done = act(session, USER, request.url.path, request.url.query)
            return litestar.Response(done, media_type="text/html", status_code=200)

        async def socket(socket: litestar.WebSocket[Any, Any, Any]) -> None:
            await socket.accept()
            await socket.close()

        given: dict[str, Any] = {"subject_key": USER, "device_bound": True} | settings
        handlers: list[Any] = [
            *(litestar.route(path, http_method=["GET", "POST"], exclude_from_csrf=True)(view) for path in PATHS),
            litestar.websocket("/socket")(socket),
        ]
        self.app = litestar.Litestar(
            handlers,
            middleware=[DefineMiddleware(crudjt.contrib.litestar.SessionMiddleware, store=store, **given)],
            plugins=[crudjt.contrib.litestar.DeviceBoundPaths()],
            csrf_config=CSRFConfig("secret"),
            openapi_config=None,
            logging_config=None,
        )


class WsgiDeviceSite(DeviceSite):
    """An application that is called on the thread of the test."""

    is_asgi = False

    def call(self, method: str, target: str, headers: dict[str, str]) -> Reply:
        client = Client(self.app, use_cookies=False)
        answer = client.open(target, method=method, headers=headers, base_url="https://testserver")
        return Reply(answer.status_code, list(answer.headers), answer.get_data())


class FlaskDeviceSite(WsgiDeviceSite):
    name = "flask"

    def __init__(self, store: crudjt.Store, **settings: Any) -> None:
        app = self.app = flask.Flask(__name__)
        app.config.update({"CRUDJT_SUBJECT_KEY": USER, "CRUDJT_DEVICE_BOUND": True} | settings)
        app.before_request(self._guard)
        crudjt.contrib.flask.Sessions(app, store=store)

        def view() -> flask.Response:
            session = crudjt.contrib.flask.current_session()
            done = act(session, USER, flask.request.path, flask.request.query_string.decode())
            return flask.Response(done)

        for path in PATHS:
            app.add_url_rule(path, path, view, methods=["GET", "POST"])

    def _guard(self) -> None:
        """Refuse requests that were not meant for a view, as a check against CSRF or a login guard does."""
        if flask.request.path not in PATHS:
            flask.abort(403)


DJANGO_SETTINGS: dict[str, Any] = {
    "CRUDJT_DEVICE_BOUND": True,
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "crudjt.contrib.django.DeviceBoundMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    "ROOT_URLCONF": "tests.support.device_urls",
    "SESSION_COOKIE_SECURE": True,
    "ALLOWED_HOSTS": ["testserver", "localhost"],
}


class DjangoDeviceSite(WsgiDeviceSite):
    name = "django"
    key = SESSION_KEY
    session_cookie = "sessionid"

    def __init__(self, store: crudjt.Store, **settings: Any) -> None:
        self._while_open = ExitStack()
        self._while_open.enter_context(override_settings(**DJANGO_SETTINGS | settings))
        self._while_open.enter_context(crudjt.contrib.django.use_store(store))
        self.app = self._handler()

    def _handler(self) -> Any:
        return WSGIHandler()

    def close(self) -> None:
        super().close()
        self._while_open.close()


class DjangoAsyncDeviceSite(DjangoDeviceSite, AsgiDeviceSite):
    name = "django-async"
    is_asgi = True

    def __init__(self, store: crudjt.Store, **settings: Any) -> None:
        AsgiDeviceSite.__init__(self)
        DjangoDeviceSite.__init__(self, store, **settings)

    def _handler(self) -> Any:
        return ASGIHandler()

    def call(self, method: str, target: str, headers: dict[str, str]) -> Reply:
        return AsgiDeviceSite.call(self, method, target, headers)


DEVICE_SITES: dict[str, Callable[..., DeviceSite]] = {
    "django": DjangoDeviceSite,
    "django-async": DjangoAsyncDeviceSite,
    "starlette": StarletteDeviceSite,
    "fastapi": FastApiDeviceSite,
    "flask": FlaskDeviceSite,
    "litestar": LitestarDeviceSite,
}
