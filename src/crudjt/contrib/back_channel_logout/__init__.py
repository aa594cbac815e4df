"""Logout by the identity provider: OpenID Connect Back-Channel Logout 1.0.

When a user logs out at the provider, it sends a signed logout token to each application, from server to server. Here
it ends the sessions that the application began for this login, in all processes at once.

```python
import crudjt
from crudjt.contrib.back_channel_logout import BackChannelLogout

store = crudjt.open("sessions")  # the key is in CRUDJT_SECRET_KEY
logout = BackChannelLogout(
    store,
    issuer="https://login.example.com",
    client_id="shop",
    jwks_uri="https://login.example.com/jwks",
)
labels = logout.labels({"iss": "https://login.example.com", "sub": "248289", "sid": "08a5019c"})  # of the ID token
token = store.create({}, subject="alice", labels=labels)
```

The modules beside this one have an endpoint for each framework, which the provider calls.
"""

from crudjt.contrib.back_channel_logout._logout import AsyncBackChannelLogout, BackChannelLogout
from crudjt.contrib.back_channel_logout._tokens import LogoutTokenRefused

__all__ = ["AsyncBackChannelLogout", "BackChannelLogout", "LogoutTokenRefused"]
