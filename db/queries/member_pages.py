"""Members as they are read: by page, by id, by what they are filtered and ordered by."""

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, case, exists, func, select, true

from db.driver.any_of import among, among_parameter
from db.driver.statement_cache import StatementCache, one_of
from db.queries.keyset import KeysetColumn, PageRequest, PageStatements, Slice, read_page
from db.queries.text_keys import folded_words
from db.queries.visibility import Sight, members_in, sight_shape, sight_values, visible_members
from db.sessions import ReadSession
from db.tables.models import Member, MemberFacts, Role, RoleAssignment
from db.vocabulary import AccessLevel, ActivationState, MemberId, OrganizationId, PortalId

ESCAPE = "/"


class MemberRow(msgspec.Struct, frozen=True):
    id: MemberId
    portal_id: PortalId
    member_number: str | None
    given_name: str | None
    family_name: str | None
    email: str | None
    phone: str | None
    state: ActivationState
    state_changed_at: datetime | None
    organization_id: OrganizationId | None
    updated_at: datetime


class MemberOrderField(Enum):
    NAME = "NAME"
    MEMBER_NUMBER = "MEMBER_NUMBER"
    UPDATED_AT = "UPDATED_AT"


@dataclass(frozen=True, slots=True)
class MemberOrder:
    field: MemberOrderField = MemberOrderField.NAME
    descending: bool = False

    def columns(self) -> tuple[KeysetColumn, ...]:
        expression = {
            MemberOrderField.NAME: Member.sort_name,
            MemberOrderField.MEMBER_NUMBER: Member.number_key,
            MemberOrderField.UPDATED_AT: Member.updated_at,
        }[self.field]
        return (KeysetColumn(expression, self.descending),)


@dataclass(frozen=True, slots=True)
class MemberFilter:
    """All given conditions must hold. `search`: every word begins a name, the number or e-mail."""

    states: frozenset[ActivationState] | None = None
    role_codes: frozenset[str] | None = None
    access_levels: frozenset[AccessLevel] | None = None
    search: str | None = None
    changed_since: datetime | None = None
    organization_ids: frozenset[OrganizationId] | None = None

    def matches(self, facts: MemberFacts) -> bool:
        return (
            (self.states is None or facts.state in self.states)
            and (self.role_codes is None or not self.role_codes.isdisjoint(facts.role_codes))
            and (self.access_levels is None or facts.access_level in self.access_levels)
            and (self.changed_since is None or facts.updated_at >= self.changed_since)
            and (
                self.organization_ids is None
                or not self.organization_ids.isdisjoint(facts.organization_ids)
            )
            and all(f" {word}" in facts.search_text for word in folded_words(self.search or ""))
        )

    def condition(self) -> ColumnElement[bool]:
        parts: list[ColumnElement[bool]] = [true()]
        values = self.values()
        if self.states is not None:
            parts.append(one_of(Member.state, self.states))
        if self.role_codes is not None:
            parts.append(_holds_one_of(self.role_codes))
        if self.access_levels is not None:
            parts.append(one_of(_access_level(), self.access_levels))
        if self.changed_since is not None:
            since = bindparam("changed_since", self.changed_since, type_=Member.updated_at.type)
            parts.append(Member.updated_at >= since)
        if self.organization_ids is not None:
            parts.append(members_in(self.organization_ids, "organization_ids"))
        parts += [
            Member.search_text.like(bindparam(name, value), escape=ESCAPE)
            for name, value in values.items()
            if name.startswith("word_")
        ]
        return and_(*parts)

    def shape(self) -> Hashable:
        """Filters of one shape make the same condition, but for the values of its parameters."""
        return self.states, self.access_levels, tuple(self.values()), bool(self.organization_ids)

    def values(self) -> dict[str, Any]:
        """The parameters of the condition."""
        values: dict[str, Any] = {}
        if self.role_codes is not None:
            values["role_codes"] = list(self.role_codes)
        if self.changed_since is not None:
            values["changed_since"] = self.changed_since
        if self.organization_ids is not None:
            values["organization_ids"] = list(self.organization_ids)
        for number, word in enumerate(folded_words(self.search or "")):
            values[f"word_{number}"] = f"% {_escaped(word)}%"
        return values


def _holds_one_of(role_codes: Collection[str]) -> ColumnElement[bool]:
    return (
        exists()
        .where(RoleAssignment.member_id == Member.id)
        .where(RoleAssignment.role_id == Role.id)
        .where(among(Role.code, role_codes, "role_codes"))
    )


def _escaped(word: str) -> str:
    """For LIKE: what would stand for other characters stands for itself."""
    for special in (ESCAPE, "%", "_"):
        word = word.replace(special, ESCAPE + special)
    return word


def _access_level() -> ColumnElement[Any]:
    highest = (
        select(func.max(Role.access_level, type_=Role.access_level.type))
        .join(RoleAssignment, RoleAssignment.role_id == Role.id)
        .where(RoleAssignment.member_id == Member.id)
        .correlate(Member)
        .scalar_subquery()
    )
    active = Member.state == ActivationState.ACTIVE
    return case((active, func.coalesce(highest, AccessLevel.NONE)), else_=AccessLevel.NONE)


_ROW = select(
    Member.id,
    Member.portal_id,
    Member.member_number,
    Member.given_name,
    Member.family_name,
    Member.email,
    Member.phone,
    Member.state,
    Member.state_changed_at,
    Member.organization_id,
    Member.updated_at,
)


_pages = PageStatements(Member.id)
_found = StatementCache()


async def member_page(
    session: ReadSession, sight: Sight, filter: MemberFilter, order: MemberOrder, page: PageRequest
) -> Slice[MemberRow]:
    shape = (sight_shape(sight), filter.shape(), order)
    statement = _pages.statement(
        shape,
        page,
        order.columns(),
        lambda: _ROW.where(visible_members(sight), filter.condition()),
    )
    values = sight_values(sight) | filter.values()
    found = await read_page(session, statement, page, values, keys=2)
    return found.map(lambda row: MemberRow(*row))


async def member_count(session: ReadSession, sight: Sight, filter: MemberFilter) -> int:
    statement = _found.statement(
        ("count", sight_shape(sight), filter.shape()),
        lambda: select(func.count(Member.id)).where(visible_members(sight), filter.condition()),
    )
    rows = await session.hot(statement, sight_values(sight) | filter.values())
    count: int = rows[0][0]
    return count


async def members_by_id(
    session: ReadSession, sight: Sight, ids: Collection[MemberId]
) -> dict[MemberId, MemberRow]:
    """Only those of them whom the sight shows."""
    if not ids:
        return {}
    statement = _found.statement(
        ("by id", sight_shape(sight)),
        lambda: _ROW.where(among_parameter(Member.id, "ids"), visible_members(sight)),
    )
    rows = await session.hot(statement, {"ids": list(ids), **sight_values(sight)})
    return {MemberId(row[0]): MemberRow(*row) for row in rows}


async def member_by_portal_id(
    session: ReadSession, sight: Sight, portal_id: PortalId
) -> MemberRow | None:
    statement = _found.statement(
        ("by portal id", sight_shape(sight)),
        lambda: _ROW.where(Member.portal_id == bindparam("portal_id"), visible_members(sight)),
    )
    rows = await session.hot(statement, {"portal_id": portal_id, **sight_values(sight)})
    return MemberRow(*rows[0]) if rows else None
