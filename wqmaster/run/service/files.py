"""Campaign files of a service, as their texts were when they were accepted."""

from pathlib import Path

from wqmaster.campaign.loading import LoadedCampaign, parse
from wqmaster.campaign.service import load_service, parse_service, service_beside
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError
from wqmaster.run.service.messages import Start


def parsed_campaign(path: Path, text: str) -> LoadedCampaign:
    """The campaign in `text`, which was read from `path`, with service.yaml next to it.

    Raises:
        CampaignError: a file is invalid.
    """
    beside = service_beside(path)
    return parse(path, text, service=None if beside is None else load_service(beside))


def differs(loaded: LoadedCampaign, key: str, path: object) -> CampaignError:
    """The error for a campaign that asks for other workers than those that it shares."""
    return loaded.source.error(
        f"'{key}' differs from that of {path}, whose engine and workers all these campaigns share; "
        f"remove '{key}' here, or run the campaign separately",
        key,
        code=ErrorCode.SERVICE_DIFFERS,
    )


def check_settings(start: Start) -> None:
    """Check that a campaign asks for the engine and workers that it shares, or for none.

    Raises:
        CampaignError: it does not.
    """
    if not start.settings:
        return
    own = parse(start.path, start.text)
    shared = own.with_settings(start.settings).campaign
    for key in start.settings:
        if own.source.has(key) and getattr(own.campaign, key) != getattr(shared, key):
            raise differs(own, key, "the first file")


def loaded_from(start: Start) -> LoadedCampaign:
    """The campaign of a Start message.

    Raises:
        CampaignError: the file is invalid, for example because a variable is no longer set.
    """
    service = None if start.service is None else parse_service(*start.service)
    return parse(start.path, start.text, service=service).with_settings(start.settings)
