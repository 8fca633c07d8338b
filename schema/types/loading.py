"""Loads what a query asks for: the requested fields, the filters, and rows that many objects need,
read together."""

from collections.abc import Sequence
from dataclasses import replace

from db.queries.chapters.organizations import (
    OrganizationRow,
    organizations_below,
    organizations_by_id,
    subtree,
)
from db.queries.chapters.roles import role_holder_counts
from db.queries.log.audit_trail import Act, record_act
from db.queries.log.entries import EntryFilter, payloads
from db.queries.members.member_pages import MemberFilter
from db.vocabulary import AuditAction, EntryId, MemberId, OrganizationId, RoleId
from resolvers.members import MemberFields
from resolvers.provenance import PartView, provenance_of
from resolvers.sync_log import EntryFields, EntryPage, FirstPage, first_pages_of
from schema.access import require_viewer
from schema.context import Context, Info
from schema.engine.lookahead import selected
from schema.types.inputs import MemberFilterInput, SyncLogFilterInput
from schema.types.opaque import row_id


def member_fields(info: Info, *path: str) -> MemberFields:
    """Returns what to load for the members at the path below the current field."""
    fields = selected(info, *path)
    roles = not fields.isdisjoint({"roles", "accessLevel"})
    places = "organization" in fields or "organization" in selected(info, *path, "roles")
    return MemberFields(roles=roles, organizations=places)


def entry_fields(info: Info, *path: str) -> EntryFields:
    """Returns what to load for the sync-log entries at the path below the current field."""
    fields = selected(info, *path)
    member = member_fields(info, *path, "member") if "member" in fields else None
    return EntryFields(
        member, organization="organization" in fields, attempts="attemptHistory" in fields
    )


async def member_filter(
    context: Context, organization_id: str | None, given: MemberFilterInput | None
) -> MemberFilter:
    """Raises BadUserInputError."""
    organizations = await _subtree(context, organization_id)
    return replace((given or MemberFilterInput()).to_filter(), organization_ids=organizations)


async def entry_filter(
    context: Context, organization_id: str | None, given: SyncLogFilterInput | None
) -> EntryFilter:
    """Raises BadUserInputError."""
    organizations = await _subtree(context, organization_id)
    return replace((given or SyncLogFilterInput()).to_filter(), organization_ids=organizations)


async def _subtree(context: Context, id: str | None) -> frozenset[OrganizationId] | None:
    """Returns the organization and those below it; None when no organization is given."""
    if id is None:
        return None
    root = OrganizationId(row_id(id, "Organization", "organizationId"))
    async with context.database.read() as session:
        return await subtree(session, [root])


async def organizations(
    context: Context, ids: Sequence[OrganizationId]
) -> list[OrganizationRow | None]:
    async with context.database.read() as session:
        found = await organizations_by_id(session, ids)
    return [found.get(id) for id in ids]


async def children(context: Context, ids: Sequence[OrganizationId]) -> list[list[OrganizationRow]]:
    """Returns the chapters directly below each of the organizations."""
    async with context.database.read() as session:
        found = await organizations_below(session, ids)
    return [found[id] for id in ids]


async def holder_counts(context: Context, ids: Sequence[RoleId]) -> list[int]:
    async with context.database.read() as session:
        found = await role_holder_counts(session, ids)
    return [found[id] for id in ids]


async def first_entries(
    context: Context, asked: Sequence[tuple[MemberId, FirstPage]]
) -> list[EntryPage]:
    """Returns the newest log entries of each of the members, with as few statements as pages."""
    viewer = await require_viewer(context)
    members: dict[FirstPage, list[MemberId]] = {}
    for member_id, page in asked:
        members.setdefault(page, []).append(member_id)
    found = {
        page: await first_pages_of(context.database, viewer.sight, ids, page)
        for page, ids in members.items()
    }
    return [found[page][member_id] for member_id, page in asked]


async def provenance(
    context: Context,
    asked: Sequence[tuple[MemberId, OrganizationId | None, EntryFields | None]],
) -> list[list[PartView]]:
    """Returns the provenance of members with these homes; nothing to those who may not see it."""
    sight = (await require_viewer(context)).sight
    wanted: dict[EntryFields | None, list[MemberId]] = {}
    for member_id, home, fields in asked:
        if sight.sees_entry(home):
            wanted.setdefault(fields, []).append(member_id)
    found = {
        fields: await provenance_of(context.database, sight, ids, fields)
        for fields, ids in wanted.items()
    }
    return [
        found[fields][member_id] if sight.sees_entry(home) else []
        for member_id, home, fields in asked
    ]


async def bodies(context: Context, ids: Sequence[EntryId]) -> list[bytes | None]:
    """Returns the bodies of events, and records that the viewer has read them.

    None for viewers who may not read them.
    """
    if not (await require_viewer(context)).is_national:
        return [None] * len(ids)
    # A body that is asked for twice, under another alias, is read once.
    entries = sorted(set(ids))
    await record_reading(context, AuditAction.PAYLOADS_READ, entries)
    async with context.database.read() as session:
        found = await payloads(session, entries)
    return [found.get(id) for id in ids]


async def values_recorded(context: Context, ids: Sequence[EntryId]) -> list[None]:
    """Records that the viewer reads the values in the changes of these entries."""
    await record_reading(context, AuditAction.VALUES_READ, sorted(set(ids)))
    return [None] * len(ids)


async def record_reading(
    context: Context, action: AuditAction, entries: Sequence[EntryId], detail: str | None = None
) -> None:
    """Records what is going to be read, in a transaction of its own. What cannot be recorded is
    not shown, since the error ends the field."""
    async with context.database.write() as session:
        act = Act(context.actor, action, entries, detail=detail)
        await record_act(session, act, context.clock())


def asks_for_values(info: Info, *path: str) -> bool:
    """Returns True if values of the changes at the path below the current field are asked for."""
    return not selected(info, *path).isdisjoint({"before", "after"})
