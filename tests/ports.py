"""A port for a server that may be started again on it."""

import contextlib
import random
import socket


def free_port() -> int:
    """Find a port below those that outgoing connections are given, so that it is still free after a restart."""
    while True:
        port = random.randint(12_000, 31_000)  # noqa: S311 - not a secret
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
