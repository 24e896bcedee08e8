"""What the harness prints: a line for each run, and a table of all faults."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tests.chaos.faults import FAULTS
from tests.chaos.running import Outcome

_MOST_SHOWN = 10


def line(outcome: Outcome) -> str:
    """One line about a run, and more below it if something is wrong."""
    found, plan = outcome.verdict, outcome.plan
    faults = "; ".join(map(str, outcome.happened)) or "no faults"
    failed = ", ".join(f"{count} {kind}" for kind, count in sorted(found.failed.items()))
    lines = [
        f"seed {plan.seed} ({plan}): {outcome.seconds:.0f} s, lost {len(found.lost)}, "
        f"doubled {len(found.doubled)}, wrong {len(found.wrong)}, exits {len(outcome.exits)}"
        + f"; {faults}"
        + (f"; failed attempts: {failed}" if failed else "")
    ]
    lines += [f"    not done: {reason}" for reason in outcome.not_done]
    if outcome.is_good:
        return "\n".join(lines)
    details = {
        "lost": found.lost,
        "doubled": found.doubled,
        "wrong": found.wrong,
        "exit": outcome.exits,
        "left": outcome.left,
        "stuck": ["no result came any more"] if outcome.stuck else [],
    }
    for word, entries in details.items():
        lines += [f"    {word}: {entry}" for entry in entries[:_MOST_SHOWN]]
    lines.append(f"    its folder: {outcome.folder}")
    lines.append(f"    repeat it: {again(outcome)}")
    return "\n".join(lines)


def again(outcome: Outcome) -> str:
    """The command that repeats a run."""
    plan = outcome.plan
    return f"./shell python -m tests.chaos --seed {plan.seed} --jobs {plan.jobs}"


def table(outcomes: Sequence[Outcome]) -> str:
    """All faults, how often each was done, and how long results took afterwards."""
    times: dict[str, list[float]] = defaultdict(list)
    pauses: dict[str, list[float]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    runs: dict[str, set[int]] = defaultdict(set)
    for outcome in outcomes:
        for one in outcome.happened:
            counts[one.name] += 1
            runs[one.name].add(outcome.plan.seed)
            if one.recovery is not None:
                times[one.name].append(one.recovery)
            if one.pause is not None:
                pauses[one.name].append(one.pause)
    rows = [("fault", "runs", "faults", "median s", "worst s", "limit s", "longest pause s")]
    for name in sorted(counts):
        found = times[name]
        rows.append(
            (
                name,
                str(len(runs[name])),
                str(counts[name]),
                f"{statistics.median(found):.1f}" if found else "-",
                f"{max(found):.1f}" if found else "-",
                f"{FAULTS[name].limit:.0f}",
                f"{max(pauses[name]):.1f}" if pauses[name] else "-",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = [
        "  ".join(
            word.ljust(width) if place == 0 else word.rjust(width)
            for place, (word, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([*shown, "", _totals(outcomes)])


def _totals(outcomes: Sequence[Outcome]) -> str:
    def total(counts: Iterable[int]) -> str:
        return f"{sum(counts):,}"

    return (
        f"{len(outcomes)} runs, {total(one.plan.jobs for one in outcomes)} jobs, "
        f"{total(len(one.happened) for one in outcomes)} faults: "
        f"lost {total(len(one.verdict.lost) for one in outcomes)}, "
        f"doubled {total(len(one.verdict.doubled) for one in outcomes)}, "
        f"wrong {total(len(one.verdict.wrong) for one in outcomes)}, "
        f"exits {total(len(one.exits) for one in outcomes)}, "
        f"left {total(len(one.left) for one in outcomes)}, "
        f"stuck {total(one.stuck for one in outcomes)}, "
        f"too slow {total(fault.too_slow for one in outcomes for fault in one.happened)}"
    )
