"""Members as they are read: by page, with filter and order, or by id."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, func, or_, select, true

from db.driver.statements.any_of import any_of_parameter
from db.driver.statements.compiled_statements import CompiledStatement
from db.driver.statements.statement_cache import StatementCache, in_literals
from db.queries.filters import Filter, condition, literal_condition, parameter_condition
from db.queries.keyset import KeysetColumn, PageRequest, PageStatements, Slice, read_page
from db.queries.members.visibility import (
    Sight,
    members_in,
    sight_shape,
    sight_values,
    visible_members,
)
from db.queries.rows import columns_of
from db.queries.text_keys import WORD_STARTS, searched_words
from db.sessions import ReadSession
from db.stamp import Stamp
from db.tables.facts import MemberFacts
from db.tables.models import Member, MemberMerge, Role, RoleAssignment
from db.tables.profile import Profile
from db.vocabulary import AccessLevel, ActivationState, MemberId, OrganizationId, PortalId

ESCAPE = "/"


class MemberRow(Profile, frozen=True):
    """A member as they are read."""

    id: MemberId
    portal_id: PortalId
    state: ActivationState
    state_changed_at: datetime | None
    organization_id: OrganizationId | None
    updated_at: datetime


MEMBER_COLUMNS = columns_of(MemberRow, Member)


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


def _escaped(word: str) -> str:
    """Escapes the wildcards of LIKE."""
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


def _holds_any_role() -> ColumnElement[bool]:
    return (
        exists()
        .where(RoleAssignment.member_id == Member.id)
        .where(RoleAssignment.role_id == Role.id)
        .where(any_of_parameter(Role.code, "role_codes"))
    )


def _has_words(search: str) -> ColumnElement[bool]:
    kind = Member.search_text.type
    patterns = (bindparam(name, type_=kind) for name in _word_patterns(search))
    begins = [Member.search_text.like(pattern, escape=ESCAPE) for pattern in patterns]
    words = zip(begins[::2], begins[1::2], strict=True)
    return and_(true(), *(or_(name, second_part) for name, second_part in words))


def _word_patterns(search: str) -> dict[str, str]:
    return {
        f"word_{number}_{place}": f"%{before}{_escaped(word)}%"
        for number, word in enumerate(searched_words(search))
        for place, before in enumerate(WORD_STARTS)
    }


@dataclass(frozen=True, slots=True)
class MemberFilter(Filter[MemberFacts]):
    """Conditions on members. `search`: every word begins a name, the number or the e-mail."""

    states: frozenset[ActivationState] | None = literal_condition(
        matches=lambda states, facts: facts.state in states,
        sql=lambda states: in_literals(Member.state, states),
    )
    role_codes: frozenset[str] | None = parameter_condition(
        "role_codes",
        _holds_any_role(),
        matches=lambda codes, facts: not codes.isdisjoint(facts.role_codes),
    )
    access_levels: frozenset[AccessLevel] | None = literal_condition(
        matches=lambda levels, facts: facts.access_level in levels,
        sql=lambda levels: in_literals(_access_level(), levels),
    )
    search: str | None = condition(
        matches=lambda search, facts: all(
            any(f"{before}{word}" in facts.search_text for before in WORD_STARTS)
            for word in searched_words(search)
        ),
        sql=_has_words,
        shape=lambda search: len(searched_words(search)),
        parameters=_word_patterns,
    )
    changed_since: datetime | None = parameter_condition(
        "changed_since",
        Member.updated_at >= bindparam("changed_since", type_=Member.updated_at.type),
        matches=lambda since, facts: facts.updated_at >= since,
    )
    organization_ids: frozenset[OrganizationId] | None = condition(
        matches=lambda ids, facts: not ids.isdisjoint(facts.organization_ids),
        sql=lambda ids: members_in(ids, "organization_ids"),
        shape=bool,
        parameters=lambda ids: {"organization_ids": list(ids)},
    )


_ROW = select(*MEMBER_COLUMNS)


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
    values = sight_values(sight) | filter.parameters()
    found = await read_page(session, statement, page, values, keys=2)
    return found.map(lambda row: MemberRow(*row))


_STAMPS = CompiledStatement(
    select(Member.id, Member.as_of).where(any_of_parameter(Member.id, "ids"))
)


async def stamps_of(
    session: ReadSession, ids: Collection[MemberId]
) -> dict[MemberId, dict[str, Stamp]]:
    """Returns the stamps of the parts of these members, whoever may see them."""
    rows = await session.rows(_STAMPS, {"ids": list(ids)})
    return {MemberId(id): as_of for id, as_of in rows}


async def member_count(session: ReadSession, sight: Sight, filter: MemberFilter) -> int:
    statement = _found.statement(
        ("count", sight_shape(sight), filter.shape()),
        lambda: select(func.count(Member.id)).where(visible_members(sight), filter.condition()),
    )
    rows = await session.rows(statement, sight_values(sight) | filter.parameters())
    count: int = rows[0][0]
    return count


async def members_by_id(
    session: ReadSession, sight: Sight, ids: Collection[MemberId]
) -> dict[MemberId, MemberRow]:
    """Returns those of these members who are within the sight."""
    if not ids:
        return {}
    statement = _found.statement(
        ("by id", sight_shape(sight)),
        lambda: _ROW.where(any_of_parameter(Member.id, "ids"), visible_members(sight)),
    )
    rows = await session.rows(statement, {"ids": list(ids), **sight_values(sight)})
    return {member.id: member for member in (MemberRow(*row) for row in rows)}


# The member that the person with this id has become by a merge.
_MERGED = (
    select(func.min(MemberMerge.person_id))
    .where(
        or_(
            MemberMerge.merged_id == bindparam("portal_id"),
            MemberMerge.into_id == bindparam("portal_id"),
        )
    )
    .scalar_subquery()
)


async def member_by_portal_id(
    session: ReadSession, sight: Sight, portal_id: PortalId
) -> MemberRow | None:
    statement = _found.statement(
        ("by portal id", sight_shape(sight)),
        lambda: _ROW.where(
            or_(Member.portal_id == bindparam("portal_id"), Member.id == _MERGED),
            visible_members(sight),
        ),
    )
    rows = await session.rows(statement, {"portal_id": portal_id, **sight_values(sight)})
    return MemberRow(*rows[0]) if rows else None


async def member_ids(session: ReadSession, portal_ids: Collection[PortalId]) -> list[MemberId]:
    """Returns the ids of those of these members who are known."""
    rows = await session.all(select(Member.id).where(Member.portal_id.in_(portal_ids)))
    return [MemberId(id) for (id,) in rows]
