"""The command line that comparisons share, and wqmaster's sides of them."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pairs.campaign import WORKERS, Campaign
from pairs.measured import Measured, rounds, table
from pairs.workloads import DEFAULT_JOBS, WORKLOADS, Workload


class Peer(Protocol):
    """Another program that runs the jobs of a workload on an engine."""

    def measure(self, engine: str) -> Measured:
        """Run all jobs on this engine."""


def parser(
    description: str | None,
    workload: str = "text",
    engines: Sequence[str] = ("taskvine",),
    bundles: Sequence[str] = ("1", "auto"),
) -> argparse.ArgumentParser:
    """The options for workload, jobs, rounds, engines and bundles, with their defaults."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    made.add_argument(
        "--workload", choices=WORKLOADS, default=workload, help="default: %(default)s"
    )
    made.add_argument("--jobs", type=int, help="how many jobs; default: 4000, or 1025 of xtb")
    made.add_argument("--rounds", type=int, default=3, help="default: 3")
    made.add_argument(
        "--engine",
        action="append",
        choices=WORKERS,
        help=f"several are possible; default: {', '.join(engines)}",
    )
    made.add_argument(
        "--bundle",
        action="append",
        help=f"several are possible; default: {', '.join(bundles)}",
    )
    made.set_defaults(default_engines=engines, default_bundles=bundles)
    return made


def workload_of(asked: argparse.Namespace) -> Workload:
    """The workload that the command line asks for."""
    return WORKLOADS[asked.workload](asked.jobs or DEFAULT_JOBS[asked.workload])


def engines_of(asked: argparse.Namespace) -> Sequence[str]:
    """The engines that the command line asks for."""
    return asked.engine or asked.default_engines


def sides_of(campaign: Campaign, asked: argparse.Namespace) -> dict[str, Callable[[], Measured]]:
    """A side for each engine and each size of bundles."""
    sides: dict[str, Callable[[], Measured]] = {}
    for engine in engines_of(asked):
        for bundle in asked.bundle or asked.default_bundles:
            size = bundle if bundle == "auto" else int(bundle)
            sides[f"wqmaster, {engine}, `bundle: {bundle}`"] = lambda engine=engine, size=size: (
                campaign.measure(engine, size)
            )
    return sides


def compare_engines(
    asked: argparse.Namespace, name: str, peer: Peer, workload: Workload, folder: Path
) -> None:
    """Compare wqmaster with a peer that uses the same engines, and print a table for each."""
    bases = {engine: name.format(engine) for engine in engines_of(asked)}
    measured: dict[str, Callable[[], Measured]] = {
        base: lambda engine=engine: peer.measure(engine) for engine, base in bases.items()
    }
    measured |= sides_of(Campaign(workload, folder), asked)
    found = rounds(measured, asked.rounds, next(iter(bases.values())))
    print(f"\n{workload.name}, {len(workload.documents)} jobs, {asked.rounds} rounds")
    for engine, base in bases.items():
        own = {side: runs for side, runs in found.items() if engine in side}
        print(f"\n{table(own, base)}")
