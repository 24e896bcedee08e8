"""This machine's host name, and addresses."""

import ipaddress
import socket


def this_host() -> str:
    """This machine's fully qualified name, or its bare host name if the former is localhost."""
    host = socket.getfqdn()
    return socket.gethostname() if host.startswith("localhost") else host


def names_of_this_host() -> tuple[str, ...]:
    """The names of this machine: its host name, and its fully qualified name if that differs."""
    name = socket.gethostname()
    # A name server that does not respond would take seconds.
    return (name,) if "." in name else tuple(dict.fromkeys((name, socket.getfqdn())))


def loopback_address(host: str) -> str | None:
    """An address of `host` if it has only such that no other machine can reach, otherwise None."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if not all(ipaddress.ip_address(address).is_loopback for address in addresses):
        return None
    return addresses[0]


def numeric(host: str) -> str:
    """The IPv4 address of `host`, or `host` itself if other machines could not use the address.

    Debian gives a machine's own name an address such as 127.0.1.1 (hosts(5)).
    """
    try:
        address = str(socket.getaddrinfo(host, None, socket.AF_INET)[0][4][0])
    except (OSError, UnicodeError):
        return host
    own = host == "localhost" or host.startswith("127.")
    return host if ipaddress.ip_address(address).is_loopback and not own else address
