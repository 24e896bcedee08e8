"""This machine's host name."""

import socket


def this_host() -> str:
    """This machine's fully qualified name; its host name if that would be localhost."""
    host = socket.getfqdn()
    return socket.gethostname() if host.startswith("localhost") else host
