"""The audit trail: who read bodies of events, replayed events, or changed what roles give. Written
once; the database refuses to change it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select

from db.queries.keyset import KeysetColumn, PageRequest, PageStatements, Slice, read_page
from db.sessions import ReadSession, WriteSession
from db.tables.models import AuditRecord
from db.vocabulary import AuditAction, EntryId

MAX_ENTRY_IDS = 1000


@dataclass(frozen=True, slots=True)
class Act:
    """`actor` as the records call them: never a name."""

    actor: str
    action: AuditAction
    entry_ids: Sequence[EntryId] = ()
    role_code: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    recorded_at: datetime
    actor: str
    action: AuditAction
    entry_count: int
    entry_ids: list[EntryId]
    role_code: str | None
    detail: str | None


_NEWEST_FIRST = (KeysetColumn(AuditRecord.recorded_at, descending=True),)
_ROW = select(
    AuditRecord.recorded_at,
    AuditRecord.actor,
    AuditRecord.action,
    AuditRecord.entry_count,
    AuditRecord.entry_ids,
    AuditRecord.role_code,
    AuditRecord.detail,
)


async def record_act(session: WriteSession, act: Act, now: datetime) -> None:
    await session.run(
        insert(AuditRecord).values(
            recorded_at=now,
            actor=act.actor,
            action=act.action,
            entry_count=len(act.entry_ids),
            entry_ids=list(act.entry_ids[:MAX_ENTRY_IDS]),
            role_code=act.role_code,
            detail=act.detail,
        )
    )


_pages = PageStatements(AuditRecord.id)


async def audit_page(session: ReadSession, page: PageRequest) -> Slice[AuditRow]:
    """Newest first."""
    statement = _pages.statement((), page, _NEWEST_FIRST, lambda: _ROW)
    found = await read_page(session, statement, page, {}, keys=len(_NEWEST_FIRST) + 1)
    return found.map(lambda row: AuditRow(*row))
