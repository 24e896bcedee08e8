"""The canary and the breaker of a run, as its campaign asks for them."""

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.database.documents import Store
from wqmaster.run.breaker import BreakerMeter
from wqmaster.run.canary import CanaryMeter, good_enough
from wqmaster.run.gates import Meter
from wqmaster.run.progress import Progress
from wqmaster.system.this_command import this_command

# Time limit for finding out whether the campaign has results already.
_COUNT_TIMEOUT_SECONDS = 20.0


def meters(
    loaded: LoadedCampaign, store: Store, progress: Progress, *, canary: bool
) -> list[Meter]:
    """The meters of a run. Without `canary`, or with results of earlier runs, there is no canary.

    `progress` has the counts at the start of the run.
    """
    first: CanaryMeter | None = None
    command = f"{this_command()} resume {loaded.typed}"
    run_command = f"{this_command()} run {loaded.typed}"
    asked = loaded.campaign.canary
    if asked is not None and canary:
        enough = good_enough(asked)
        done = progress.done_before
        if progress.total is None:
            done = store.done_up_to(enough, _COUNT_TIMEOUT_SECONDS)
        if done < enough:
            first = CanaryMeter(asked, command, run_command)
    breaker = loaded.campaign.breaker
    found: list[Meter] = [] if first is None else [first]
    if breaker is not None:
        found.append(
            BreakerMeter(
                breaker,
                command,
                run_command,
                hosts_now=lambda: progress.hosts_running,
                is_due=lambda: first is None or first.is_over,
            )
        )
    return found
