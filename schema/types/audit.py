"""The audit trail as operators read it."""

from datetime import datetime

import strawberry

from db.queries.audit_trail import AuditRow, audit_page
from db.vocabulary import AuditAction
from schema.context import Info
from schema.engine.views import View, from_view, view_type
from schema.types.connections import EdgeView, PageArguments, PageInfo, PageView, itself
from schema.types.costs import list_size
from schema.types.opaque import global_id

_KEY = (datetime, int)


@view_type("Something that somebody did and must answer for.", name="AuditRecord")
class AuditRecordType(View[AuditRow]):
    recorded_at: datetime = from_view("recorded_at", "When.")
    actor: str = from_view(
        "actor",
        "Who: `member` or `operator` and the subject of their token, or `command line`.",
    )
    action: AuditAction = from_view("action", "What they did.")
    entry_count: int = from_view("entry_count", "With how many sync-log entries.")
    entry_ids: list[strawberry.ID] = from_view(
        lambda row: [global_id("SyncLogEntry", id) for id in row.entry_ids],
        "With which of them; the first 1000.",
        directives=[list_size(10)],
    )
    role_code: str | None = from_view("role_code", "With which role of the catalogue.")
    detail: str | None = from_view("detail", "From what to what, or the reason given.")


@view_type("A record of the audit trail within a page.")
class AuditTrailEdge(View[EdgeView[AuditRow]]):
    cursor: str = from_view("cursor", "Pages can begin after it or before it.")
    node: AuditRecordType = from_view("node", "The record.")


@view_type("A page of the audit trail, newest first.")
class AuditTrailConnection(View[PageView[AuditRow]]):
    edges: list[AuditTrailEdge] = from_view("edges", "The records of this page.")
    page_info: PageInfo = from_view(itself, "Where the page stands.")


async def audit_trail_connection(info: Info, arguments: PageArguments) -> AuditTrailConnection:
    """For those who were let in."""
    request = arguments.request("auditTrail", _KEY)
    async with info.context.database.read() as session:
        page = await audit_page(session, request)
    return AuditTrailConnection(PageView("auditTrail", page))
