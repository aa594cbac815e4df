"""API tokens in Django REST framework: what users of django-rest-knox expect of authentication, settings and views.

The behaviours are those that the tests of django-rest-knox 5.1 look at.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.urls import include, path
from rest_framework import serializers
from rest_framework.authentication import BasicAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

import crudjt
from crudjt.contrib.rest_framework import HasScope, TokenAuthentication, create_token, revoke_tokens, tokens_of
from crudjt.contrib.rest_framework.views import LoginView
from crudjt.testing import FakeClock

PASSWORD = "correct horse battery staple"
HOURS = 3600


class PasswordLogin(LoginView):
    authentication_classes = (BasicAuthentication,)

    def get_token_ttl(self) -> timedelta | None:
        return timedelta(hours=1) if self.request.headers.get("X-Short") else None

    def token_scopes(self, _: Request) -> list[str]:
        return ["mail:read"]


class Show(APIView):
    authentication_classes = (TokenAuthentication,)
    permission_classes: Sequence[Any] = (IsAuthenticated,)

    def get(self, request: Request) -> Response:
        token: Any = request.auth
        return Response({"user": request.user.get_username(), "name": token.name})


class Send(Show):
    permission_classes = (IsAuthenticated & HasScope.of("mail:send"),)


class Either(Show):
    permission_classes = (HasScope.of("mail:send") | HasScope.of("mail:read"),)


class UserSerializer(serializers.Serializer[Any]):
    username = serializers.CharField()


urlpatterns = [
    path("password/", PasswordLogin.as_view()),
    path("show/", Show.as_view()),
    path("send/", Send.as_view()),
    path("either/", Either.as_view()),
    path("auth/", include("crudjt.contrib.rest_framework.urls")),
]

pytestmark = pytest.mark.usefixtures("in_use")


@pytest.fixture(autouse=True)
def _urls() -> Iterator[None]:
    with override_settings(ROOT_URLCONF=__name__):
        yield


@pytest.fixture
def user() -> Iterator[Any]:
    made = User.objects.create_user("ada", password=PASSWORD)
    yield made
    made.delete()


@pytest.fixture
def record_signal() -> Iterator[Callable[[Any], list[Any]]]:
    connected = list[Any]()

    def record(signal: Any) -> list[Any]:
        sent = list[Any]()

        def note(user: Any, **_: object) -> None:
            sent.append(user)

        signal.connect(note, weak=False)
        connected.append((signal, note))
        return sent

    yield record
    for signal, note in connected:
        signal.disconnect(note)


def client_of(token: str = "", scheme: str = "Token") -> APIClient:
    client = APIClient()
    if token:
        client.credentials(HTTP_AUTHORIZATION=f"{scheme} {token}")
    return client


def by_password() -> APIClient:
    return client_of(b64encode(f"ada:{PASSWORD}".encode()).decode(), "Basic")


def using(**own: Any) -> Any:
    return override_settings(REST_CRUDJT=own)


def test_a_token_authenticates_its_user(user: Any) -> None:
    token = create_token(user, "laptop")
    for client in (client_of(token), client_of(token, "token")):
        assert client.get("/show/").data == {"user": "ada", "name": "laptop"}


def test_what_is_no_token_gets_401_and_why(user: Any, store: crudjt.Store) -> None:
    session = store.create({}, subject=str(user.pk))
    for token, detail in (
        (f"api_{session}AAAAAA", "Invalid token."),
        (session, "Invalid token."),
        ("1", "Invalid token."),
        ("é", "Invalid token."),
        ("one two", "Invalid token header. Token string should not contain spaces."),
        (" ", "Invalid token header. No credentials provided."),
    ):
        response = client_of(token).get("/show/")
        assert (response.status_code, response.data) == (401, {"detail": detail})
        assert response["WWW-Authenticate"] == "Token"
    for client in (client_of(), client_of(create_token(user), "Bearer")):
        response = client.get("/show/")
        assert response.status_code == 401
        assert response.data["detail"].code == "not_authenticated"


def test_a_token_of_a_user_who_is_inactive_or_deleted_is_refused(user: Any, clock: FakeClock) -> None:
    with using(AUTO_REFRESH=True):
        client = client_of(create_token(user))
    user.is_active = False
    user.save()
    assert client.get("/show/").data == {"detail": "User inactive or deleted."}
    clock.advance(6 * HOURS)
    assert client.get("/show/").data == {"detail": "User inactive or deleted."}
    clock.advance(6 * HOURS)
    assert client.get("/show/").data == {"detail": "Invalid token."}  # what is refused is no use
    for key in ("999999", "9" * 30, "no number"):
        assert client_of(create_token(key)).get("/show/").data == {"detail": "User inactive or deleted."}


def test_a_login_answers_with_a_token_and_its_expiry_and_sends_the_signal(
    user: Any, clock: FakeClock, record_signal: Callable[[Any], list[Any]]
) -> None:
    sent = record_signal(user_logged_in)
    response = by_password().post("/password/", {"name": "phone"}, format="json")
    assert response.status_code == 200
    assert set(response.data) == {"token", "expiry"}
    assert sent == [user]
    (token,) = tokens_of(user)
    assert token.expires_at == serializers.DateTimeField().to_internal_value(response.data["expiry"])
    assert (token.name, token.scopes) == ("phone", frozenset({"mail:read"}))
    client = client_of(response.data["token"])
    clock.advance(10 * HOURS - 1)
    assert client.get("/show/").status_code == 200
    clock.advance(1)
    assert client.get("/show/").data == {"detail": "Invalid token."}
    assert client_of().post("/password/").status_code == 401
    odd = by_password().generic("POST", "/password/", '{"name": "\\ud800"}', "application/json")
    assert odd.status_code == 200
    assert [each.name for each in tokens_of(user)] == ["?"]
    short = client_of(by_password().post("/password/", headers={"X-Short": "1"}).data["token"])
    clock.advance(HOURS)
    assert short.get("/show/").status_code == 401


def test_the_settings_are_those_of_knox(user: Any) -> None:
    serializer = f"{__name__}.UserSerializer"
    with using(TOKEN_TTL=None, TOKEN_PREFIX="myapp", USER_SERIALIZER=serializer, AUTH_HEADER_PREFIX="Key"):
        data = by_password().post("/password/").data
        assert (data["expiry"], data["user"]) == (None, {"username": "ada"})
        assert data["token"].startswith("myapp_")
        assert client_of(data["token"]).get("/show/").status_code == 401
        assert client_of(data["token"], "Key").get("/show/").status_code == 200
        response = client_of().get("/show/")
        assert response["WWW-Authenticate"] == "Key"
    with using(EXPIRY_DATETIME_FORMAT="%Y"):
        assert len(by_password().post("/password/").data["expiry"]) == 4
    with using(MIN_REFRESH_INTERVAL=60), pytest.raises(ImproperlyConfigured, match="REST_CRUDJT has no MIN_REFRESH"):
        create_token(user)


def test_a_user_has_no_more_tokens_than_the_limit(user: Any, clock: FakeClock) -> None:
    with using(TOKEN_LIMIT_PER_USER=3):
        create_token(user, ttl=60)
        assert [by_password().post("/password/").status_code for _ in range(3)] == [200, 200, 403]
        response = by_password().post("/password/")
        assert response.data == {"error": "Maximum amount of tokens allowed per user exceeded."}
        clock.advance(60)
        assert by_password().post("/password/").status_code == 200


def test_auto_refresh_extends_the_expiry_but_not_past_the_maximum(user: Any, clock: FakeClock) -> None:
    with using(AUTO_REFRESH=True, TOKEN_TTL=timedelta(hours=10), AUTO_REFRESH_MAX_TTL=timedelta(hours=24)):
        client, unused = client_of(create_token(user)), client_of(create_token(user))
        statuses = list[int]()
        for _ in range(5):
            clock.advance(5 * HOURS)
            statuses.append(client.get("/show/").status_code)
        assert statuses == [200, 200, 200, 200, 401]
        assert unused.get("/show/").status_code == 401


@pytest.mark.parametrize(("view", "left"), [("logout", 1), ("logoutall", 0)])
def test_a_logout_ends_its_token_or_all_of_the_user(
    user: Any, store: crudjt.Store, view: str, left: int, record_signal: Callable[[Any], list[Any]]
) -> None:
    sent = record_signal(user_logged_out)
    texts = [create_token(user) for _ in range(2)]
    session, other = store.create({}, subject=str(user.pk)), create_token(user.pk + 1)
    response = client_of(texts[0]).post(f"/auth/{view}/")
    assert response.status_code == 204
    assert client_of(texts[0]).get("/show/").status_code == 401
    assert len(tokens_of(user)) == left
    assert sent == [user]
    assert store.read(session) is not None
    assert client_of(other).get("/show/").data == {"detail": "User inactive or deleted."}
    assert client_of(texts[0]).post(f"/auth/{view}/").status_code == 401


def test_scopes_are_a_permission(user: Any) -> None:
    reads, sends = create_token(user, scopes=["mail:read"]), create_token(user, scopes=["mail:send"])
    assert [client_of(token).get("/send/").status_code for token in (reads, sends)] == [403, 200]
    assert [client_of(token).get("/either/").status_code for token in (reads, sends, create_token(user))] == [
        200, 200, 403,
    ]  # fmt: skip
    assert client_of().get("/send/").status_code == 401


def test_tokens_of_a_user_are_ended_one_by_one_or_all(user: Any) -> None:
    for name in ("laptop", "phone"):
        create_token(user, name)
    first = tokens_of(user)[0]
    assert revoke_tokens(user.pk + 1, id=first.id) == 0
    assert revoke_tokens(user, id=first.id) == 1
    assert revoke_tokens(user) == 1
    assert tokens_of(user) == []
