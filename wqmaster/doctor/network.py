"""Checks of the port and address that workers connect to, and of the catalog."""

import base64
import errno
import http.client
import ipaddress
import json
import os
import socket
from collections.abc import Iterator

from wqmaster.campaign.workers import CondorWorkers, SlurmWorkers
from wqmaster.doctor import folder
from wqmaster.doctor.batch import pool_is_here
from wqmaster.doctor.finding import Case, Check, Finding
from wqmaster.engines.ndcctools import catalog_address
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError
from wqmaster.system.hosts import this_host
from wqmaster.system.processes import listener, program_name

# The longest wait for a connection or an answer, and the largest answer of a catalog.
_ANSWER_TIMEOUT_SECONDS = 4.0
_MAX_ANSWER_BYTES = 4 << 20
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def port(case: Case) -> Iterator[Finding]:
    """Check whether the campaign's port is free."""
    campaign = case.campaign
    if campaign is None or case.loaded is None or case.engine == "local":
        return
    number = campaign.engine.port
    if number == 0:
        if case.remote:
            seen = "any free port; each run picks another one, so a firewall cannot allow it"
            fix = "write 'engine: {port: N}' into the campaign file, with a port that it allows"
            yield Finding("port", "warning", seen, fix, code=ErrorCode.PORT_UNUSABLE)
        else:
            yield Finding("port", "ok", "any free port, for workers on this machine")
        return
    reason = _taken(number)
    if reason is None:
        yield Finding("port", "ok", f"{number} is free")
        return
    pid = folder.master(case.loaded.folder)
    holder = listener(number)
    if pid is not None and holder in (pid, None):
        yield Finding(
            "port", "ok", f"{number}: this campaign's master (process {pid}) listens on it"
        )
        return
    fix = "name another port with 'engine: {port: N}' in the campaign file, or 0 for any"
    if reason == errno.EADDRINUSE:
        who = f"process {holder} ({program_name(holder)})" if holder else "another program"
        end = f"kill {holder}, or {fix}" if holder else f"ss -ltnp sport = :{number}; or {fix}"
        yield Finding(
            "port",
            "wrong",
            f"{number}: {who} already listens on it",
            end,
            code=ErrorCode.PORT_IN_USE,
        )
    else:
        yield Finding(
            "port", "wrong", f"{number}: {os.strerror(reason)}", fix, code=ErrorCode.PORT_UNUSABLE
        )


def _taken(number: int) -> int | None:
    """The errno with which listening on the port fails; None if the port is free."""
    with socket.socket() as probe:
        # The managers set this option, too. Listening on a port in use fails nevertheless.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", number))
            probe.listen(1)
        except OSError as error:
            return error.errno or errno.EIO
    return None


def address(case: Case) -> Iterator[Finding]:
    """Check the address by which workers on other machines reach this one, as far as possible."""
    campaign = case.campaign
    if campaign is None:
        yield _here()
        return
    if not case.remote or case.engine == "local":
        return
    subject, elsewhere = (
        "address",
        isinstance(case.workers, CondorWorkers) and not pool_is_here(case),
    )
    host = campaign.workers.host or this_host()
    how = "write 'workers: {host: NAME_OR_ADDRESS}' into the campaign file"
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        seen = f"the name '{host}' has no address ({error.strerror})"
        yield Finding(
            subject,
            "wrong" if campaign.workers.host else "warning",
            seen,
            how,
            code=ErrorCode.ADDRESS_UNREACHABLE,
        )
        return
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    shown = f"{host} ({', '.join(sorted({str(entry) for entry in addresses}))})"
    if all(entry.is_loopback for entry in addresses):
        seen = f"{shown} is a loopback address: workers elsewhere cannot reach it"
        yield Finding(
            subject,
            "wrong" if elsewhere else "warning",
            seen,
            how,
            code=ErrorCode.ADDRESS_UNREACHABLE,
        )
        return
    ours = any(_ours(entry) for entry in addresses)
    if not ours:
        seen = f"{shown} is not an address of this machine, and works only if forwarded to it"
        yield Finding(subject, "warning", seen, how, ErrorCode.ADDRESS_UNREACHABLE)
    elif all(not entry.is_global for entry in addresses) and not isinstance(
        case.workers, SlurmWorkers
    ):
        seen = (
            f"{shown} is a private address: OSG's workers are outside, and need a public address "
            "or a forwarded port"
        )
        yield Finding(subject, "warning", seen, how, ErrorCode.ADDRESS_UNREACHABLE)
    else:
        yield Finding(subject, "ok", f"workers connect to {shown}")
    yield _reachable(case, host, campaign.engine.port, ours)


def _reachable(case: Case, host: str, number: int, ours: bool) -> Finding:
    """Try a connection from this machine, and report how to test firewalls from elsewhere."""
    if isinstance(case.workers, SlurmWorkers):
        who = "a compute node"
    else:
        who = "a machine outside (OSG: inbound TCP from anywhere)"
    free, shown = number == 0 or _taken(number) is None, str(number or "PORT")
    unknown = f"whether {who} can reach {host}, port {shown}, cannot be tested from here"
    fix = f"on such a machine, while the campaign is running: nc -vz {host} {shown}"
    if not free or not ours:
        return Finding("reachable", "warning", unknown, fix, code=ErrorCode.ADDRESS_UNREACHABLE)
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("", number))
        server.listen(1)
        try:
            socket.create_connection(
                (host, server.getsockname()[1]), _ANSWER_TIMEOUT_SECONDS
            ).close()
        except OSError as error:
            reason = error.strerror or str(error)
            seen = f"even this machine cannot connect to {host}, port {shown}: {reason}"
            how = f"open TCP port {shown} (firewall-cmd --add-port={shown}/tcp); then, {fix}"
            return Finding("reachable", "warning", seen, how, code=ErrorCode.ADDRESS_UNREACHABLE)
    seen = f"this machine can connect to {host}, port {shown}; {unknown}"
    return Finding("reachable", "warning", seen, fix, code=ErrorCode.ADDRESS_UNREACHABLE)


def _here() -> Finding:
    """The address that workers would connect to without a campaign file."""
    host = this_host()
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        shown = f"{host}, which has no address ({error.strerror})"
    else:
        shown = f"{host} ({', '.join(sorted({str(entry[4][0]) for entry in found}))})"
    seen = f"workers would connect to {shown}; 'workers: {{host: ...}}' names another address"
    return Finding("address", "ok", seen)


def _ours(entry: Address) -> bool:
    """Whether `entry` is an address of this machine; only such addresses can be bound."""
    family = socket.AF_INET if entry.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(entry), 0))
        except OSError:
            return False
    return True


def catalog(case: Case) -> Iterator[Finding]:
    """Check the catalog, if the campaign has a project name."""
    campaign = case.campaign
    if campaign is None or campaign.engine.name is None or case.engine == "local":
        return
    name, named = campaign.engine.name, campaign.engine.catalog or case.environ.get("CATALOG_HOST")
    if not named:
        seen = f"the project name '{name}' needs a catalog, but none is named"
        yield Finding(
            "catalog",
            "wrong",
            seen,
            "export CATALOG_HOST=HOST, or write 'engine: {catalog: HOST}' into the campaign file",
            code=ErrorCode.CATALOG_MISSING,
        )
        return
    for place in named.replace(";", ",").split(","):
        yield _asked(case, name, place.strip())


def _asked(case: Case, name: str, place: str) -> Finding:
    try:
        host, number = catalog_address(place)
    except EngineError:
        return Finding(
            "catalog",
            "wrong",
            f"'{place}' is not HOST or HOST:PORT",
            "correct CATALOG_HOST or 'engine: {catalog: ...}'",
            code=ErrorCode.CATALOG_MISSING,
        )
    start = (
        f"run catalog_server -p {number} on {host}, or correct CATALOG_HOST or "
        "'engine: {catalog: ...}'"
    )
    question = base64.b64encode(f'project=="{name}"'.encode()).decode()
    connection = http.client.HTTPConnection(host, number, timeout=_ANSWER_TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"/query/{question}")
        answer = json.loads(connection.getresponse().read(_MAX_ANSWER_BYTES))
    except OSError as error:
        reason = error.strerror or str(error)
        return Finding(
            "catalog",
            "wrong",
            f"{place} does not respond: {reason}",
            start,
            code=ErrorCode.CATALOG_MISSING,
        )
    except (ValueError, http.client.HTTPException):
        return Finding(
            "catalog", "wrong", f"{place} is not a catalog", start, code=ErrorCode.CATALOG_MISSING
        )
    finally:
        connection.close()
    entries = (
        [entry for entry in answer if isinstance(entry, dict)] if isinstance(answer, list) else []
    )
    masters = [entry for entry in entries if entry.get("project") == name]
    own = folder.master(case.loaded.folder) if case.loaded else None
    if len(masters) > (own is not None):
        where = ", ".join(f"{entry.get('name')}:{entry.get('port')}" for entry in masters[:5])
        seen = f"{place} lists another master as '{name}' ({where}); workers may connect to either"
        return Finding(
            "catalog",
            "warning",
            seen,
            "choose another 'engine: {name: ...}' in the campaign file",
            code=ErrorCode.NAME_TAKEN,
        )
    listed = f", and lists this campaign's master as '{name}'" if masters else ""
    return Finding("catalog", "ok", f"{place} responds{listed}")


def way(case: Case) -> Iterator[Finding]:
    """Check the port and then the address; not at the same time, since both bind the port."""
    yield from port(case)
    yield from address(case)


CHECKS = (Check("port", way), Check("catalog", catalog))
