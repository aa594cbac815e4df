"""One application for each framework whose single view does to its session what a test says, and a browser for it."""

import contextlib
import inspect
import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

import fastapi
import fastapi.testclient
import flask
import litestar
import litestar.testing
import starlette.requests
import starlette.responses
import starlette.testclient
from django.test import Client
from litestar.middleware import DefineMiddleware
from litestar.response import Stream
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import StreamingResponse
from starlette.routing import Route

import crudjt
import crudjt.contrib.django
import crudjt.contrib.fastapi
import crudjt.contrib.flask
import crudjt.contrib.litestar
import crudjt.contrib.starlette
from tests.support import django_project

Act = Callable[[Any], Any]

USER = "user"


class Breaks(Exception):
    """Raised by a view on purpose."""


def nothing(_session: Any) -> None:
    """Do nothing."""


@dataclass
class Job:
    """What a request does, before the response and while it streams, and what came of it."""

    act: Act = nothing
    late: Act | None = None
    status: int = 200
    breaks: bool = False
    result: Any = None
    late_result: Any = None

    def do(self, session: Any) -> None:
        self.result = self.act(session)
        if self.breaks and self.late is None:
            raise Breaks

    async def await_do(self, session: Any) -> None:
        """Do it in an asynchronous view, in which an act may be a coroutine."""
        self.result = self.act(session)
        if inspect.iscoroutine(self.result):
            self.result = await self.result
        if self.breaks and self.late is None:
            raise Breaks

    def parts(self, session: Any) -> Iterator[bytes]:
        yield b"first"
        assert self.late is not None
        self.late_result = self.late(session)
        if self.breaks:
            raise Breaks
        yield b"last"


@dataclass
class Answer:
    """What the browser got."""

    status: int
    cookies: list[str]
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def forgets(self) -> bool:
        return any("expires=Thu, 01 Jan 1970" in each or "Max-Age=0" in each for each in self.cookies)


class Site(ABC):
    """An application of one framework, and the cookie of one browser."""

    key = USER
    cookie_name = "session"
    gone_status = 200
    final_at_login = False
    adapter: Any

    def __init__(self, store: crudjt.Store) -> None:
        self.store = store
        self.cookie: str | None = None
        self.jobs: dict[str, Job] = {}
        self.headers: dict[str, str] = {}
        self._numbers = itertools.count()

    def request(self, act: Act = nothing, **more: Any) -> Job:
        """Make a request with the cookie, and keep what the answer sets."""
        job = Job(act, **more)
        number = str(next(self._numbers))
        self.jobs[number] = job
        headers = {"x-job": number, **self.headers}
        if self.cookie is not None:
            headers["cookie"] = f"{self.cookie_name}={self.cookie}"
        self.answer = self.send(headers)
        for line in self.answer.cookies:
            [morsel] = SimpleCookie(line).values()
            self.cookie = None if self.answer.forgets else morsel.value
        return job

    @abstractmethod
    def send(self, headers: dict[str, str]) -> Answer:
        """Make a request through the test client of the framework."""

    def elsewhere(self, act: Act, **more: Any) -> None:
        """Make another request with the same cookie, as a second tab does; this browser never sees its answer."""
        kept, answer = self.cookie, getattr(self, "answer", None)
        self.request(act, **more)
        self.cookie = kept
        if answer is not None:
            self.answer = answer

    def data(self) -> dict[str, Any]:
        """Return what the next request finds."""
        found: dict[str, Any] = self.request(lambda session: dict(session.items())).result
        return found

    def token(self, session: Any) -> str | None:
        """Return the token that the application sees."""
        token: str | None = session.token
        return token

    def save_late(self, session: Any) -> None:  # noqa: B027 - nothing in most frameworks
        """Do what the application has to do for late data."""

    def log_in(self, user: str, **data: Any) -> Act:
        """Return an act that logs in, as the framework has it, and then sets data."""

        def act(session: Any) -> None:
            session[self.key] = user
            session.update(data)

        return act


class FlaskSite(Site):
    adapter = crudjt.contrib.flask

    def __init__(self, store: crudjt.Store, *, propagates: bool = False, **settings: Any) -> None:
        super().__init__(store)

        app = flask.Flask(__name__)
        app.config.update(CRUDJT_SUBJECT_KEY=USER, PROPAGATE_EXCEPTIONS=propagates)
        app.config.update({f"CRUDJT_{name.upper()}": value for name, value in settings.items()})
        crudjt.contrib.flask.Sessions(app, store=store)

        @app.get("/")
        def view() -> flask.Response:
            job = self.jobs[flask.request.headers["x-job"]]
            job.do(crudjt.contrib.flask.current_session())
            body = flask.stream_with_context(job.parts(crudjt.contrib.flask.current_session())) if job.late else b""
            return flask.Response(body, job.status)

        self.app = app
        self._client = app.test_client(use_cookies=False)

    def send(self, headers: dict[str, str]) -> Answer:
        with contextlib.suppress(Breaks), self._client.get("/", headers=headers, base_url="https://testserver") as got:
            answer = Answer(got.status_code, got.headers.getlist("Set-Cookie"), dict(got.headers))
            with contextlib.suppress(Breaks):
                got.get_data()
            return answer
        return Answer(500, [])


class AsgiSite(Site):
    def send(self, headers: dict[str, str]) -> Answer:
        self.client.cookies.clear()
        try:
            got = self.client.get("/", headers=headers)
        except Breaks:
            return Answer(500, [])
        return Answer(got.status_code, got.headers.get_list("set-cookie"), dict(got.headers))

    client: Any


class StarletteSite(AsgiSite):
    adapter = crudjt.contrib.starlette

    def __init__(self, store: crudjt.Store, **settings: Any) -> None:
        super().__init__(store)

        async def view(request: starlette.requests.Request) -> starlette.responses.Response:
            job = self.jobs[request.headers["x-job"]]
            await job.await_do(crudjt.contrib.starlette.session_of(request))
            if job.late:
                return StreamingResponse(_parts(job, crudjt.contrib.starlette.session_of(request)), job.status)
            return starlette.responses.Response(b"", job.status)

        middleware = [
            Middleware(crudjt.contrib.starlette.SessionMiddleware, store=store, **{"subject_key": USER} | settings)
        ]
        app = Starlette(routes=[Route("/", view)], middleware=middleware)
        self.client = starlette.testclient.TestClient(app, base_url="https://testserver", raise_server_exceptions=False)


class FastApiSite(AsgiSite):
    adapter = crudjt.contrib.fastapi

    def __init__(self, store: crudjt.Store, **settings: Any) -> None:
        super().__init__(store)

        app = fastapi.FastAPI()
        app.add_middleware(crudjt.contrib.fastapi.SessionMiddleware, store=store, subject_key=USER, **settings)

        @app.get("/")
        async def view(request: fastapi.Request) -> fastapi.Response:
            job = self.jobs[request.headers["x-job"]]
            await job.await_do(crudjt.contrib.fastapi.session_of(request))
            if job.late:
                return StreamingResponse(_parts(job, crudjt.contrib.fastapi.session_of(request)), job.status)
            return fastapi.Response(b"", job.status)

        self.client = fastapi.testclient.TestClient(app, base_url="https://testserver", raise_server_exceptions=False)


class LitestarSite(AsgiSite):
    adapter = crudjt.contrib.litestar

    def __init__(self, store: crudjt.Store, **settings: Any) -> None:
        super().__init__(store)

        middleware = crudjt.contrib.litestar.SessionMiddleware

        @litestar.get("/")
        async def view(request: litestar.Request[Any, Any, Any]) -> Any:
            job = self.jobs[request.headers["x-job"]]
            await job.await_do(crudjt.contrib.litestar.session_of(request))
            if job.late:
                return Stream(_parts(job, crudjt.contrib.litestar.session_of(request)), status_code=job.status)
            return litestar.Response(b"", status_code=job.status)

        app = litestar.Litestar(
            [view],
            middleware=[DefineMiddleware(middleware, store=store, subject_key=USER, **settings)],
            openapi_config=None,
            logging_config=None,
        )
        self.client = litestar.testing.TestClient(
            app, base_url="https://testserver.local", raise_server_exceptions=False
        )


async def _parts(job: Job, session: Any) -> AsyncIterator[bytes]:
    for part in job.parts(session):
        yield part


class DjangoSite(Site):
    adapter = crudjt.contrib.django
    key = "_auth_user_id"
    cookie_name = "sessionid"
    gone_status = 400
    final_at_login = True

    def __init__(self, store: crudjt.Store) -> None:
        super().__init__(store)

        django_project.jobs = self.jobs
        self._client = Client(raise_request_exception=False)

    def send(self, headers: dict[str, str]) -> Answer:
        given: dict[str, Any] = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        got: Any = self._client.get("/job", secure=True, **given)
        self._client.cookies.clear()
        lines = [morsel.OutputString() for morsel in got.cookies.values()]
        with contextlib.suppress(Breaks):
            list(getattr(got, "streaming_content", ()))
        got.close()
        return Answer(got.status_code, lines, dict(got.headers))

    def token(self, session: Any) -> str | None:
        key: str | None = session.session_key
        return key

    def save_late(self, session: Any) -> None:
        session.save()


SITES: dict[str, Callable[..., Site]] = {
    "django": DjangoSite,
    "flask": FlaskSite,
    "starlette": StarletteSite,
    "fastapi": FastApiSite,
    "litestar": LitestarSite,
}
