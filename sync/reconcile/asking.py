"""Asks for a comparison of a source. The poller of whichever process is free does it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from db.database import Database
from db.errors import ConcurrentWriteError
from db.queries.log.audit_trail import Act, record_act
from db.queries.runs.reconciliation_requests import add_request, requests_of
from db.vocabulary import AuditAction


class AlreadyAskedError(Exception):
    """A comparison of this source is asked for, and not done yet."""


@dataclass(frozen=True, slots=True)
class Wish:
    """`whole`: the whole portal, not only what has changed in it. `dry_run`: only to see what would
    be done."""

    source: str
    whole: bool
    dry_run: bool
    actor: str
    reason: str


async def ask_for_comparison(
    database: Database, wish: Wish, clock: Callable[[], datetime]
) -> datetime:
    """Returns the time of the request, which the audit trail holds with actor and reason.

    Raises AlreadyAskedError or DatabaseUnavailableError.
    """
    now = clock()
    what = ("whole portal" if wish.whole else "changes") + (", dry run" if wish.dry_run else "")
    act = Act(
        wish.actor,
        AuditAction.RECONCILIATION_STARTED,
        detail=f"{wish.source}, {what}: {wish.reason}",
    )
    try:
        async with database.write() as session:
            if await requests_of(session, [wish.source]):
                raise AlreadyAskedError
            await add_request(session, wish.source, now, whole=wish.whole, dry_run=wish.dry_run)
            await record_act(session, act, now)
    except ConcurrentWriteError as error:
        raise AlreadyAskedError from error
    return now
