"""The numbers of a run as Prometheus reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wqmaster.run.progress import Progress


@dataclass(frozen=True)
class Metric:
    """A metric by the conventions of Prometheus: its unit is in the name, `_total` for counters.

    https://prometheus.io/docs/practices/naming/
    """

    name: str  # without the prefix wqmaster_
    kind: str  # "gauge" or "counter"
    help: str
    label: str | None = None  # the label besides `campaign`; its values are bounded


METRICS = (
    Metric("documents", "gauge", "Documents by state.", "state"),
    Metric("failed_documents", "gauge", "Failed documents by failure class.", "class"),
    Metric("jobs_done_total", "counter", "Jobs of this run with a result."),
    Metric("jobs_failed_total", "counter", "Documents that failed in this run."),
    Metric("attempts_failed_total", "counter", "Failed attempts that were followed by another."),
    Metric("jobs_per_second", "gauge", "Jobs that ended per second, over the last minute."),
    Metric("tasks", "gauge", "Tasks in the engine by state.", "state"),
    Metric("workers", "gauge", "Connected workers."),
    Metric("worker_cores", "gauge", "Cores of the connected workers."),
    Metric("workers_lost_total", "counter", "Workers that left while they had tasks."),
    Metric("sent_bytes_total", "counter", "Bytes sent to workers."),
    Metric("commit_lag_seconds", "gauge", "Age of the oldest job that is not yet committed."),
    Metric("held", "gauge", "1 for the reason why no jobs are sent, if there is one.", "kind"),
    Metric("troubled", "gauge", "1 if something is wrong with the run."),
    Metric("last_update_timestamp_seconds", "gauge", "When the master last reported."),
)

# A value for each value of a metric's label; the label of a metric without one is "".
Values = Mapping[str, float]


def snapshot(progress: Progress, time: float) -> dict[str, Values]:
    """The value of each metric at `time`, in seconds since 1970."""
    stats, hold = progress.stats, progress.hold
    documents: dict[str, float] = {
        "done": progress.all_done,
        "failed": progress.all_failed,
        "running": progress.running,
        "spooled": progress.spooled,
    }
    if progress.pending is not None:
        documents["pending"] = progress.pending
    single: dict[str, float] = {
        "jobs_done_total": progress.done,
        "jobs_failed_total": progress.failed,
        "attempts_failed_total": progress.attempts_failed,
        "jobs_per_second": progress.rate.per_second(),
        "workers": stats.workers,
        "worker_cores": stats.cores,
        "workers_lost_total": stats.workers_lost,
        "sent_bytes_total": stats.bytes_sent,
        "commit_lag_seconds": progress.lag,
        "troubled": float(progress.trouble is not None),
        "last_update_timestamp_seconds": time,
    }
    return {
        "documents": documents,
        "failed_documents": dict(progress.failures + progress.failures_before),
        "tasks": {"running": stats.running, "waiting": stats.waiting},
        "held": {} if hold is None else {str(hold.kind): 1.0},
        **{name: {"": value} for name, value in single.items()},
    }


def rows(campaign: str, values: Mapping[str, Values]) -> list[tuple[Metric, Sequence[Any]]]:
    """Each metric with its samples: the values of its labels, and the number."""
    found: list[tuple[Metric, Sequence[Any]]] = []
    for metric in METRICS:
        samples = [
            ([campaign] if metric.label is None else [campaign, label], number)
            for label, number in values.get(metric.name, {}).items()
        ]
        found.append((metric, samples))
    return found
