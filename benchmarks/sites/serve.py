"""The application for gunicorn and uvicorn, which open it in each of their workers: a variable says which."""

import json
import os
from pkgutil import resolve_name
from typing import Any

from benchmarks.sites.interface import VARIABLE, Setup

_task: dict[str, Any] = json.loads(os.environ[VARIABLE])
application: Any = resolve_name(_task["opens"])(Setup(**_task["setup"]))
