"""A plugin of pytest: Starlette's tests get our middleware and our session."""

from typing import Any

import starlette.middleware.sessions as theirs

import crudjt
from crudjt.contrib.starlette import BrowserSession, SessionMiddleware

_store = crudjt.open()  # where the environment says


class _WithTheirParameters(SessionMiddleware):
    def __init__(self, app: Any, secret_key: str, https_only: bool = False, **settings: Any) -> None:
        del secret_key  # signs their cookies
        super().__init__(app, _store, https_only=https_only, subject_key=None, **settings)


_module: Any = theirs
_module.SessionMiddleware = _WithTheirParameters
_module.Session = BrowserSession
