"""What a comparison measures of one side, and how rounds of several sides become ratios."""

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Measured:
    """One side, measured once."""

    rate: float  # jobs per second, from the first stored result to the last
    cpu: float | None = None  # CPU time on the master's side, in ms per job
    values: Mapping[int, float] = field(default_factory=dict)  # what was stored, by document
    makespan: float | None = None  # seconds from the start of the workers to the last result
    cpu_of_workers: float | None = None  # with the programs that they start, in ms per job
    bytes_to_manager: float = 0.0  # per job, if workers connect through a relay
    bytes_from_manager: float = 0.0


def check_equal(name: str, found: Mapping[int, float], other: Mapping[int, float]) -> None:
    """Raises ValueError unless both sides have the same documents and values (to 1e-8)."""
    if found.keys() != other.keys():
        raise ValueError(f"{name}: {len(found)} documents instead of {len(other)}")
    wrong = [key for key, value in found.items() if abs(value - other[key]) > 1e-8]
    if wrong:
        key = wrong[0]
        raise ValueError(
            f"{name}: {len(wrong)} values differ, such as {found[key]} and {other[key]} of {key}"
        )


def rounds(
    sides: Mapping[str, Callable[[], Measured]], count: int, base: str
) -> dict[str, list[Measured]]:
    """Measure all sides in turn, `count` times, and print each round.

    The values of all sides must agree with those of the side `base`.
    """
    found: dict[str, list[Measured]] = {name: [] for name in sides}
    for number in range(count):
        for name, measure in sides.items():
            measured = measure()
            found[name].append(measured)
            cpu = "" if measured.cpu is None else f", {measured.cpu:.2f} ms of CPU per job"
            load = f"load {os.getloadavg()[0]:.1f}"
            print(
                f"round {number + 1}: {name}: {measured.rate:.1f} jobs/s{cpu}; {load}", flush=True
            )
        for name in sides:
            check_equal(name, found[name][-1].values, found[base][-1].values)
    return found


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The median and, in parentheses, the smallest and the largest value."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def table(found: Mapping[str, Sequence[Measured]], base: str) -> str:
    """A Markdown table of all sides: rates, CPU times, and the ratios of rates to `base`."""
    lines = [f"| | jobs/s | CPU, ms per job | rate / {base} |", "| --- | --- | --- | --- |"]
    for name, measured in found.items():
        pairs = zip(measured, found[base], strict=True)
        ratios = [one.rate / other.rate for one, other in pairs]
        cells = [name, spread([one.rate for one in measured], 1)]
        cells += [_spread_of([one.cpu for one in measured]), spread(ratios)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def makespans(found: Mapping[str, Sequence[Measured]], base: str) -> str:
    """A Markdown table of makespans, their ratios to `base`, and CPU times."""
    lines = [
        f"| | makespan, s | makespan of {base} / makespan | "
        "CPU of the master's side, ms per job | CPU of workers, ms per job |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, measured in found.items():
        pairs = zip(found[base], measured, strict=True)
        ratios = [first.makespan / one.makespan for first, one in pairs]
        cells = [
            name,
            spread([one.makespan for one in measured], 1),
            spread(ratios),
            _spread_of([one.cpu for one in measured]),
            _spread_of([one.cpu_of_workers for one in measured]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread_of(values: Sequence[float | None]) -> str:
    """The spread of the values that were measured; a dash without any."""
    known = [value for value in values if value is not None]
    return spread(known) if known else "-"
