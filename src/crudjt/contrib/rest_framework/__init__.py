"""API tokens for Django REST framework, as users of django-rest-knox know them, in the store of Django's settings.

Put ``crudjt.contrib.rest_framework.TokenAuthentication`` into ``DEFAULT_AUTHENTICATION_CLASSES``. The settings are in
the dict ``REST_CRUDJT``: ``REST_CRUDJT = {"TOKEN_PREFIX": "myapp"}``. The views to log in and out are in
``crudjt.contrib.rest_framework.urls``.
"""

from crudjt._core.extras import require_extra

require_extra("rest-framework")

# Not the views: their module loads the default authentication classes, which may be these.
from crudjt.contrib.rest_framework._authentication import TokenAuthentication as TokenAuthentication
from crudjt.contrib.rest_framework._permissions import HasScope as HasScope
from crudjt.contrib.rest_framework._tokens import create_token as create_token
from crudjt.contrib.rest_framework._tokens import revoke_tokens as revoke_tokens
from crudjt.contrib.rest_framework._tokens import tokens_of as tokens_of
