"""Sessions of Django: ``SESSION_ENGINE = "crudjt.contrib.django"``.

Put it into `INSTALLED_APPS` too, for its system checks and the management command `crudjt_sessions`.
"""

from crudjt._core.extras import require_extra

require_extra("django")

from crudjt.contrib._sessions.devices import Device as Device
from crudjt.contrib.django._backend import SessionStore as SessionStore
from crudjt.contrib.django._device_bound import DeviceBoundMiddleware as DeviceBoundMiddleware
from crudjt.contrib.django._store import get_store as get_store
from crudjt.contrib.django._store import use_store as use_store
from crudjt.contrib.django._users import devices_of as devices_of
from crudjt.contrib.django._users import end_session as end_session
from crudjt.contrib.django._users import revoke_user as revoke_user
from crudjt.contrib.django._users import session_of as session_of
from crudjt.contrib.django._users import sessions_of as sessions_of
