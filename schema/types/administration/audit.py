"""The audit trail in GraphQL."""

from datetime import datetime

import strawberry

from db.queries.log.audit_trail import AuditRow, audit_page
from db.vocabulary import AuditAction
from schema.context import Info
from schema.engine.views import View, from_view, view_type
from schema.types.connections import EdgeView, PageArguments, PageInfo, PageView, itself
from schema.types.costs import list_size
from schema.types.nodes import ID
from schema.types.opaque import global_id

_KEY = (datetime, int)


@view_type("An action that somebody has to answer for.", name="AuditRecord")
class AuditRecordType(View[AuditRow]):
    id: strawberry.ID = from_view(lambda row: global_id("AuditRecord", row.id), ID)
    recorded_at: datetime = from_view("recorded_at", "The time of the action.")
    actor: str = from_view(
        "actor",
        "The actor: `member` or `operator` with the subject of their token, or `command line`.",
    )
    action: AuditAction = from_view("action", "The kind of action.")
    entry_count: int = from_view("entry_count", "The number of sync-log entries it was about.")
    entry_ids: list[strawberry.ID] = from_view(
        lambda row: [global_id("SyncLogEntry", id) for id in row.entry_ids],
        "The ids of those entries.",
        directives=[list_size(10)],
    )
    role_code: str | None = from_view("role_code", "The code of the role it was about.")
    detail: str | None = from_view("detail", "The change that was made, or the reason given.")


@view_type("A record in a page of the audit trail.")
class AuditTrailEdge(View[EdgeView[AuditRow]]):
    cursor: str = from_view("cursor", "The cursor of this edge, for `after` and `before`.")
    node: AuditRecordType = from_view("node", "The record.")


@view_type("A page of the audit trail, newest first.")
class AuditTrailConnection(View[PageView[AuditRow]]):
    edges: list[AuditTrailEdge] = from_view("edges", "The records of this page.")
    page_info: PageInfo = from_view(itself, "The position of this page in the list.")


async def audit_trail_connection(info: Info, arguments: PageArguments) -> AuditTrailConnection:
    """Reads a page, without asking who the viewer is."""
    request = arguments.request("auditTrail", _KEY)
    async with info.context.database.read() as session:
        page = await audit_page(session, request)
    return AuditTrailConnection(PageView("auditTrail", page))
