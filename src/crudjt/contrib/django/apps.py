"""The application that brings the system checks and the management command."""

from django.apps import AppConfig
from django.core.checks import Tags, register

from crudjt.contrib.django.checks import check_directory, check_server, check_settings


class CrudjtConfig(AppConfig):
    """For `INSTALLED_APPS`: ``"crudjt.contrib.django"``."""

    name = "crudjt.contrib.django"
    label = "crudjt"
    verbose_name: str = "crudjt sessions"  # pyright: ignore[reportIncompatibleVariableOverride] # there also lazy

    def ready(self) -> None:
        """Register the checks."""
        register(check_settings, Tags.security)
        register(check_directory, Tags.security)
        register(check_server, Tags.security, deploy=True)
