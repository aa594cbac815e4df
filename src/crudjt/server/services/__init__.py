"""The gRPC services of a server."""
