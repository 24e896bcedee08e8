"""Open what a run or a command needs of a campaign: its database, and its log."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from bson.errors import BSONError
from pymongo.errors import OperationFailure, PyMongoError

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.database.documents import Store
from wqmaster.database.private_server import Mongod
from wqmaster.database.reasons import is_about_query, reason
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import AddressInvalid, DatabaseError, NothingMatches
from wqmaster.run import campaign_folder
from wqmaster.run.other_names import where_else
from wqmaster.system.files import check_writable
from wqmaster.system.log_files import LogFile
from wqmaster.system.this_command import this_command

log = logging.getLogger("wqmaster")


def mongod(loaded: LoadedCampaign) -> Mongod:
    """A campaign's private MongoDB server, whether or not it is running."""
    return Mongod(loaded.mongod_folder, loaded.typed)


@contextlib.contextmanager
def opened(loaded: LoadedCampaign, *, existing: bool = False) -> Iterator[Store]:
    """Open the store of a campaign, on its private server if the file names no database.

    With `existing`, no private server is created.

    Raises:
        AddressInvalid: the database's address is not valid.
        CampaignError: the database refused the campaign's query.
        DatabaseError: the database cannot be reached, or fails while the store is in use.
        NothingMatches: there is no private server yet, and `existing` is set.
    """
    with contextlib.ExitStack() as stack:
        uri = loaded.campaign.database.uri
        if uri is None:
            if existing and not mongod(loaded).exists:
                raise NothingMatches(
                    f"the campaign has no database in {loaded.mongod_folder.parent} yet; create "
                    f"one with '{this_command()} import {loaded.typed} FILE', or name your own "
                    "with 'database: {uri: ...}'" + where_else(loaded),
                    code=ErrorCode.DATABASE_NOT_CREATED,
                )
            campaign_folder.prepare(loaded)
            uri = stack.enter_context(mongod(loaded).used())
        try:
            store = Store(uri, loaded.campaign)
        except AddressInvalid as error:
            where = loaded.source.where("database", "uri")
            raise AddressInvalid(f"{where}: {error.message}") from None
        stack.callback(store.close)
        try:
            yield store
        except OperationFailure as error:
            if not is_about_query(error):
                raise DatabaseError(
                    f"the database refused an operation: {reason(error)}",
                    code=ErrorCode.DATABASE_REFUSES,
                ) from error
            message = f"the database refused the query: {reason(error)}"
            raise loaded.source.error(
                message, "submit", "query", code=ErrorCode.QUERY_REFUSED
            ) from error
        except (PyMongoError, BSONError) as error:
            log.debug("the database failed", exc_info=True)
            raise DatabaseError(
                f"the database failed: {reason(error)}", code=ErrorCode.DATABASE_FAILED
            ) from error


@contextlib.contextmanager
def logged(folder: Path) -> Iterator[None]:
    """Log to logs/master.log below `folder`, with rotation, for the duration of a `with`."""
    check_writable(folder / "logs")
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    handler = LogFile(folder / "logs" / "master.log", form)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield
    except Exception:
        log.exception("the run failed")
        raise
    finally:
        log.removeHandler(handler)
        handler.close()
