"""The store over gRPC: the original's protocol and our own, in one server. It needs the extra ``grpc``."""

from crudjt._core.extras import require_extra

require_extra("grpc")  # any module of this package runs this first, so that none fails with a bare ImportError

from crudjt.server.auth import TLS as TLS  # noqa: E402 - as above
from crudjt.server.server import Server as Server  # noqa: E402 - as above
