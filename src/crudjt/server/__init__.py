"""The store over gRPC: the original's protocol and our own, in one server."""
