"""The URLs of a Django project whose sessions may be bound to a device."""

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from crudjt.contrib.django import session_of
from tests.support.device_sites import PATHS, act
from tests.support.django_project import urlpatterns as needed


@csrf_exempt
def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(act(session_of(request), "_auth_user_id", request.path_info, request.META["QUERY_STRING"]))


assert needed  # Django is set up by that module
urlpatterns = [path(each[1:], view) for each in PATHS]
