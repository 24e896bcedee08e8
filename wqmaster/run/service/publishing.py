"""Write the status file of a service."""

import json
import time
from collections.abc import Sequence

from wqmaster.run.service.broker import Broker
from wqmaster.run.service.running import STATUS_FILE
from wqmaster.run.service.serving import Refused
from wqmaster.run.service.shared import Shared
from wqmaster.run.service.table import rows
from wqmaster.system.files import replacing
from wqmaster.system.processes import this_process


def publish(
    shared: Shared,
    broker: Broker,
    refused: Sequence[Refused],
    difference: str | None,
    *,
    draining: bool,
    ended: bool,
) -> None:
    """Write the status of a service; `difference` states how service.yaml has changed."""
    workforce = broker.workforce
    stats, _ = broker.overview()
    state = "ended" if ended else "draining" if draining else "running"
    found = {
        **this_process(),
        "service": shared.name,
        "state": state,
        "engine": workforce.name,
        "port": workforce.port,
        "workers": stats.workers,
        "cores": stats.cores,
        "tasks_running": stats.running,
        "trouble": workforce.trouble() if not ended else None,
        "campaigns": [row.published() for row in rows(broker)],
        "refused": [{"file": one.path, "reason": one.reason} for one in refused],
        "service_file": difference,
        "time": round(time.time(), 1),
    }
    with replacing(shared.place / STATUS_FILE) as part:
        part.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
