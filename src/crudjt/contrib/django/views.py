"""The page "your sessions": a user sees where they are logged in, and ends one session or all others.

A project that has a template ``crudjt/sessions.html`` shows that in its own design; it can include
``crudjt/devices.html``, or go through ``devices`` itself.
"""

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_GET, require_POST

from crudjt.contrib.django._users import devices_of, end_session, revoke_user, session_of


@never_cache
@login_required
@csrf_protect
@require_GET
def sessions(request: HttpRequest) -> HttpResponse:
    """Show the sessions of the user."""
    return TemplateResponse(request, "crudjt/sessions.html", {"devices": devices_of(request.user)})


@never_cache
@login_required
@csrf_protect
@require_POST
def end(request: HttpRequest, handle: str) -> HttpResponse:
    """End one session of the user; their own is a logout. That of another user is not found."""
    if handle == session_of(request).id:
        logout(request)
        return redirect(settings.LOGOUT_REDIRECT_URL or settings.LOGIN_URL)
    if not end_session(request.user, handle):
        raise Http404
    return redirect("crudjt:sessions")


@never_cache
@login_required
@csrf_protect
@require_POST
def end_others(request: HttpRequest) -> HttpResponse:
    """End all sessions of the user but this one."""
    revoke_user(request.user, keep_current=True)
    return redirect("crudjt:sessions")
