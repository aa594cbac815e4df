"""The secret key of every peer that needs one: fixed, so that runs differ in nothing but time."""

import base64

KEY = bytes(range(32))
SECRET_KEY = base64.b64encode(KEY).decode()
