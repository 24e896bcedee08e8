"""Check the addresses of MongoDB servers, and show them without the password.

An unencoded '/' or '?' in a password ends the user and password part of the address. The driver
takes the rest of the password for a host or an option, and shows it in error messages. Such
addresses are refused before anything connects.
"""

import re

from pymongo.common import VALIDATORS

_HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._~%-]+)(?::[0-9]{1,5})?"
_SCHEME = re.compile(r"mongodb(?:\+srv)?://")
# The groups are the scheme, user and password, hosts, database name, and options.
_ADDRESS = re.compile(
    rf"(mongodb(?:\+srv)?://)(?:([^/?]*)@)?({_HOST}(?:,{_HOST})*)(/[^/?@]*)?(?:\?(.*))?", re.DOTALL
)
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SECRET_OPTION = re.compile(r"(?i)((?:password|properties)=)[^&]*")
# A command that prints a password percent-encoded. The password is typed without echo and does not
# enter the shell's history.
ENCODER = (
    "python3 -c 'import getpass, urllib.parse; "
    'print(urllib.parse.quote(getpass.getpass(), safe=""))\''
)
_UNENCODED = (
    "the characters : / ? # [ ] @ % + in user and password must be percent-encoded; encode the "
    f"password with: {ENCODER}"
)


def _divided(uri: str) -> "re.Match[str] | None":
    """The parts of an address; None if some of the password could be in another part."""
    found = _ADDRESS.fullmatch(uri)
    if found is None:
        return None
    options = found[5] or ""
    return None if "@" in options and not _are_options(options) else found


def _are_options(options: str) -> bool:
    """Whether pymongo knows every option after the '?'."""
    return all(option.partition("=")[0].lower() in VALIDATORS for option in options.split("&"))


def why_not(uri: str) -> str | None:
    """Why `uri` is not a valid MongoDB URI, without quoting any of it; None if it is valid."""
    if not _SCHEME.match(uri):
        return "it must begin with mongodb:// or mongodb+srv://"
    found = _divided(uri)
    user = (found[2] or "") if found is not None else ""
    if found is not None and "@" not in user and user.count(":") < 2:
        return _UNENCODED if _STRAY_PERCENT.search(user) else None
    if found is None and "@" not in uri:
        return "it must have the form mongodb://HOST:PORT or mongodb://USER:PASSWORD@HOST:PORT"
    return _UNENCODED


def redacted(uri: str) -> str:
    """`uri` without user, password and secret options; only the scheme if its parts are unclear."""
    found = _divided(uri)
    if found is None:
        scheme = _SCHEME.match(uri)
        return f"{scheme[0] if scheme else ''}..."
    scheme_part, user, hosts, name, options = found.groups()
    shown = f"{scheme_part}{'...@' if user is not None else ''}{hosts}{name or ''}"
    if options is None:
        return shown
    known = _SECRET_OPTION.sub(r"\1...", options) if _are_options(options) else "..."
    return f"{shown}?{known}"
