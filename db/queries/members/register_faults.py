"""What is wrong with the register as a whole: who belongs to nobody, and what cannot be right."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, ScalarSelect, and_, func, select

from db.queries.chapters.national_body import HAS_STATED_PARENT, NationalBody
from db.sessions import ReadSession
from db.tables.models import Member, Organization, Role
from db.vocabulary import ActivationState

_IS_ACTIVE = Member.state == ActivationState.ACTIVE


class RegisterFaults(msgspec.Struct, frozen=True):
    """Counts. The chapters and members without a place are None while no national body is known.

    `undecided_roles` have no access level of their own yet; `in_cycle` are chapters below each
    other in a circle.
    """

    undecided_roles: int
    in_cycle: int
    homeless_members: int | None
    homeless_chapters: int | None
    second_roots: int | None


async def register_faults(session: ReadSession, body: NationalBody) -> RegisterFaults:
    without_parent = and_(Organization.stated_parent_id.is_(None), Organization.id != body.id())
    counts = (
        _count(Role.decided.is_(False)),
        _count(Organization.in_cycle.is_(True)),
        _count(_IS_ACTIVE, Member.organization_id.is_(None)),
        _count(without_parent, ~HAS_STATED_PARENT),
        _count(without_parent, HAS_STATED_PARENT),
    )
    rows: Sequence[Any] = await session.all(select(*counts, body.id()), body.parameters())
    undecided_roles, in_cycle, *without_place, national_body = rows[0]
    if national_body is None:
        without_place = [None] * len(without_place)
    return RegisterFaults(undecided_roles, in_cycle, *without_place)


def _count(*conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).where(*conditions).scalar_subquery()


async def shared_numbers(session: ReadSession) -> int:
    """Returns how many member numbers several active members have; reads all active members."""
    shared = (
        select(Member.number_key)
        .where(_IS_ACTIVE, Member.number_key != "")
        .group_by(Member.number_key)
        .having(func.count() > 1)
        .subquery()
    )
    return await session.scalar(select(func.count()).select_from(shared)) or 0


async def active_members(session: ReadSession) -> int:
    """Returns the number of active members."""
    return await session.scalar(select(func.count(Member.id)).where(_IS_ACTIVE)) or 0
