"""Sessions in Django's admin: newest first, by user; look at one, end one, end all of a user. No token, no data.

It is there for `django.contrib.admin.site` as soon as both applications are in `INSTALLED_APPS`. Another site registers
it: ``site.register(Session, SessionAdmin)``.
"""

from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

import crudjt
from crudjt._core.audit import audit
from crudjt._core.validation import is_handle
from crudjt.contrib.django._backend import SessionStore
from crudjt.contrib.django._middleware import current_request
from crudjt.contrib.django._store import get_store
from crudjt.contrib.django._subjects import subject_of_search, users_by_subject
from crudjt.contrib.django._users import revoke_user
from crudjt.contrib.django.models import Session
from crudjt.contrib.django.signals import session_ended, teller

PER_PAGE = 50

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Session]
else:
    _ModelAdmin = admin.ModelAdmin


@admin.register(Session)
class SessionAdmin(_ModelAdmin):
    """The pages. The permissions are ``crudjt.view_session`` to look, and ``crudjt.delete_session`` to end."""

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses, under the names that the admin links to."""
        view = self.admin_site.admin_view  # which protects forms, and asks for a login
        return [
            path("", view(self.changelist_view), name="crudjt_session_changelist"),
            path("end-all/", view(self.end_all_view), name="crudjt_session_end_all"),
            path("<str:object_id>/change/", view(self.change_view), name="crudjt_session_change"),
            path("<str:object_id>/delete/", view(self.delete_view), name="crudjt_session_delete"),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django passes it
        """Return False: a login begins a session."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - as above
        """Return False: applications change their sessions."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:  # noqa: ARG002 - as above
        """List the sessions, or those of a user."""
        self._require(request, "view")
        searched, after = request.GET.get("q", "").strip(), request.GET.get("after") or None
        subject = subject_of_search(searched) if searched else request.GET.get("subject") or None
        try:
            page = get_store().list(after=after, limit=PER_PAGE, subject=subject)
        except crudjt.InvalidParameter as error:  # no such text can be a subject, or no such page
            raise Http404(str(error)) from None
        rows = _described(request, page.sessions)
        context = {"rows": rows, "searched": searched, "subject": subject, "next": page.next, "is_first": after is None}
        return self._page(request, "sessions", "Sessions", **context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",  # noqa: ARG002 - Django's method has it
        extra_context: Any = None,  # noqa: ARG002 - as above
    ) -> HttpResponse:
        """Describe a session."""
        self._require(request, "view")
        return self._page(request, "session", "Session", row=self._found(request, object_id))

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:  # noqa: ARG002
        """Ask whether to end a session, and end it."""
        self._require(request, "delete")
        row = self._found(request, object_id)
        if request.method != "POST":
            return self._page(request, "end_session", "End this session?", row=row)
        ended = get_store().revoke_id(object_id)
        tell_ended = teller(session_ended, SessionStore, current_request)
        if ended and tell_ended is not None:
            tell_ended(object_id, row["subject"], "ended")
        _note(request, "end session", object_id, row["user"], "done" if ended else "missing", handle=object_id)
        self.message_user(request, "The session has ended." if ended else "The session had ended already.")
        return HttpResponseRedirect(reverse("admin:crudjt_session_changelist", current_app=self.admin_site.name))

    def end_all_view(self, request: HttpRequest) -> HttpResponse:
        """Ask whether to end all sessions of a user, and end them."""
        self._require(request, "delete")
        subject = request.POST.get("subject") or request.GET.get("subject", "")
        try:
            number = get_store().count(subject)
        except crudjt.InvalidParameter as error:
            raise Http404(str(error)) from None
        user = str(users_by_subject([subject]).get(subject, subject))
        if request.method != "POST":
            context = {"subject": subject, "user": user, "number": number}
            return self._page(request, "end_all", "End all sessions of this user?", **context)
        ended = revoke_user(subject)
        _note(request, "end sessions", subject, user, "done", subject=subject, ended=ended)
        self.message_user(request, f"{ended} session{'' if ended == 1 else 's'} ended.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:crudjt_session_changelist", current_app=self.admin_site.name))

    def _require(self, request: HttpRequest, what: str) -> None:
        allowed = self.has_view_permission(request) if what == "view" else self.has_delete_permission(request)
        if not allowed:
            raise PermissionDenied

    def _found(self, request: HttpRequest, handle: str) -> dict[str, Any]:
        session = get_store().find(handle) if is_handle(handle) else None
        if session is None:
            raise Http404("There is no such session. It may have ended.")
        return _described(request, [session])[0]

    def _page(self, request: HttpRequest, name: str, title: str, **context: Any) -> TemplateResponse:
        request.current_app = self.admin_site.name
        common: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": cast(Any, self.model)._meta,  # noqa: SLF001 - Django documents it
            "may_end": self.has_delete_permission(request),
        }
        return TemplateResponse(request, f"admin/crudjt/{name}.html", common | context)


def _described(request: HttpRequest, sessions: Any) -> list[dict[str, Any]]:
    """Return what pages have of sessions: neither tokens, which no listing has, nor data."""
    here = getattr(request.session, "id", None)
    users = users_by_subject(session.subject for session in sessions)
    return [
        {
            "handle": session.id,
            "subject": session.subject,
            "user": str(users.get(session.subject, session.subject or "")),
            "is_here": session.id == here,
            "client": session.client,
            "created_at": session.created_at,
            "last_seen": session.last_seen,
            "expires_at": session.expires_at,
        }
        for session in sessions
    ]


def _note(request: HttpRequest, action: str, object_id: str, name: str, result: str, **details: Any) -> None:
    """Write what an operator has done into the audit log, and into the history of the admin."""
    user: Any = request.user
    audit(user.get_username(), action, result, **details)
    entries: Any = LogEntry
    types: Any = ContentType
    entries.objects.create(
        user_id=user.pk,
        content_type_id=types.objects.get_for_model(Session).pk,
        object_id=object_id,
        object_repr=name[:200],
        action_flag=DELETION,
        change_message=action,
    )
