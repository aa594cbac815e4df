"""TCP ports of this host."""

import random
import socket
from contextlib import suppress

from tests.support.waiting import PATIENCE

# Below the range from which the kernel picks a port for a client.
PORTS = range(15_000, 32_000)


def listening(port: int) -> bool:
    """Tell whether a port accepts connections."""
    with socket.socket() as client:
        client.settimeout(PATIENCE)
        return client.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a port that is not in use, outside the range from which the kernel picks."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as server, suppress(OSError):
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
