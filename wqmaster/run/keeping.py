"""Put together what keeps a run going: gates, parts that are mended, the link to the database."""

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.service import run_command
from wqmaster.database.documents import Store
from wqmaster.database.private_server import Mongod
from wqmaster.run.collector.pool import Collectors
from wqmaster.run.collector_part import CollectorPart
from wqmaster.run.database_link import DatabaseLink
from wqmaster.run.gates import Gate, SpoolGate
from wqmaster.run.machine_gates import DescriptorGate, DiskGate
from wqmaster.run.progress import Progress
from wqmaster.run.server_part import ServerPart
from wqmaster.run.service_part import ServicePart
from wqmaster.run.storage import StorageGate
from wqmaster.run.upkeep import Part, Upkeep
from wqmaster.system.locks import FolderLock


class Keeping:
    """What keeps one run going; `mongod` is its private server, if it uses one."""

    def __init__(
        self,
        loaded: LoadedCampaign,
        store: Store,
        collectors: Collectors,
        progress: Progress,
        lock: FolderLock,
        *,
        mongod: Mongod | None,
        exits_on_trouble: bool,
    ) -> None:
        folder, limits = loaded.folder, loaded.campaign.limits
        judging = CollectorPart(collectors, run_command(loaded.source.path))
        self._service = ServicePart(progress)
        parts: list[Part] = [judging, self._service]
        self._server: ServerPart | None = None
        if mongod is not None:
            self._server = ServerPart(mongod)
            parts.append(self._server)
        self.gates: list[Gate] = [
            judging,
            SpoolGate(progress, judging.in_trouble, max_size=limits.spool),
            DiskGate(folder, limits.disk),
            DescriptorGate(),
        ]
        self.storage = StorageGate(folder, run_command(loaded.source.path), lock.fileno())
        self.upkeep = Upkeep(parts, exits_on_trouble=exits_on_trouble)
        self.link = DatabaseLink(store.ping)

    def close(self) -> None:
        """Report the end, and wait for what is being started."""
        self._service.close()
        if self._server is not None:
            self._server.close()
