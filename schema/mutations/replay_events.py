"""The mutation `replayEvents`: recorded events are applied again."""

from typing import Annotated

import strawberry

from db.queries.attempts import matching_entry_ids
from db.queries.entries import EntryFilter
from db.vocabulary import EntryId, SyncOutcome, SyncStatus
from schema.access import require_log_reader
from schema.context import Info
from schema.types.costs import list_size
from schema.types.inputs import SyncLogFilterInput
from schema.types.loading import entry_filter
from schema.types.opaque import row_id, storable
from schema.types.user_errors import UserError
from sync.replay import Replayed, ReplayRequest, replay_entries

MAX_EVENTS = 1000
MAX_REASON = 1000


@strawberry.input(description="Which events are replayed: those with the ids, or all that match.")
class ReplayEventsInput:
    ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="These sync-log entries."
    )
    filter: SyncLogFilterInput | None = strawberry.field(
        default=None, description="All entries that meet this."
    )
    organization_id: strawberry.ID | None = strawberry.field(
        default=None, description="With a filter: only within this organization and those below."
    )
    reason: str | None = strawberry.field(
        default=None, description="Why; kept in the history of every entry."
    )
    dry_run: bool = strawberry.field(
        default=False, description="Only tell how many there are and what would change."
    )


@strawberry.type(description="How many events had an outcome.")
class OutcomeCount:
    outcome: SyncOutcome = strawberry.field(description="The outcome.")
    count: int = strawberry.field(description="How many had it.")


@strawberry.type(description="How many events ended in a status.")
class StatusCount:
    status: SyncStatus = strawberry.field(description="The status.")
    count: int = strawberry.field(description="How many ended in it.")


@strawberry.type(description="The events are replayed, or would be.")
class ReplayEventsSuccess:
    dry_run: bool = strawberry.field(description="Whether nothing was changed after all.")
    matched: int = strawberry.field(description="How many events there are.")
    changed: int = strawberry.field(description="How many changed a member, or would.")
    outcomes: list[OutcomeCount] = strawberry.field(
        description="What they did, or would do.", directives=[list_size(7)]
    )
    statuses: list[StatusCount] = strawberry.field(
        description="How they ended, or would end.", directives=[list_size(6)]
    )


@strawberry.type(description="It cannot be told which events are meant, or they are too many.")
class ReplaySelectionError(UserError):
    pass


ReplayEventsResult = Annotated[
    ReplayEventsSuccess | ReplaySelectionError,
    strawberry.union("ReplayEventsResult", description="What `replayEvents` answers."),
]


async def replay_events(
    info: Info,
    input: Annotated[ReplayEventsInput, strawberry.argument(description="Which events, and why.")],
) -> ReplayEventsResult:
    viewer = await require_log_reader(info)
    if (input.ids is None) == (input.filter is None):
        return _unclear("Give either `ids` or `filter`.", "ids")
    if input.reason is not None and len(storable(input.reason, "reason")) > MAX_REASON:
        return _unclear(f"A reason has at most {MAX_REASON} characters.", "reason")
    if input.ids is not None and len(input.ids) > MAX_EVENTS:
        return _unclear(f"At most {MAX_EVENTS} events at a time.", "ids")
    wanted = None
    condition = EntryFilter()
    if input.ids is not None:
        wanted = [EntryId(row_id(id, "SyncLogEntry", "ids")) for id in input.ids]
    else:
        condition = await entry_filter(info.context, input.organization_id, input.filter)
    context = info.context
    async with context.database.read() as session:
        ids = await matching_entry_ids(
            session, viewer.sight, condition, limit=MAX_EVENTS + 1, ids=wanted
        )
    if len(ids) > MAX_EVENTS:
        text = f"More than {MAX_EVENTS} events match; narrow the filter, or use the command line."
        return _unclear(text, "filter")
    request = ReplayRequest(context.actor, input.reason, input.dry_run)
    replayed = await replay_entries(context.database, ids, request, context.clock)
    return _success(replayed, dry_run=input.dry_run)


def _unclear(message: str, field: str) -> ReplaySelectionError:
    return ReplaySelectionError(code="REPLAY_SELECTION", message=message, path=["input", field])


def _success(replayed: Replayed, *, dry_run: bool) -> ReplayEventsSuccess:
    return ReplayEventsSuccess(
        dry_run=dry_run,
        matched=replayed.matched,
        changed=replayed.changed,
        outcomes=[
            OutcomeCount(outcome=outcome, count=count)
            for outcome, count in sorted(replayed.outcomes.items())
        ],
        statuses=[
            StatusCount(status=status, count=count)
            for status, count in sorted(replayed.statuses.items())
        ],
    )
