"""The audit trail as operators read it."""

from datetime import datetime

import strawberry

from db.audit import AuditRow, audit_page
from db.vocabulary import AuditAction
from schema.context import Info
from schema.cost import about
from schema.opaque import global_id
from schema.pagination import PageArguments, PageInfo, wanted_cursors

_KEY = (datetime, int)


@strawberry.type(description="Something that somebody did and must answer for.")
class AuditRecord:
    recorded_at: datetime = strawberry.field(description="When.")
    actor: str = strawberry.field(
        description="Who: `member` or `operator` and the subject of their token, or `command line`."
    )
    action: AuditAction = strawberry.field(description="What they did.")
    entry_count: int = strawberry.field(description="With how many sync-log entries.")
    entry_ids: list[strawberry.ID] = strawberry.field(
        description="With which of them; the first 1000.", directives=[about(10)]
    )
    role_code: str | None = strawberry.field(description="With which role of the catalogue.")
    detail: str | None = strawberry.field(description="From what to what, or the reason given.")

    @classmethod
    def from_row(cls, row: AuditRow) -> "AuditRecord":
        return cls(
            recorded_at=row.recorded_at,
            actor=row.actor,
            action=row.action,
            entry_count=row.entry_count,
            entry_ids=[strawberry.ID(global_id("SyncLogEntry", id)) for id in row.entry_ids],
            role_code=row.role_code,
            detail=row.detail,
        )


@strawberry.type(description="A record of the audit trail within a page.")
class AuditTrailEdge:
    cursor: str = strawberry.field(description="Pages can begin after it or before it.")
    node: AuditRecord = strawberry.field(description="The record.")


@strawberry.type(description="A page of the audit trail, newest first.")
class AuditTrailConnection:
    edges: list[AuditTrailEdge] = strawberry.field(description="The records of this page.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")


async def audit_trail_connection(info: Info, arguments: PageArguments) -> AuditTrailConnection:
    """For those who were let in."""
    request = arguments.request("auditTrail", _KEY)
    async with info.context.database.read() as session:
        page = await audit_page(session, request)
    cursors = wanted_cursors(info, page, "auditTrail")
    edges = [
        AuditTrailEdge(cursor=cursor, node=AuditRecord.from_row(row))
        for cursor, row in zip(cursors.each, page.rows, strict=True)
    ]
    return AuditTrailConnection(edges=edges, page_info=cursors.page_info)
