"""A process that serves the numbers of a run to Prometheus, on 127.0.0.1.

    python -m wqmaster.run.metrics_process

It is separate from the master, which holds Python's lock while it waits for the engine, so that a
scrape is answered at once even if the master hangs. The first line of standard input is JSON with
`port` and `campaign`, each further line a snapshot. It answers with `ready` or an error, and ends
when standard input closes.
"""

import json
import sys
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from wqmaster.run.metrics import Values, rows

# Only this machine can read the numbers.
_ADDRESS = "127.0.0.1"


class Numbers:
    """Collects the last snapshot."""

    def __init__(self, campaign: str) -> None:
        self._campaign = campaign
        # Replaced as a whole, so that a scrape never sees two snapshots.
        self.values: dict[str, Values] = {}

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the last snapshot."""
        for metric, samples in rows(self._campaign, self.values):
            labels = ["campaign"] if metric.label is None else ["campaign", metric.label]
            name = f"wqmaster_{metric.name}"
            family: CounterMetricFamily | GaugeMetricFamily
            if metric.kind == "counter":
                family = CounterMetricFamily(name, metric.help, labels=labels)
            else:
                family = GaugeMetricFamily(name, metric.help, labels=labels)
            for label_values, number in samples:
                family.add_metric(label_values, number)
            yield family


def main() -> None:
    """Serve until standard input closes."""
    first = json.loads(sys.stdin.readline())
    numbers = Numbers(first["campaign"])
    registry = CollectorRegistry(auto_describe=False)
    registry.register(numbers)
    try:
        start_http_server(first["port"], _ADDRESS, registry)
    except OSError as error:
        print(error.strerror or error, flush=True)
        return
    print("ready", flush=True)
    for line in sys.stdin:
        numbers.values = json.loads(line)


if __name__ == "__main__":
    main()
