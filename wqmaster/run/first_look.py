"""Find out, before a run begins, what there is to compute and what is done."""

import logging

from bson import json_util
from pymongo.errors import ExecutionTimeout

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.database.base import SearchGoesOn
from wqmaster.database.documents import Counts, Store
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import NothingMatches
from wqmaster.run.other_names import where_else
from wqmaster.system.this_command import this_command

log = logging.getLogger("wqmaster")

# Time limit for counting the documents. If counting takes longer, the run begins without a total.
_COUNT_TIMEOUT_SECONDS = 20.0


def _typed_query(store: Store) -> str:
    """The campaign's query in quotes, as JSON, which a YAML file can contain."""
    return f"'{json_util.dumps(store.campaign.submit.query)}'"


def check_filled(store: Store, loaded: LoadedCampaign) -> None:
    """Check that the campaign's collection has documents.

    Raises:
        NothingMatches: it is empty.
    """
    if store.size() == 0:
        raise NothingMatches(
            f"the collection {store.documents.full_name} is empty: fill it with "
            f"'{this_command()} import {loaded.typed} FILE', or name another one with "
            "'database: {name: ..., collection: ...}'" + where_else(loaded),
            code=ErrorCode.COLLECTION_EMPTY,
        )


def check_matches(store: Store, counts: Counts | None, loaded: LoadedCampaign) -> None:
    """Check that there are documents to compute, or that all of them have results.

    Raises:
        NothingMatches: the query selects no document, and none has a result.
    """
    try:
        any_left = bool(store.page(None, 1))
    except SearchGoesOn:
        return  # so many are done that the search takes a while
    if any_left or (counts and counts.done and not store.selects_nothing()):
        return
    place = store.documents.full_name
    check_filled(store, loaded)
    for step, count in store.partly_done().items():
        path = f"{store.campaign.output_key}.{step}"
        raise NothingMatches(
            f"the query {_typed_query(store)} does not select the documents of {place} "
            f"that have results of other steps but not of '{step}' ({count:,} in total); select "
            f"them with 'submit: {{query: {{{path}: null}}}}', which changes no existing results",
            code=ErrorCode.STEP_NOT_SELECTED,
        )
    raise NothingMatches(
        f"the query {_typed_query(store)} selects none of the documents of {place} "
        f"({store.size():,} in total); correct 'submit: query:', then: {this_command()} check "
        f"{loaded.typed}"
    )


def first_counts(store: Store) -> Counts | None:
    """The counts at the start of a run; None if counting takes too long."""
    try:
        return store.counts(_COUNT_TIMEOUT_SECONDS)
    except ExecutionTimeout:
        log.warning(
            "counting took more than %d s; the run continues without a total",
            _COUNT_TIMEOUT_SECONDS,
        )
        return None


def add_reference_atoms(store: Store, loaded: LoadedCampaign) -> list[str]:
    """Insert the reference atoms that are missing; return a note about them.

    Raises:
        CampaignError: the ground state of an element is not known, and no multiplicity is stated.
    """
    try:
        added = store.add_reference_atoms(_COUNT_TIMEOUT_SECONDS)
    except ExecutionTimeout:
        where = loaded.source.where("reference_atoms")
        return [
            f"{where}: listing the elements of all documents takes too long, so no reference atoms "
            "are computed; list them: 'reference_atoms: [H, C, N, O]'"
        ]
    except ValueError as error:
        raise loaded.source.error(str(error), "reference_atoms") from error
    if not added:
        return []
    return [f"{added} reference atom{'s' if added > 1 else ''} added to the documents"]
