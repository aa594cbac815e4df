"""The setting ``REST_CRUDJT``: a dict whose names are those of django-rest-knox."""

from datetime import timedelta
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from rest_framework.settings import APISettings, api_settings

NAME = "REST_CRUDJT"

_DEFAULTS: dict[str, Any] = {
    "TOKEN_PREFIX": "api",
    "TOKEN_TTL": timedelta(hours=10),
    "TOKEN_LIMIT_PER_USER": None,
    "AUTO_REFRESH": False,
    "AUTO_REFRESH_MAX_TTL": None,
    "AUTH_HEADER_PREFIX": "Token",
    "USER_SERIALIZER": None,
    "EXPIRY_DATETIME_FORMAT": api_settings.DATETIME_FORMAT,
    "DPOP": {},
}


class _Settings(APISettings):
    @property
    def user_settings(self) -> dict[str, Any]:
        """The setting of the project.

        Raises:
            ImproperlyConfigured: a name means nothing.

        """
        given: dict[str, Any] = getattr(settings, NAME, {})
        unknown = sorted(given.keys() - _DEFAULTS.keys())
        if unknown:
            raise ImproperlyConfigured(f"{NAME} has no {unknown[0]}: its names are {', '.join(_DEFAULTS)}")
        return given


token_settings: Any = _Settings(None, cast("Any", _DEFAULTS), ["USER_SERIALIZER"])
"""The settings, as attributes. Each is looked up once, and again after a test has changed them."""


def _reload(*, setting: str, **_: object) -> None:
    if setting == NAME:
        token_settings.reload()


setting_changed.connect(_reload)
