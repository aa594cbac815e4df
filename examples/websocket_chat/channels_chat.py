"""Websockets that close the moment their session ends, with Django Channels and any number of worker processes.

    export CRUDJT_SECRET_KEY=$(crudjt keygen) DJANGO_SECRET_KEY=$(crudjt keygen) DIRECTORY=/srv/app
    python examples/websocket_chat/channels_chat.py    # once, for the users
    uvicorn --workers 2 --app-dir examples/websocket_chat channels_chat:application

``POST /login/NAME`` logs in, without a password to be short. ``POST /logout`` ends the session, as `crudjt end` or
`revoke_user` does in any process. The websocket ``/chat`` names the user and the process, and returns what it gets.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application

DIRECTORY = Path(os.environ["DIRECTORY"])
SESSION_ENDED = 4401  # a code of this application, for its page

settings.configure(
    SECRET_KEY=os.environ["DJANGO_SECRET_KEY"],
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DIRECTORY / "users.db"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "crudjt.contrib.django"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    SESSION_ENGINE="crudjt.contrib.django",
    SESSION_COOKIE_SECURE=True,
    CRUDJT_LOCATION=DIRECTORY / "sessions",
    CRUDJT_IDLE_TIMEOUT=30 * 60,
)
http_application = get_asgi_application()

# What follows needs the settings above.
from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.contrib.auth import get_user_model, logout  # noqa: E402
from django.contrib.auth import login as log_user_in  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.http import require_POST  # noqa: E402
from endings import Endings  # noqa: E402

import crudjt.aio  # noqa: E402
from crudjt.contrib.django import get_store  # noqa: E402

User: Any = get_user_model()


@require_POST
def login(request: HttpRequest, name: str) -> HttpResponse:
    """Log in."""
    user, _ = User.objects.get_or_create(username=name)
    log_user_in(request, user)
    return HttpResponse("hello\n")


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    """Log out here."""
    logout(request)
    return HttpResponse("goodbye\n")


endings = Endings(crudjt.aio.wrap(get_store()))


class Chat(AsyncWebsocketConsumer):  # type: ignore[misc] # Channels has no types
    """A websocket that is served for as long as its session lives."""

    _watching: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Accept the websocket of a user who is logged in."""
        if not self.scope["user"].is_authenticated:
            await self.close(SESSION_ENDED)
            return
        await self.accept()
        await self.send(f"{self.scope['user'].get_username()} in {os.getpid()}")
        self._watching = asyncio.create_task(self._close_at_end(self.scope["session"].id))

    async def _close_at_end(self, handle: str) -> None:
        await endings.wait(handle)
        await self.close(SESSION_ENDED)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Return what is received."""
        await self.send(text_data, bytes_data)

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 - Channels passes it
        """Stop watching the session when the client leaves."""
        if self._watching is not None:
            self._watching.cancel()


urlpatterns = [path("login/<str:name>", login), path("logout", log_out)]

application = ProtocolTypeRouter(
    {
        "http": http_application,
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter([path("chat", Chat.as_asgi())]))  # the cookie of any site reaches a websocket
        ),
    }
)

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
