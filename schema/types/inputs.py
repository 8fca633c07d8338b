"""Filters, orders and lookups as clients write them, and what they mean to the database."""

from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, TypeVar

import strawberry

from db.queries.entries import EntryFilter
from db.queries.member_pages import MemberFilter, MemberOrder, MemberOrderField
from db.vocabulary import (
    AccessLevel,
    ActivationState,
    MemberId,
    SyncOutcome,
    SyncStatus,
)
from schema.errors import BadUserInputError
from schema.types.enums import OrderDirection
from schema.types.opaque import row_id, storable

V = TypeVar("V", bound=Enum)

MAX_SEARCH = 100


@strawberry.input(one_of=True, description="Which member is meant: exactly one of these.")
class MemberLookup:
    id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="The member's id in this API."
    )
    portal_id: str | None = strawberry.field(
        default=strawberry.UNSET, description="The portal's id (the contact's GUID in Dataverse)."
    )


@strawberry.input(name="MemberFilter", description="Which members; all given conditions must hold.")
class MemberFilterInput:
    state: list[ActivationState] | None = strawberry.field(
        default=None, description="In one of these activation states."
    )
    role: list[str] | None = strawberry.field(
        default=None, description="Holding one of these roles (portal role codes)."
    )
    access_level: list[AccessLevel] | None = strawberry.field(
        default=None, description="With one of these access levels."
    )
    search: str | None = strawberry.field(
        default=None,
        description="Words, each the beginning of a name, of the member number or of the e-mail "
        "address. Upper and lower case are the same.",
    )
    changed_since: datetime | None = strawberry.field(
        default=None, description="Changed at this time or later."
    )

    def to_filter(self) -> MemberFilter:
        """Raises BadUserInputError."""
        if self.search and len(self.search) > MAX_SEARCH:
            raise BadUserInputError(f"At most {MAX_SEARCH} characters.", "search")
        return MemberFilter(
            states=_one_of(self.state),
            role_codes=_texts(self.role, "role"),
            access_levels=_one_of(self.access_level),
            search=None if self.search is None else storable(self.search, "search"),
            changed_since=in_utc(self.changed_since, "changedSince"),
        )


@strawberry.input(name="MemberOrder", description="The order of members.")
class MemberOrderInput:
    field: MemberOrderField = strawberry.field(description="What they are ordered by.")
    direction: OrderDirection = strawberry.field(
        default=OrderDirection.ASC, description="Which way."
    )

    def to_order(self) -> MemberOrder:
        return MemberOrder(self.field, self.direction is OrderDirection.DESC)


@strawberry.input(
    name="SyncLogFilter", description="Which sync-log entries; all given conditions must hold."
)
class SyncLogFilterInput:
    status: list[SyncStatus] | None = strawberry.field(
        default=None, description="With one of these statuses."
    )
    outcome: list[SyncOutcome] | None = strawberry.field(
        default=None, description="With one of these outcomes."
    )
    event_type: list[str] | None = strawberry.field(
        default=None, description="Of one of these event types, such as `role-updated`."
    )
    source: list[str] | None = strawberry.field(
        default=None, description="From one of these sources."
    )
    member_id: strawberry.ID | None = strawberry.field(
        default=None, description="About this member."
    )
    received_from: datetime | None = strawberry.field(
        default=None, description="Received at this time or later."
    )
    received_before: datetime | None = strawberry.field(
        default=None, description="Received before this time."
    )

    def to_filter(self) -> EntryFilter:
        """Raises BadUserInputError."""
        member_id = None
        if self.member_id is not None:
            member_id = MemberId(row_id(self.member_id, "Member", "memberId"))
        return EntryFilter(
            statuses=_one_of(self.status),
            outcomes=_one_of(self.outcome),
            event_types=_texts(self.event_type, "eventType"),
            sources=_texts(self.source, "source"),
            member_id=member_id,
            received_from=in_utc(self.received_from, "receivedFrom"),
            received_before=in_utc(self.received_before, "receivedBefore"),
        )


def _one_of(values: list[V] | None) -> frozenset[V] | None:
    return None if values is None else frozenset(values)


def _texts(values: list[str] | None, argument: str) -> frozenset[str] | None:
    return None if values is None else frozenset(storable(value, argument) for value in values)


def in_utc(moment: datetime | None, argument: str) -> datetime | None:
    """A time without a zone is refused: whose midnight it means cannot be told."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise BadUserInputError("Give the time with its zone, such as `…Z`.", argument)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise BadUserInputError("This time is out of range.", argument) from error


OrganizationArgument = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="Only within this organization and those below it."),
]
MemberFilterArgument = Annotated[
    MemberFilterInput | None, strawberry.argument(description="Only members who meet this.")
]
MemberOrderArgument = Annotated[
    MemberOrderInput | None,
    strawberry.argument(description="By name, unless another order is given."),
]
SyncLogFilterArgument = Annotated[
    SyncLogFilterInput | None, strawberry.argument(description="Only entries that meet this.")
]
