"""A campaign's credentials: the password for its workers, and its TLS key and certificate."""

import os
import secrets
from pathlib import Path

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError
from wqmaster.system.private import write_private
from wqmaster.system.programs import ask

# Nothing replaces an expired certificate, but `doctor` reports it.
_VALIDITY_DAYS = 3650
# Usually seconds are enough, but the search for primes takes a random time.
_OPENSSL_TIMEOUT_SECONDS = 600.0


def password(folder: Path) -> Path:
    """The password file in the campaign's folder; created with mode 0600 if it is missing."""
    path = folder / "password"
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    return path


def rotate_password(folder: Path) -> Path:
    """Replace the password file in the campaign's folder; return its path.

    A running master and its factory notice the change.
    """
    path = folder / "password"
    write_private(path, secrets.token_hex(32))
    return path


def certificate(folder: Path) -> tuple[Path, Path]:
    """The key and self-signed certificate in the campaign's folder; created if one is missing.

    Both new files have mode 0600.

    Raises:
        EngineError: openssl is not installed, or fails.
    """
    key, made = folder / "ssl.key", folder / "ssl.cert"
    if key.exists() and made.exists():
        return key, made
    parts = [path.with_name(f"{path.name}.part") for path in (key, made)]
    # An X.509 certificate (RFC 5280), with the options that ndcctools' Python bindings use.
    command = [
        *("openssl", "req", "-x509", "-newkey", "rsa:4096", "-sha256", "-nodes", "-batch"),
        *("-days", str(_VALIDITY_DAYS), "-keyout", str(parts[0]), "-out", str(parts[1])),
    ]
    try:
        said = ask(command, os.environ, seconds=_OPENSSL_TIMEOUT_SECONDS, umask=0o077)
    except FileNotFoundError:
        raise EngineError(
            "'engine: {ssl: true}' needs openssl, which is not installed; "
            "apt install openssl, or conda install openssl",
            code=ErrorCode.PROGRAM_MISSING,
        ) from None
    if said.code != 0:
        raise EngineError(
            f"openssl cannot make a certificate: {said.last}", code=ErrorCode.CERTIFICATE_UNUSABLE
        )
    for part, path in zip(parts, (key, made), strict=True):
        part.rename(path)
    return key, made
