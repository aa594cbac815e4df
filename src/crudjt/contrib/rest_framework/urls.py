"""The addresses of the views: ``path("api/auth/", include("crudjt.contrib.rest_framework.urls"))``."""

from django.urls import URLPattern, path

from crudjt.contrib.rest_framework.views import LoginView, LogoutAllView, LogoutView

urlpatterns: list[URLPattern] = [
    path("login/", LoginView.as_view(), name="crudjt_login"),
    path("logout/", LogoutView.as_view(), name="crudjt_logout"),
    path("logoutall/", LogoutAllView.as_view(), name="crudjt_logoutall"),
]
