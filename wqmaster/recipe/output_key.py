"""Check the field under which a campaign's results are stored."""

from collections.abc import Iterable

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.molecule_fields import REFERENCE_ATOM

# Fields of a document that are not a campaign's to write.
_RESERVED = frozenset({"_id", REFERENCE_ATOM})


def check_output_key(loaded: LoadedCampaign, fields: Iterable[str]) -> None:
    """Check that no result is stored in a field that the campaign reads.

    `fields` are the document fields that its task functions read besides the molecule's.

    Raises:
        CampaignError: a result would replace what the campaign reads, or the field is reserved.
    """
    campaign = loaded.campaign
    key = campaign.output_key
    keys: tuple[str, ...] = ("campaign",)
    if campaign.campaign_config.kwargs is not None:
        keys = ("campaign_config", "kwargs", "mongo_output_key")
    if key.partition(".")[0] in _RESERVED:
        raise loaded.source.error(
            f"results cannot be stored in '{key}', which is reserved; name another field with "
            "'mongo_output_key'",
            *keys,
        )
    molecule = campaign.molecule.names
    for step in campaign.steps:
        place = f"{key}.{step.name}"
        for field in sorted({*molecule, *fields, *campaign.submit.projection}):
            # A field above the place may hold results of other campaigns, but not a molecule.
            is_above = field in molecule and _is_within(place, field)
            if is_above or _is_within(field, place):
                raise loaded.source.error(
                    f"results of step '{step.name}' would be stored in '{place}', but the campaign "
                    f"reads '{field}'; name another field with 'mongo_output_key'",
                    *keys,
                )


def _is_within(field: str, other: str) -> bool:
    """Whether a field is another one, or inside it."""
    return f"{field}.".startswith(f"{other}.")
