"""Tokens that are bound to a key in Django REST framework: served with a proof of the key, and refused without."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from django.urls import path
from rest_framework.authentication import BasicAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

import crudjt
from crudjt.contrib.rest_framework import HasScope, TokenAuthentication, create_token
from crudjt.contrib.rest_framework.dpop import DpopSessionAuthentication, DpopTokenAuthentication, prove_key
from crudjt.contrib.rest_framework.views import LoginView
from crudjt.testing import FakeClock
from tests.support.dpop_client import DpopClient

PASSWORD = "correct horse battery staple"
SITE = "http://testserver"
BASIC = f"Basic {b64encode(f'ada:{PASSWORD}'.encode()).decode()}"


class BoundLogin(LoginView):
    authentication_classes = (BasicAuthentication,)

    def token_key(self, request: Request) -> str:
        return prove_key(request)


class Show(APIView):
    authentication_classes = (DpopTokenAuthentication, TokenAuthentication)
    permission_classes = (IsAuthenticated,)

    def get(self, request: Request) -> Response:
        return Response(request.user.get_username())


class Send(APIView):
    authentication_classes = (DpopTokenAuthentication,)
    permission_classes = (HasScope.of("send"),)


class OfSession(Show):
    authentication_classes = (DpopSessionAuthentication,)  # type: ignore[assignment] # of another length


urlpatterns = [
    path("login/", BoundLogin.as_view()),
    path("show/", Show.as_view()),
    path("send/", Send.as_view()),
    path("session/", OfSession.as_view()),
]

pytestmark = pytest.mark.usefixtures("in_use")


@pytest.fixture(autouse=True)
def _settings(clock: FakeClock) -> Iterator[None]:
    with override_settings(ROOT_URLCONF=__name__, REST_CRUDJT={"DPOP": {"clock": clock}}):
        yield


@pytest.fixture
def user() -> Iterator[Any]:
    made = User.objects.create_user("ada", password=PASSWORD)
    yield made
    made.delete()


@pytest.fixture
def key(clock: FakeClock) -> DpopClient:
    return DpopClient(clock=clock)


def get(address: str, headers: dict[str, str]) -> Any:
    return APIClient().get(address, headers=headers)


def error_of(response: Any) -> tuple[int, str]:
    return response.status_code, response["WWW-Authenticate"].partition('error="')[2].partition('"')[0]


def test_a_login_binds_its_token_and_each_request_proves_the_key_once(user: Any, key: DpopClient) -> None:
    proof = key.proof("POST", f"{SITE}/login/")
    response = APIClient().post("/login/", headers={"Authorization": BASIC, "DPoP": proof})
    token = response.data["token"]
    headers = key.headers("GET", f"{SITE}/show/", token)
    assert get("/show/?page=1", headers).data == "ada"
    assert error_of(get("/show/", headers)) == (401, "invalid_dpop_proof")
    for wrong in (proof, "x"):
        response = APIClient().post("/login/", headers={"Authorization": BASIC, "DPoP": wrong})
        assert error_of(response) == (400, "invalid_dpop_proof")
    assert error_of(APIClient().post("/login/", headers={"Authorization": BASIC})) == (400, "invalid_dpop_proof")


def test_a_bound_token_without_its_key_is_refused(user: Any, key: DpopClient, clock: FakeClock) -> None:
    url, thief = f"{SITE}/show/", DpopClient(clock=clock)
    token, free = create_token(user, bound_to=key.thumbprint), create_token(user)
    response = get("/show/", {"Authorization": f"Token {token}"})
    assert (response.status_code, response.data) == (401, {"detail": "The token needs a proof of its key."})
    for headers, answer in (
        (thief.headers("GET", url, token), (401, "invalid_token")),
        (key.headers("GET", url, free), (401, "invalid_token")),
        (key.headers("GET", url, token + "x"), (401, "invalid_token")),
        (key.headers("GET", f"{SITE}/send/", token), (401, "invalid_dpop_proof")),
        ({"Authorization": f"DPoP {token}"}, (401, "invalid_dpop_proof")),
        ({"Authorization": "DPoP a b"}, (400, "invalid_request")),
        ({}, (401, "")),
    ):
        response = get("/show/", headers)
        assert error_of(response) == answer
        assert response["WWW-Authenticate"].startswith('DPoP algs="ES256 ')
    assert get("/show/", {"Authorization": f"Token {free}"}).data == "ada"
    assert get("/send/", key.headers("GET", f"{SITE}/send/", token)).status_code == 403
    user.is_active = False
    user.save()
    assert error_of(get("/show/", key.headers("GET", url, token))) == (401, "invalid_token")


def test_a_nonce_is_asked_for_and_given(user: Any, key: DpopClient, clock: FakeClock) -> None:
    url, token = f"{SITE}/show/", create_token(user, bound_to=key.thumbprint)
    with override_settings(REST_CRUDJT={"DPOP": {"clock": clock, "require_nonce": True, "origin": SITE}}):
        response = get("/show/", key.headers("GET", url, token))
        nonce = response["DPoP-Nonce"]
        assert error_of(response) == (401, "use_dpop_nonce")
        assert get("/show/", key.headers("GET", url, token, nonce=nonce)).data == "ada"
        login = {"Authorization": BASIC, "DPoP": key.proof("POST", f"{SITE}/login/")}
        response = APIClient().post("/login/", headers=login)
        assert (error_of(response), response["DPoP-Nonce"]) == ((400, "use_dpop_nonce"), nonce)


def test_a_session_is_bound_too(user: Any, store: crudjt.Store, key: DpopClient, clock: FakeClock) -> None:
    url = f"{SITE}/session/"
    bound, other = (store.create({}, idle=100, subject=str(user.pk), bound_to=key.thumbprint) for _ in range(2))
    free, nameless = store.create({}, subject=str(user.pk)), store.create({}, bound_to=key.thumbprint)
    assert get("/session/", key.headers("GET", url, bound)).data == "ada"
    for token in (free, nameless, create_token(user, bound_to=key.thumbprint)[4:26]):
        assert error_of(get("/session/", key.headers("GET", url, token))) == (401, "invalid_token")
    clock.advance(60)
    assert get("/session/", key.headers("GET", url, bound)).data == "ada"
    assert error_of(get("/session/", {"Authorization": f"DPoP {other}"})) == (401, "invalid_dpop_proof")
    clock.advance(40)
    assert get("/session/", key.headers("GET", url, bound)).data == "ada"
    assert error_of(get("/session/", key.headers("GET", url, other))) == (401, "invalid_token")
