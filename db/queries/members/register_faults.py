"""What is wrong with the register as a whole: who belongs to nobody, and what cannot be right."""

from typing import Any

import msgspec
from sqlalchemy import Text, and_, func, literal_column, select, type_coerce

from db.queries.chapters.national_body import NationalBody
from db.sessions import ReadSession
from db.tables.models import Member, Organization, Role
from db.vocabulary import ActivationState

_IS_ACTIVE = Member.state == ActivationState.ACTIVE
# The keys of this JSON object are the names of the parts that were stated.
_HAS_STATED_PARENT = type_coerce(Organization.as_of, Text).like(literal_column("'%\"parent\":%'"))


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
    undecided = select(func.count(Role.id)).where(Role.decided.is_(False))
    in_cycle = select(func.count(Organization.id)).where(Organization.in_cycle)
    homeless: dict[str, Any] = dict.fromkeys(
        ("homeless_members", "homeless_chapters", "second_roots")
    )
    national_body = (await session.first(select(body.id()), body.parameters()) or (None,))[0]
    if national_body is not None:
        without_parent = and_(
            Organization.stated_parent_id.is_(None), Organization.id != national_body
        )
        chapters = select(func.count(Organization.id)).where(without_parent)
        homeless = {
            "homeless_members": await session.scalar(
                select(func.count(Member.id)).where(_IS_ACTIVE, Member.organization_id.is_(None))
            ),
            "homeless_chapters": await session.scalar(chapters.where(~_HAS_STATED_PARENT)),
            "second_roots": await session.scalar(chapters.where(_HAS_STATED_PARENT)),
        }
    return RegisterFaults(
        undecided_roles=await session.scalar(undecided) or 0,
        in_cycle=await session.scalar(in_cycle) or 0,
        **homeless,
    )


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
