"""Addresses of the page "your sessions": ``path("account/sessions/", include("crudjt.contrib.django.urls"))``."""

from django.urls import URLPattern, path

from crudjt.contrib.django import views

app_name = "crudjt"
urlpatterns: list[URLPattern] = [
    path("", views.sessions, name="sessions"),
    path("end-others/", views.end_others, name="end_others"),
    path("<str:handle>/end/", views.end, name="end"),
]
