"""Sources, the runs that compare them with what is known here, and what these runs found."""

from datetime import datetime

import strawberry

from db.queries.log.audit_trail import Act, record_act
from db.queries.runs.reconciliations import Run
from db.queries.runs.run_pages import DriftRow, HeldRow, run_page
from db.vocabulary import AuditAction, DriftAction, ReconciliationKind, ReconciliationStatus
from resolvers.members import MemberFields
from resolvers.run_lines import LineView, page_of_drift, page_of_held
from resolvers.source_views import SourceView
from schema.access import require_reconciler
from schema.context import Info
from schema.engine.lookahead import selected
from schema.engine.views import View, from_view, view_type
from schema.types.connections import (
    After,
    Before,
    EdgeView,
    First,
    Last,
    PageArguments,
    PageInfo,
    PageView,
    itself,
)
from schema.types.costs import paged_by
from schema.types.loading import member_fields
from schema.types.nodes import ID, MemberType, Node
from schema.types.opaque import global_id, storable


@view_type("A difference in one field of a member, which a run found.", name="DriftLine")
class DriftLineType(View[LineView[DriftRow]]):
    id: strawberry.ID = from_view(lambda line: global_id("DriftLine", line.row.id), ID)
    portal_id: str = from_view("row.portal_id", "The portal id of the member.")
    member: MemberType | None = from_view(
        "member", "The member; null if nobody with this portal id is known here."
    )
    field: str = from_view(
        "row.field", "The field of `Member`, or of the chapter that the source named with it."
    )
    portal: str | None = from_view("row.there", "What the source says.")
    here: str | None = from_view("row.here", "What was known here before the run.")
    action: DriftAction = from_view("row.action", "What the run did about it.")


@view_type("A difference in a page.")
class DriftEdge(View[EdgeView[LineView[DriftRow]]]):
    cursor: str = from_view("cursor", "The cursor of this edge, for `after` and `before`.")
    node: DriftLineType = from_view("node", "The difference.")


@view_type("A page of differences, ordered by the portal id of the member.")
class DriftConnection(View[PageView[LineView[DriftRow]]]):
    edges: list[DriftEdge] = from_view("edges", "The differences of this page.")
    page_info: PageInfo = from_view(itself, "The position of this page in the list.")


@view_type(
    "Something that the deletion guard holds back until a person decides.", name="HeldRemoval"
)
class HeldRemovalType(View[LineView[HeldRow]]):
    id: strawberry.ID = from_view(lambda line: global_id("HeldRemoval", line.row.id), ID)
    portal_id: str = from_view("row.portal_id", "The portal id of the member.")
    member: MemberType | None = from_view(
        "member", "The member; null if nobody with this portal id is known here."
    )
    part: str = from_view(
        "row.part", "What would be taken away: `state` is the membership, `roles` are roles."
    )
    portal: str | None = from_view("row.there", "What the source says of this part.")
    held_since: datetime = from_view("row.held_since", "The time since which it is held.")


@view_type("Something held back, in a page.")
class HeldRemovalEdge(View[EdgeView[LineView[HeldRow]]]):
    cursor: str = from_view("cursor", "The cursor of this edge, for `after` and `before`.")
    node: HeldRemovalType = from_view("node", "What is held back.")


@view_type("A page of what is held back, ordered by the portal id of the member.")
class HeldRemovalConnection(View[PageView[LineView[HeldRow]]]):
    edges: list[HeldRemovalEdge] = from_view("edges", "What is held back, of this page.")
    page_info: PageInfo = from_view(itself, "The position of this page in the list.")


@view_type(
    "A run that compared what a source says of its members with what is known here.",
    name="Reconciliation",
)
class ReconciliationType(View[Run], Node):
    id: strawberry.ID = from_view(lambda run: global_id("Reconciliation", run.id), ID)
    source: str = from_view("source", "The name of the source.")
    kind: ReconciliationKind = from_view("kind", "What was compared.")
    status: ReconciliationStatus = from_view("status", "The status.")
    started_at: datetime = from_view("started_at", "The time at which it began.")
    finished_at: datetime | None = from_view(
        "finished_at", "The time at which it ended; null while it runs."
    )
    dry_run: bool = from_view(
        "dry_run", "True if it only told what differs. Its counts are of what it would have done."
    )
    detail: str | None = from_view("detail", "The reason why it failed.")
    compared: int = from_view(
        "counts.compared", "The number of members that were compared; grows while it runs."
    )
    created: int = from_view("counts.created", "The number of members who were not known here.")
    updated: int = from_view("counts.updated", "The number of members who were changed.")
    deactivated: int = from_view(
        "counts.deactivated", "The number of members whose membership was ended."
    )
    missing: int = from_view(
        "counts.missing", "The number of members whom the source does not name any more."
    )
    missed: int = from_view(
        "counts.missed", "The number of members of whom a webhook should have told, and did not."
    )
    held: int = from_view(
        "counts.held",
        "The number of removals that the deletion guard held back when it ran; `heldRemovals` are "
        "those that wait for a decision now.",
    )

    unlisted: int = from_view(
        "counts.unlisted",
        "The number of members who differed and have no line in `drift`, which names the first "
        "1000.",
    )

    @strawberry.field(
        description="What differed, a line for each field of a member. Kept for two weeks. Reading "
        "values is recorded in the audit trail.",
        directives=[paged_by("first", "last")],
    )
    async def drift(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> DriftConnection:
        sight = (await require_reconciler(info)).sight
        request = PageArguments(first, after, last, before).request("drift", (str, int))
        await _record_reading(info, self.view)
        members = _members_asked_for(info)
        database = info.context.database
        page = await page_of_drift(database, sight, self.view.id, request, members)
        return DriftConnection(PageView("drift", page))

    @strawberry.field(
        description="What the deletion guard holds back since this run, and nobody has decided.",
        directives=[paged_by("first", "last")],
    )
    async def held_removals(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> HeldRemovalConnection:
        sight = (await require_reconciler(info)).sight
        request = PageArguments(first, after, last, before).request("heldRemovals", (str, int))
        members = _members_asked_for(info)
        database = info.context.database
        page = await page_of_held(database, sight, self.view.id, request, members)
        return HeldRemovalConnection(PageView("heldRemovals", page))


@view_type("A run in a page.")
class ReconciliationEdge(View[EdgeView[Run]]):
    cursor: str = from_view("cursor", "The cursor of this edge, for `after` and `before`.")
    node: ReconciliationType = from_view("node", "The run.")


@view_type("A page of runs, newest first.")
class ReconciliationConnection(View[PageView[Run]]):
    edges: list[ReconciliationEdge] = from_view("edges", "The runs of this page.")
    page_info: PageInfo = from_view(itself, "The position of this page in the list.")


@view_type("A configured sender of webhooks, and what came from it.", name="Source")
class SourceType(View[SourceView]):
    name: str = from_view("source.name", "The name, as in the settings.")
    scheme: str = from_view(
        "source.scheme", "How its deliveries are verified, such as `standard-webhooks`."
    )
    comparable: bool = from_view(
        "source.comparable",
        "True if its portal can be read, so that what webhooks have not told is found.",
    )
    last_received_at: datetime | None = from_view(
        "last_received_at", "The time of the last webhook; null if none ever came."
    )
    last_applied_at: datetime | None = from_view(
        "last_applied_at",
        "The time at which an event of the source was last applied, however it came.",
    )
    received_last_day: int = from_view(
        "received_last_day", "The number of events that webhooks brought in the last day."
    )
    refused_last_day: int = from_view(
        "refused_last_day",
        "The number of deliveries of the last day that did not prove who sent them, to the hour.",
    )
    missed_last_day: int = from_view(
        "missed_last_day",
        "The number of members, over the runs of the last day, of whom a webhook should have told "
        "and did not. They were put right by the run.",
    )
    reconciliation: ReconciliationType | None = from_view(
        "reconciliation", "The newest run that was no dry run; null if it was never compared."
    )
    reconciliation_requested_at: datetime | None = from_view(
        "requested_at",
        "The time at which somebody asked for a comparison that is not done yet; null if nobody "
        "has.",
    )


async def reconciliation_connection(
    info: Info, source: str | None, arguments: PageArguments
) -> ReconciliationConnection:
    """Reads a page, without asking who the viewer is."""
    name = None if source is None else storable(source, "source")
    request = arguments.request("reconciliations", (datetime, int))
    async with info.context.database.read() as session:
        page = await run_page(session, name, request)
    return ReconciliationConnection(PageView("reconciliations", page))


def _members_asked_for(info: Info) -> MemberFields | None:
    asked = "member" in selected(info, "edges", "node")
    return member_fields(info, "edges", "node", "member") if asked else None


async def _record_reading(info: Info, run: Run) -> None:
    """Records that values of members are read, before they are."""
    if selected(info, "edges", "node").isdisjoint({"portal", "here"}):
        return
    context = info.context
    detail = f"what differed in the comparison {run.id} of {run.source}"
    async with context.database.write() as session:
        act = Act(context.actor, AuditAction.VALUES_READ, detail=detail)
        await record_act(session, act, context.clock())
