"""The filters, orders and lookups of clients, translated to those of the database."""

from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, TypeVar

import strawberry

from db.queries.log.entries import EntryFilter
from db.queries.members.member_pages import MemberFilter, MemberOrder, MemberOrderField
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


@strawberry.input(one_of=True, description="Identifies a member by exactly one of these.")
class MemberLookup:
    id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="The id in this API."
    )
    portal_id: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The id in the portal (the GUID of the contact in Dataverse).",
    )


@strawberry.input(one_of=True, description="Identifies an organization by exactly one of these.")
class OrganizationLookup:
    id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="The id in this API."
    )
    portal_id: str | None = strawberry.field(
        default=strawberry.UNSET, description="The id in the portal."
    )


@strawberry.input(name="MemberFilter", description="Conditions on members, all of which must hold.")
class MemberFilterInput:
    state: list[ActivationState] | None = strawberry.field(
        default=None, description="The member is in one of these states."
    )
    role: list[str] | None = strawberry.field(
        default=None, description="The member holds one of these roles (portal role codes)."
    )
    access_level: list[AccessLevel] | None = strawberry.field(
        default=None, description="The member has one of these access levels."
    )
    search: str | None = strawberry.field(
        default=None,
        description="Each word is the beginning of a name, of the member number or of the e-mail "
        "address, in upper or lower case; at most 100 characters.",
    )
    changed_since: datetime | None = strawberry.field(
        default=None, description="The member was changed at this time or later."
    )

    def to_filter(self) -> MemberFilter:
        """Raises BadUserInputError."""
        if self.search and len(self.search) > MAX_SEARCH:
            length = len(self.search)
            raise BadUserInputError(
                f"There are {length} characters; the limit is {MAX_SEARCH}.", "search"
            )
        return MemberFilter(
            states=_one_of(self.state),
            role_codes=_texts(self.role, "role"),
            access_levels=_one_of(self.access_level),
            search=None if self.search is None else storable(self.search, "search"),
            changed_since=in_utc(self.changed_since, "changedSince"),
        )


@strawberry.input(name="MemberOrder", description="The order of members.")
class MemberOrderInput:
    field: MemberOrderField = strawberry.field(description="The field to order by.")
    direction: OrderDirection = strawberry.field(
        default=OrderDirection.ASC, description="The direction."
    )

    def to_order(self) -> MemberOrder:
        return MemberOrder(self.field, self.direction is OrderDirection.DESC)


@strawberry.input(
    name="SyncLogFilter", description="Conditions on sync-log entries, all of which must hold."
)
class SyncLogFilterInput:
    status: list[SyncStatus] | None = strawberry.field(
        default=None, description="The entry has one of these statuses."
    )
    outcome: list[SyncOutcome] | None = strawberry.field(
        default=None, description="The entry has one of these outcomes."
    )
    event_type: list[str] | None = strawberry.field(
        default=None, description="The event is of one of these types, such as `role-updated`."
    )
    source: list[str] | None = strawberry.field(
        default=None, description="The event came from one of these sources."
    )
    member_id: strawberry.ID | None = strawberry.field(
        default=None, description="The entry is about this member."
    )
    received_from: datetime | None = strawberry.field(
        default=None, description="The event was received at this time or later."
    )
    received_before: datetime | None = strawberry.field(
        default=None, description="The event was received before this time."
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
    """Converts a time to UTC. Raises BadUserInputError for one without a time zone."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise BadUserInputError(
            "Send the time with its zone, such as `2026-11-23T09:30:00Z`.", argument
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise BadUserInputError("This time is out of range.", argument) from error


OrganizationArgument = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="Restricts the list to this organization and those below it."),
]
MemberFilterArgument = Annotated[
    MemberFilterInput | None, strawberry.argument(description="Conditions on the members.")
]
MemberOrderArgument = Annotated[
    MemberOrderInput | None,
    strawberry.argument(description="The order; by default, by name."),
]
SyncLogFilterArgument = Annotated[
    SyncLogFilterInput | None, strawberry.argument(description="Conditions on the entries.")
]
