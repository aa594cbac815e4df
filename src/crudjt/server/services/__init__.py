"""The services of a server, method by method."""
