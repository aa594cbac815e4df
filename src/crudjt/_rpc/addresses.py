"""Addresses and access tokens, as both ends of a connection take them. Imports no gRPC."""

import ipaddress
import re

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 50051
MAX_SOCKET_PATH_BYTES = 107  # sun_path of Linux, without the byte that ends it
ACCESS_TOKEN = re.compile(r"[!-~]+")  # what gRPC can send in metadata, without spaces


def is_ip_address(host: str) -> bool:
    """Return whether a host is an IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_this_host(host: str) -> bool:
    """Return whether what is sent to a host certainly stays on this one. No name but ``localhost`` is looked up."""
    return ipaddress.ip_address(host).is_loopback if is_ip_address(host) else host.lower() == "localhost"
