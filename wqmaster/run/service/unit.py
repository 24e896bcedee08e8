"""A systemd unit for a service."""

import math
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from wqmaster.campaign.service import SERVICE_FOLDER
from wqmaster.run.service.service import END_TIMEOUT_SECONDS
from wqmaster.run.service.shared import Shared
from wqmaster.system.systemd import Unit, unit
from wqmaster.system.this_command import absolute_command, this_command

# How long ending workers and databases may take after the campaigns have ended.
_CLOSING_SECONDS = 60


def unit_of(shared: Shared, paths: Sequence[Path], *, grace: float, audits: bool) -> str:
    """The text of the unit that serves `paths`, with what to do with it in comments.

    Variables that files of the service use can be secrets, so the unit names a file for them.
    """
    name = f"wqmaster-{shared.name}"
    served = [str(path.absolute()) for path in paths]
    options = [f"--grace={grace:g}s", *(() if audits else ["--no-audit"])]
    place = shared.place.absolute()
    folder = place.parent if place.name == SERVICE_FOLDER else Path(served[0]).parent
    file = folder / f"{shared.name}.env" if shared.hidden else None
    typed = " ".join(map(shlex.quote, [*map(str, paths), *options]))
    remarks = [
        f"Written by: {this_command()} serve --print-unit {typed}",
        f"For one user: save it as ~/.config/systemd/user/{name}.service, then",
        f"    systemctl --user daemon-reload && systemctl --user enable --now {name}",
        "    loginctl enable-linger       (it then also runs while you are logged out)",
        f"For the computer: save it as /etc/systemd/system/{name}.service, with User= below",
        f"    [Service], then: systemctl daemon-reload && systemctl enable --now {name}",
        f"Reload: systemctl reload {name}; drain and end: systemctl stop {name}",
        "    (with --user after systemctl, if it runs for one user)",
    ]
    if file is not None:
        variables = ", ".join(sorted(shared.hidden))
        remarks.append(f"Write {variables} (NAME=value) to the file below, with mode 0600.")
    command = absolute_command()
    # A checkout's ./shell sets its own PATH.
    environment = None if "WQMASTER_INSIDE" in os.environ else {"PATH": os.environ["PATH"]}
    wanted = Unit(
        description=f"wqmaster service {shared.name}",
        command=[*command, "serve", *options, *served],
        folder=folder,
        stop_seconds=math.ceil(grace + END_TIMEOUT_SECONDS) + _CLOSING_SECONDS,
        environment=environment,
        environment_file=file,
        can_reload=True,
        remarks=remarks,
    )
    return unit(wanted)
