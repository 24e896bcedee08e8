"""Queries on the command line, shared by several commands."""

import json
from typing import Any

import click
from bson import json_util
from pymongo.errors import OperationFailure

from wqmaster.campaign.wording import plain_json
from wqmaster.database.documents import Store
from wqmaster.database.reasons import reason
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError


def json_query(text: str) -> dict[str, Any]:
    """The query in `--query`, in MongoDB's extended JSON.

    Raises:
        UsageError: it is not a JSON object.
    """
    try:
        found = json_util.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        why = str(error)
        if isinstance(error, json.JSONDecodeError):
            why = f"{plain_json(error)} (character {error.pos + 1})"
        raise click.UsageError(f"--query is not valid JSON: {why}") from error
    if not isinstance(found, dict):
        raise click.UsageError('--query must be a JSON object, such as \'{"formula": "H2O"}\'')
    return found


def checked_query(store: Store, query: dict[str, Any]) -> None:
    """Check that the database understands a query.

    Raises:
        CampaignError: it does not.
    """
    try:
        store.documents.find_one(query, {"_id": 1})
        # Aggregations, which the commands use too, refuse some operators that `find` accepts.
        list(
            store.documents.aggregate([{"$match": query}, {"$limit": 1}, {"$project": {"_id": 1}}])
        )
    except OperationFailure as error:
        raise CampaignError(
            f"the database refused --query: {reason(error)}", code=ErrorCode.QUERY_REFUSED
        ) from error
