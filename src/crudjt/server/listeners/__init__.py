"""Addresses and sockets of a server."""
