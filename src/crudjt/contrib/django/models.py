"""The model that gives Django's admin a name, an address and permissions for sessions. It has no table."""

from typing import Any, ClassVar

from django.db import models


class _NoRows(models.Manager[Any]):
    """Finds nothing, so that what looks at the rows of all models, such as `dumpdata`, asks for no table."""

    def get_queryset(self) -> "models.QuerySet[Any]":
        rows: Any = super().get_queryset()
        nothing: models.QuerySet[Any] = rows.none()
        return nothing


class Session(models.Model):
    """A session in the store, for `crudjt.contrib.django.admin`. Sessions are never read or written through it."""

    id: "models.CharField[str, str]" = models.CharField(primary_key=True, max_length=32, editable=False)

    objects: ClassVar[_NoRows] = _NoRows()

    class Meta:
        """No table, and the permissions to look at sessions and to end them."""

        managed = False
        app_label = "crudjt"
        base_manager_name = "objects"
        default_permissions: tuple[str, ...] = ("view", "delete")
        verbose_name = "session"
        verbose_name_plural = "sessions"

    def __str__(self) -> str:
        """Return the handle."""
        return str(self.id)
