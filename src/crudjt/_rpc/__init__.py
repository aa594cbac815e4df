"""Code that clients and servers of gRPC share."""
