"""Merges: which ids of the portal are of one person, and which member that is here."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Executable, delete, insert, or_, select, update

from db.driver.statements.any_of import any_of, any_of_parameter
from db.driver.statements.compiled_statements import CompiledStatement, SqlRow
from db.driver.statements.round_trips import Query
from db.sessions import ReadSession, WriteSession
from db.stamp import Stamp
from db.tables.models import Member, MemberMerge, RoleAssignment, SyncLogEntry
from db.vocabulary import MemberId, PortalId


class StatedMerge(NamedTuple):
    """`merged_id` was the same person as `into_id`, which lives on."""

    merged_id: PortalId
    into_id: PortalId
    stamp: Stamp


_IDS = CompiledStatement(
    select(MemberMerge.merged_id, MemberMerge.into_id, Member.portal_id)
    .join(Member, Member.id == MemberMerge.person_id)
    .where(
        or_(
            any_of_parameter(MemberMerge.merged_id, "portal_ids"),
            any_of_parameter(MemberMerge.into_id, "portal_ids"),
        )
    )
)


def survivors(portal_ids: Collection[PortalId]) -> Query[dict[PortalId, PortalId]]:
    """Returns the ids that live on of those of these ids that were merged into others."""
    wanted = set(portal_ids)

    def read(rows: Sequence[SqlRow]) -> dict[PortalId, PortalId]:
        return {
            PortalId(id): PortalId(survivor)
            for *pair, survivor in rows
            for id in pair
            if id in wanted and id != survivor
        }

    return Query(_IDS, {"portal_ids": list(wanted)}, read)


async def merges_of(session: ReadSession, portal_ids: Collection[PortalId]) -> list[StatedMerge]:
    """Returns all merges of the persons with these ids."""
    people = select(MemberMerge.person_id).where(
        or_(any_of(MemberMerge.merged_id, portal_ids), any_of(MemberMerge.into_id, portal_ids))
    )
    rows = await session.all(
        select(MemberMerge.merged_id, MemberMerge.into_id, MemberMerge.stamp).where(
            MemberMerge.person_id.in_(people)
        )
    )
    return [StatedMerge(PortalId(a), PortalId(b), Stamp(stamp)) for a, b, stamp in rows]


async def take_over(session: WriteSession, kept: MemberId, gone: MemberId) -> None:
    """Gives the log and the merges of a member to another one, and deletes the member."""
    of_gone: list[Executable] = [
        update(SyncLogEntry).where(SyncLogEntry.member_id == gone).values(member_id=kept),
        update(MemberMerge).where(MemberMerge.person_id == gone).values(person_id=kept),
        delete(RoleAssignment).where(RoleAssignment.member_id == gone),
        delete(Member).where(Member.id == gone),
    ]
    for statement in of_gone:
        await session.run(statement)


async def rename(session: WriteSession, member_id: MemberId, portal_id: PortalId) -> None:
    """Gives a member another id of the portal."""
    await session.run(update(Member).where(Member.id == member_id).values(portal_id=portal_id))


async def save_merges(
    session: WriteSession, person_id: MemberId, merges: Collection[StatedMerge]
) -> None:
    """Replaces all merges of a person."""
    await session.run(delete(MemberMerge).where(MemberMerge.person_id == person_id))
    for merge in merges:
        await session.run(insert(MemberMerge).values(**merge._asdict(), person_id=person_id))
