"""``manage.py crudjt_sessions``: look at the store of sessions, tidy it, log a user out everywhere."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from crudjt.contrib.django import get_store, revoke_user, sessions_of


class Command(BaseCommand):
    """The command."""

    help = (
        "Shows the store of sessions, removes expired ones, lists the sessions of a user, logs a user out everywhere."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe ``stats``, ``sweep``, ``list USER`` and ``revoke USER``."""
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("stats", help="print counters of the store")
        actions.add_parser("sweep", help="remove expired sessions now")
        for name, about in (("list", "list a user's sessions"), ("revoke", "end all sessions of a user")):
            action = actions.add_parser(name, help=about)
            action.add_argument("user", help="the name that the user logs in with, or with --id the primary key")
            action.add_argument("--id", action="store_true", help="USER is a primary key, of a deleted user too")

    def handle(self, *_: Any, action: str, **options: Any) -> None:
        """Do it."""
        if action == "stats":
            for name, value in get_store().stats().counters().items():
                self.stdout.write(f"{name}: {value}")
        elif action == "sweep":
            self.stdout.write(f"{get_store().sweep()} removed")
        elif action == "list":
            for session in sessions_of(self._user(**options)):
                self.stdout.write(f"{session.id}  since {session.created_at:%Y-%m-%d %H:%M:%S} UTC")
        else:
            self.stdout.write(f"{revoke_user(self._user(**options))} ended")

    @staticmethod
    def _user(*, user: str, **options: Any) -> Any:
        """Return the user, or the primary key as it was given."""
        if options["id"]:
            return user
        users: Any = get_user_model()
        try:
            return users._default_manager.get_by_natural_key(user)  # noqa: SLF001 - Django documents it
        except users.DoesNotExist:
            raise CommandError("There is no user of that name. With --id, USER is a primary key.") from None
