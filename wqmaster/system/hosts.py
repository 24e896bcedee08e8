"""The name of this machine."""

import socket


def this_host() -> str:
    """The name by which others reach this machine, as far as it knows."""
    host = socket.getfqdn()
    return socket.gethostname() if host.startswith("localhost") else host
