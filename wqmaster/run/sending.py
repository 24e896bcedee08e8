"""Make tasks of the documents that the feed supplies, and submit them to the engine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from wqmaster.database.attempts import key_of
from wqmaster.engines.base import Engine
from wqmaster.jobs import wire
from wqmaster.jobs.job import Task
from wqmaster.jobs.molecule import Document
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.building import Builder, Built, GivenUp
from wqmaster.run.bundling import Bundling
from wqmaster.run.collector.messages import Ended
from wqmaster.run.feed import Fed
from wqmaster.run.flights import Flights
from wqmaster.run.link_speed import LinkSpeed
from wqmaster.run.memory_needs import MemoryNeeds, most_of
from wqmaster.run.spool import Spool


@dataclass
class Sent:
    """What became of documents that were to be sent."""

    tasks: int = 0
    # A failed attempt for each document from which no job can be built, as the database stores it.
    bad: list[Document] = field(default_factory=list)
    # Documents whose jobs could not be written, because of `error`; each is to be fed again.
    postponed: list[Fed] = field(default_factory=list)
    error: OSError | None = None


class Sender:
    """Sends the tasks of one campaign; their ids begin with the master's `token`."""

    def __init__(
        self,
        token: str,
        recipe: Recipe,
        spool: Spool,
        engine: Engine,
        flights: Flights,
        bundling: Bundling,
    ) -> None:
        self._token = token
        self._campaign = recipe.loaded.campaign
        self._spool = spool
        self._engine = engine
        self._flights = flights
        self._bundling = bundling
        self.memory = MemoryNeeds(self._campaign)
        self._builder = Builder(recipe, spool, self.memory)
        self._link = LinkSpeed()
        self._count = 0

    def follow(self, recipe: Recipe) -> None:
        """Use another form of the recipe from now on."""
        self._campaign = recipe.loaded.campaign
        self.memory.follow(self._campaign)
        self._builder.follow(recipe)

    def returned(self, jobs: int, size: int, receiving: float) -> None:
        """Take note of a returned task of `size` bytes, which took `receiving` seconds to come."""
        self._bundling.returned(jobs, size)
        self._link.received(size, receiving)

    def ended(self, task: Ended) -> None:
        """Take note of how the jobs of a task ended."""
        self._bundling.ended(job.key for job in task.jobs)
        self.memory.ended(task)

    def send(self, fed: Sequence[Fed]) -> Sent:
        """Submit tasks for `fed`, as `bundle` demands. A job with a remedy is a separate task.

        The largest molecules come first, so that none is left alone at the end, and those of a task
        need similar amounts of memory.

        If a job cannot be written, the rest is postponed, and nothing of it is left in the spool.

        Raises:
            CampaignError: no worker could run the first job; see `Builder.build`.
        """
        sent = Sent()
        plain: list[tuple[Fed, Built]] = []
        changed: list[tuple[Fed, Built]] = []
        for place, entry in enumerate(fed):
            try:
                built = self._builder.build(entry)
            except OSError as error:
                sent.error = error
                sent.postponed += fed[place:]
                break
            if isinstance(built, GivenUp):
                sent.bad.append(built.record)
            else:
                (changed if built.remedies else plain).append((entry, built))
        plain.sort(key=lambda one: -(one[1].asked.size or 0))
        bundles = self._divided(plain)
        bundles += [[one] for one in changed]
        for bundle in bundles:
            if sent.error is None or not sent.postponed:
                try:
                    self._submit([built for _, built in bundle])
                    sent.tasks += 1
                    continue
                except OSError as error:
                    sent.error = error
            sent.postponed += [entry for entry, _ in bundle]
        return sent

    def _divided(self, jobs: Sequence[tuple[Fed, Built]]) -> list[list[tuple[Fed, Built]]]:
        sizes = [(key_of(built.asked.document), built.asked.natoms) for _, built in jobs]
        bundles, start = [], 0
        for count in self._bundling.groups(self._campaign.bundle, sizes):
            bundles.append(list(jobs[start : start + count]))
            start += count
        return bundles

    def _submit(self, bundle: list[Built]) -> None:
        self._count += 1
        resources = self._campaign.resources
        remedies = bundle[0].remedies
        more = remedies.factors
        sizes = [one.asked.natoms for one in bundle]
        seconds, least = self._times(sizes)
        limit = self._campaign.campaign_config.job_timeout
        memory = most_of([one.memory for one in bundle])
        if memory is None and resources.fixed_memory is not None:
            memory = int(resources.fixed_memory * more.memory)
        task = Task(
            id=f"{self._token}-{self._count:09d}",
            jobs=len(bundle),
            time_limit_per_job=int(limit * more.time),
            inputs=tuple(dict.fromkeys(shared for one in bundle for shared in one.job.inputs)),
            category=self._campaign.submit.category or self._campaign.campaign,
            priority=self._campaign.submit.level,
            cores=resources.cores,
            memory=memory,
            memory_limit=self.memory.limit(memory),
            disk=resources.disk and int(resources.disk * more.disk),
            compression=self._compression,
            running_time_min=least,
            seconds=seconds,
            plain=not remedies,
        )
        inputs = wire.pack([one.job for one in bundle], self._campaign.archive.most_bytes)
        asked = [replace(one.asked, memory=memory) for one in bundle]
        folder = self._spool.submit(task.id, asked, inputs)
        try:
            self._engine.submit(task, folder)
        except OSError:
            self._spool.drop(task.id)
            raise
        documents = [one.asked.document for one in bundle]
        self._flights.send(task.id, documents, sizes if task.plain else [])

    @property
    def _compression(self) -> str:
        """How the outputs of the next task are compressed, as the runner takes it."""
        asked = self._campaign.archive.compression
        if asked == "auto":
            return "gzip" if self._link.is_slow else "none"
        return asked

    def _times(self, sizes: Sequence[int]) -> tuple[float, int | None]:
        """How long a task for molecules of these sizes is expected to take, in seconds; 0: unknown.

        The second number is the time that a worker must have left, if workers have a wall time.
        """
        expected, stated = self._bundling.expected(sizes), self._campaign.resources.running_time_min
        seconds, most = expected or (0.0, 0.0)
        if stated is not None:
            return seconds, stated * len(sizes)
        return seconds, math.ceil(most) if most and self._campaign.walltime is not None else None
