"""Campaign files of a service, as their texts were when they were accepted."""

from wqmaster.campaign.loading import LoadedCampaign, parse
from wqmaster.campaign.service import parse_service
from wqmaster.run.service.messages import Start


def loaded_from(start: Start) -> LoadedCampaign:
    """The campaign of a Start message.

    Raises:
        CampaignError: the file is invalid, for example because a variable is no longer set.
    """
    service = None if start.service is None else parse_service(*start.service)
    return parse(start.path, start.text, service=service).with_settings(start.settings)
