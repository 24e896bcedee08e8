"""From a seed to a plan: which service a run starts, and which faults disturb it when."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.faults.base import Fault, Needs

# How many faults a run has, and the probability that a fault comes right after the one before,
# without waiting until the service has recovered.
_FEWEST, _MOST = 3, 6
_JOINED_SHARE = 0.2
_DESCRIPTORS_SHARE = 0.2
DESCRIPTORS = 256
AWAY_SECONDS = 60.0
# When faults begin, as shares of the jobs that are done. Jobs go on while a fault lasts, and some
# must be left after the last one.
_EARLIEST, _LATEST = 0.02, 0.6


@dataclass(frozen=True)
class Planned:
    """A fault: its name, the share of jobs done at which it begins, and its own chance."""

    name: str
    share: float
    seed: int
    joined: bool  # it does not wait for recovery from the fault before


@dataclass(frozen=True)
class Plan:
    """Everything about a run that its seed decides."""

    seed: int
    engine: str  # work_queue or taskvine
    command: str  # "run" (several files) or "serve" (a folder)
    database: str  # "replica" (of the harness) or "private" (of wqmaster)
    descriptors: int | None  # the limit on open files; None: as many as usual
    jobs: int
    away: float  # seconds for which a database is away
    faults: tuple[Planned, ...]

    def __str__(self) -> str:
        limit = "" if self.descriptors is None else f", {self.descriptors} descriptors"
        return f"{self.command}, {self.engine}, {self.database} database{limit}"

    @property
    def names(self) -> set[str]:
        """The names of its faults."""
        return {one.name for one in self.faults}


def _usable(faults: Iterable[Fault], command: str, database: str) -> list[str]:
    def fits(fault: Fault) -> bool:
        needs = fault.needs
        if Needs.REPLICA in needs and database != "replica":
            return False
        if Needs.PRIVATE in needs and database != "private":
            return False
        return not (Needs.SERVE in needs and command != "serve")

    return sorted(fault.name for fault in faults if fits(fault))


def plan(
    seed: int,
    jobs: int,
    faults: Mapping[str, Fault],
    only: Sequence[str] | None = None,
    away: float = AWAY_SECONDS,
) -> Plan:
    """The plan of the run `seed`; with `only`, its faults are these, in this order.

    Engines, commands and databases alternate with the seed.
    """
    chance = random.Random(seed)  # noqa: S311  # not for secrets
    engine = ("work_queue", "taskvine")[seed % 2]
    command = ("run", "serve")[seed // 2 % 2]
    needed = {need for name in only or () for need in faults[name].needs}
    if Needs.SERVE in needed:
        command = "serve"
    private = chance.random() < 0.25
    if Needs.PRIVATE in needed or Needs.REPLICA in needed:
        private = Needs.PRIVATE in needed
    database = "private" if private else "replica"
    usable = _usable(faults.values(), command, database)
    names = list(only or [chance.choice(usable) for _ in range(chance.randint(_FEWEST, _MOST))])
    shares = sorted(chance.uniform(_EARLIEST, _LATEST) for _ in names)
    return Plan(
        seed=seed,
        engine=engine,
        command=command,
        database=database,
        descriptors=DESCRIPTORS if chance.random() < _DESCRIPTORS_SHARE else None,
        jobs=jobs,
        away=away,
        faults=tuple(
            Planned(
                name, share, chance.randrange(10**9), place > 0 and chance.random() < _JOINED_SHARE
            )
            for place, (name, share) in enumerate(zip(names, shares, strict=True))
        ),
    )
