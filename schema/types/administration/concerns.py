"""Concerns: what somebody must look after."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

import strawberry

from db.queries.log.concern_records import ConcernKey
from db.vocabulary import ConcernKind, ConcernState
from schema.access import require_log_reader
from schema.context import Info
from schema.engine.views import View, from_view, view_type
from schema.types.connections import After, Before, First, Last, PageArguments
from schema.types.costs import COUNTING, cost, paged_by
from schema.types.nodes import ID, Node, SyncLogConnection, connection_of_entries
from schema.types.opaque import global_id
from sync.concerns.concern_texts import text_of
from sync.concerns.standing import StandingConcern


def concern_number(key: ConcernKey) -> int:
    """Returns the number of a concern in its id, which is the same in all processes for ever."""
    digest = sha256(f"{key.kind} {key.source}".encode()).digest()
    return int.from_bytes(digest[:6])


@view_type(
    "A matter that somebody must look after. What has one cause is one concern.", name="Concern"
)
class ConcernType(View[StandingConcern], Node):
    id: strawberry.ID = from_view(
        lambda concern: global_id("Concern", concern_number(concern.key)), ID
    )
    kind: ConcernKind = from_view("kind", "The kind.")
    source: str | None = from_view(
        "source", "The name of the source; null if it is about no single source."
    )
    since: datetime | None = from_view("since", "The time since which it stands.")
    state: ConcernState = from_view("state", "The state.")
    detail: str = from_view("detail", "What is the matter, with figures, in English.")
    advice: str = from_view(
        lambda concern: text_of(concern.kind).english_advice, "What to do, in English."
    )
    count: int = from_view(
        "count", "How much there is to look after: events, deliveries, members, chapters or roles."
    )
    acknowledged_at: datetime | None = from_view(
        "acknowledged_at", "The time at which somebody took it on; null while it is open."
    )
    acknowledged_by: str | None = from_view(
        "acknowledged_by", "Who took it on, as in the audit trail."
    )

    @strawberry.field(
        description="The log entries that it is about, newest first, as far as the viewer sees "
        "them; null if it is about none.",
        directives=[paged_by("first", "last"), cost(COUNTING)],
    )
    async def entries(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> SyncLogConnection | None:
        await require_log_reader(info)
        found = await info.context.concerns.entries(self.view.key)
        if found is None:
            return None
        return await connection_of_entries(info, found, PageArguments(first, after, last, before))


def concern_of(concerns: Iterable[StandingConcern], number: int) -> StandingConcern | None:
    """Returns the concern with this number in its id, if it stands."""
    return next((it for it in concerns if concern_number(it.key) == number), None)


def over(concern: StandingConcern) -> StandingConcern:
    """Returns the concern with nothing left to look after."""
    return replace(concern, state=ConcernState.OVER, count=0)
