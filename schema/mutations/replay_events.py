"""The mutation `replayEvents`, which applies recorded events again."""

from typing import Annotated

import strawberry

from db.queries.log.attempt_records import matching_entry_ids
from db.queries.log.entries import EntryFilter, EntrySelection
from db.vocabulary import EntryId, SyncOutcome, SyncStatus
from schema.access import require_log_reader
from schema.context import Info
from schema.mutations.reasons import too_long_of
from schema.types.administration.concerns import concern_of
from schema.types.costs import list_size
from schema.types.inputs import SyncLogFilterInput
from schema.types.loading import entry_filter
from schema.types.opaque import row_id, storable
from schema.types.user_errors import UserError
from sync.recording.replay import Replayed, ReplayRequest, replay_entries

MAX_EVENTS = 1000


@strawberry.input(description="The events to replay: one of `ids`, `filter` and `concernId`.")
class ReplayEventsInput:
    ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Ids of sync-log entries; at most 1000."
    )
    filter: SyncLogFilterInput | None = strawberry.field(
        default=None, description="Replays all entries that match this filter; at most 1000."
    )
    organization_id: strawberry.ID | None = strawberry.field(
        default=None, description="Restricts the filter to this organization and those below it."
    )
    concern_id: strawberry.ID | None = strawberry.field(
        default=None, description="Replays all entries that this concern is about; at most 1000."
    )
    reason: str | None = strawberry.field(
        default=None, description="The reason, which is kept with each attempt."
    )
    dry_run: bool = strawberry.field(default=False, description="Only counts what would change.")


@strawberry.type(description="The number of events with one outcome.")
class OutcomeCount:
    outcome: SyncOutcome = strawberry.field(description="The outcome.")
    count: int = strawberry.field(description="The number of events.")


@strawberry.type(description="The number of events with one status.")
class StatusCount:
    status: SyncStatus = strawberry.field(description="The status.")
    count: int = strawberry.field(description="The number of events.")


@strawberry.type(description="The events were replayed, or counted in a dry run.")
class ReplayEventsSuccess:
    dry_run: bool = strawberry.field(description="True when nothing was changed.")
    matched: int = strawberry.field(description="The number of events.")
    changed: int = strawberry.field(
        description="The number of events that changed a member, or would."
    )
    outcomes: list[OutcomeCount] = strawberry.field(
        description="The events by outcome.", directives=[list_size(7)]
    )
    statuses: list[StatusCount] = strawberry.field(
        description="The events by status.", directives=[list_size(6)]
    )


@strawberry.type(description="The selection is unclear, or matches too many events.")
class ReplaySelectionError(UserError):
    pass


ReplayEventsResult = Annotated[
    ReplayEventsSuccess | ReplaySelectionError,
    strawberry.union("ReplayEventsResult", description="The result of `replayEvents`."),
]


async def replay_events(
    info: Info,
    input: Annotated[
        ReplayEventsInput, strawberry.argument(description="The events and the reason.")
    ],
) -> ReplayEventsResult:
    viewer = await require_log_reader(info)
    given = [it for it in (input.ids, input.filter, input.concern_id) if it is not None]
    if len(given) != 1:
        return _unclear("Give one of `ids`, `filter` and `concernId`.", "ids")
    too_long = too_long_of(storable(input.reason or "", "reason"))
    if too_long is not None:
        return _unclear(too_long, "reason")
    if input.ids is not None and len(input.ids) > MAX_EVENTS:
        text = f"`ids` names {len(input.ids)} events; the limit is {MAX_EVENTS}."
        return _unclear(text, "ids")
    wanted = None
    condition: EntrySelection = EntryFilter()
    if input.ids is not None:
        wanted = [EntryId(row_id(id, "SyncLogEntry", "ids")) for id in input.ids]
    elif input.concern_id is not None:
        entries = await _entries_of_concern(info, input.concern_id)
        if entries is None:
            text = "This concern does not stand any more, or is about no events."
            return _unclear(text, "concernId")
        condition = entries
    else:
        condition = await entry_filter(info.context, input.organization_id, input.filter)
    context = info.context
    async with context.database.read() as session:
        ids = await matching_entry_ids(
            session, viewer.sight, condition, limit=MAX_EVENTS + 1, ids=wanted
        )
    if len(ids) > MAX_EVENTS:
        text = f"More than {MAX_EVENTS} events match. Narrow the filter, or use the command line."
        return _unclear(text, "filter")
    request = ReplayRequest(context.actor, input.reason, input.dry_run)
    replayed = await replay_entries(context.database, ids, request, context.clock)
    return _success(replayed, dry_run=input.dry_run)


async def _entries_of_concern(info: Info, id: str) -> EntrySelection | None:
    concerns = info.context.concerns
    concern = concern_of(await concerns.standing(), row_id(id, "Concern", "concernId"))
    return None if concern is None else await concerns.entries(concern.key)


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
