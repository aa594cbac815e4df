"""A store on a server, over gRPC."""
