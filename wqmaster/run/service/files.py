"""Campaign files of a service, as their texts were when they were accepted."""

from pathlib import Path

from wqmaster.campaign.loading import LoadedCampaign, parse
from wqmaster.campaign.service import load_service, parse_service, service_beside
from wqmaster.run.service.messages import Start


def parsed_campaign(path: Path, text: str) -> LoadedCampaign:
    """The campaign in `text`, which was read from `path`, with service.yaml next to it.

    Raises:
        CampaignError: a file is invalid.
    """
    beside = service_beside(path)
    return parse(path, text, service=None if beside is None else load_service(beside))


def loaded_from(start: Start) -> LoadedCampaign:
    """The campaign of a Start message.

    Raises:
        CampaignError: the file is invalid, for example because a variable is no longer set.
    """
    service = None if start.service is None else parse_service(*start.service)
    return parse(start.path, start.text, service=service).with_settings(start.settings)
