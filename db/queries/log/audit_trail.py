"""The audit trail: who read bodies or values, replayed events, or changed the access of a role.

The database refuses to change or delete a record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import insert, select

from db.queries.keyset import KeysetColumn, PageRequest, PageStatements, Slice, read_page
from db.queries.rows import columns_of
from db.sessions import ReadSession, WriteSession
from db.tables.models import AuditRecord
from db.vocabulary import AuditAction, EntryId


@dataclass(frozen=True, slots=True)
class Act:
    """An action to be recorded. `actor` is the subject of a token or a user id, never a name."""

    actor: str
    action: AuditAction
    entry_ids: Sequence[EntryId] = ()
    role_code: str | None = None
    detail: str | None = None


class AuditRow(msgspec.Struct, frozen=True):
    """A record as it is read."""

    id: int
    recorded_at: datetime
    actor: str
    action: AuditAction
    entry_count: int
    entry_ids: list[EntryId]
    role_code: str | None
    detail: str | None


_NEWEST_FIRST = (KeysetColumn(AuditRecord.recorded_at, descending=True),)
_ROW = select(*columns_of(AuditRow, AuditRecord))


async def record_act(session: WriteSession, act: Act, now: datetime) -> None:
    await session.run(
        insert(AuditRecord).values(
            recorded_at=now,
            actor=act.actor,
            action=act.action,
            entry_count=len(act.entry_ids),
            entry_ids=list(act.entry_ids),
            role_code=act.role_code,
            detail=act.detail,
        )
    )


_pages = PageStatements(AuditRecord.id)


async def audit_page(session: ReadSession, page: PageRequest) -> Slice[AuditRow]:
    """Returns a page of records, the newest first."""
    statement = _pages.statement((), page, _NEWEST_FIRST, lambda: _ROW)
    found = await read_page(session, statement, page, {}, keys=len(_NEWEST_FIRST) + 1)
    return found.map(lambda row: AuditRow(*row))
