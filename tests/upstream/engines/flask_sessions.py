"""A plugin of pytest: each application of Flask's tests gets our sessions."""

from typing import Any

import _pytest.monkeypatch
from flask import Flask

import crudjt
from crudjt.contrib.flask import Sessions

_store = crudjt.open()  # where the environment says
_make = Flask.__init__


def _make_with_sessions(self: Flask, *arguments: Any, **named: Any) -> None:
    _make(self, *arguments, **named)
    if type(self).session_interface is Flask.session_interface:  # no test of an interface of its own
        self.config.update(CRUDJT_SUBJECT_KEY=None, CRUDJT_COOKIE_SECURE=False)
        Sessions(self, store=_store)


_class: Any = Flask
_class.__init__ = _make_with_sessions
_module: Any = _pytest.monkeypatch
_module.notset = None  # Flask's tests import it from versions of pytest before 9.1
if hasattr(_module, "NOTSET"):
    _module.notset = _module.NOTSET
