"""This machine's host name."""

import socket


def this_host() -> str:
    """This machine's fully qualified name, or its bare host name if the former is localhost."""
    host = socket.getfqdn()
    return socket.gethostname() if host.startswith("localhost") else host
