"""Reads sync-log entries with their members, organizations and attempts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from db.database import Database
from db.feed.changes import Cursor, feed_head
from db.queries.chapters.organizations import OrganizationRow, organizations_by_id
from db.queries.keyset import PageRequest, Slice
from db.queries.log.attempt_records import Attempt, attempts_of
from db.queries.log.entries import (
    EntryRow,
    EntrySelection,
    entries_by_id,
    entry_count,
    entry_counts_of,
    entry_page,
    newest_entries_of,
)
from db.queries.members.visibility import Sight
from db.sessions import ReadSession
from db.vocabulary import AttemptTrigger, EntryId, MemberId
from resolvers.members import MemberFields, MemberView, member_views

MILLISECOND = timedelta(milliseconds=1)
LONGEST_LAG_MS = 2**31 - 1
"""The largest Int of GraphQL, about 25 days. Events may be replayed later than that."""


@dataclass(frozen=True, slots=True)
class EntryFields:
    """The requested fields that cost a statement of their own."""

    member: MemberFields | None = None
    organization: bool = False
    attempts: bool = False


class EntryView(msgspec.Struct, frozen=True):
    row: EntryRow
    member: MemberView | None
    organization: OrganizationRow | None
    attempts: Sequence[Attempt] = ()

    @property
    def lag_ms(self) -> int | None:
        if self.row.processed_at is None:
            return None
        lag_ms = round((self.row.processed_at - self.row.received_at) / MILLISECOND)
        return min(lag_ms, LONGEST_LAG_MS)


@dataclass(frozen=True, slots=True)
class EntryPage:
    entries: Slice[EntryView]
    total: int | None
    cursor: Cursor | None


async def page_of_entries(
    database: Database,
    sight: Sight,
    filter: EntrySelection,
    page: PageRequest,
    fields: EntryFields,
    *,
    want_total: bool,
    want_cursor: bool,
) -> EntryPage:
    """Reads a page. The cursor, if wanted, is of the same snapshot as the page."""
    async with database.read(snapshot=want_cursor) as session:
        cursor = await feed_head(session) if want_cursor else None
        found = await entry_page(session, sight, filter, page)
        views = await view_entries(session, sight, found.rows, fields)
        total = await entry_count(session, sight, filter) if want_total else None
    return EntryPage(Slice(views, found.keys, found.has_next, found.has_previous), total, cursor)


@dataclass(frozen=True, slots=True)
class FirstPage:
    """The request for the newest entries of each of several members."""

    size: int
    fields: EntryFields
    want_total: bool
    want_cursor: bool


async def first_pages_of(
    database: Database, sight: Sight, member_ids: Collection[MemberId], asked: FirstPage
) -> dict[MemberId, EntryPage]:
    """Reads the newest entries of all members with as many statements as for one of them."""
    async with database.read(snapshot=asked.want_cursor) as session:
        cursor = await feed_head(session) if asked.want_cursor else None
        found = await newest_entries_of(session, sight, member_ids, asked.size)
        rows = [row for page in found.values() for row in page.rows]
        views = {v.row.id: v for v in await view_entries(session, sight, rows, asked.fields)}
        totals: Mapping[MemberId, int] = {}
        if asked.want_total:
            totals = await entry_counts_of(session, sight, member_ids)
    return {
        member_id: EntryPage(page.map(lambda row: views[row.id]), totals.get(member_id), cursor)
        for member_id, page in found.items()
    }


async def entry_views(
    session: ReadSession, sight: Sight, ids: Collection[EntryId], fields: EntryFields
) -> dict[EntryId, EntryView]:
    """Returns those of the entries that the sight shows."""
    rows = await entries_by_id(session, sight, ids)
    views = await view_entries(session, sight, list(rows.values()), fields)
    return {view.row.id: view for view in views}


async def view_entries(
    session: ReadSession, sight: Sight, rows: Sequence[EntryRow], fields: EntryFields
) -> list[EntryView]:
    """Loads the fields of all rows, which the sight shows."""
    members = {}
    if fields.member is not None:
        ids = {row.member_id for row in rows if row.member_id is not None}
        members = await member_views(session, sight, ids, fields.member)
    organizations = {}
    if fields.organization:
        places = {row.organization_id for row in rows if row.organization_id is not None}
        organizations = await organizations_by_id(session, places)
    attempts = await attempts_of(session, [row.id for row in rows]) if fields.attempts else {}
    return [
        EntryView(
            row,
            members.get(row.member_id) if row.member_id is not None else None,
            organizations.get(row.organization_id) if row.organization_id is not None else None,
            (attempts.get(row.id) or _only_attempt(row)) if fields.attempts else (),
        )
        for row in rows
    ]


def _only_attempt(row: EntryRow) -> list[Attempt]:
    """Returns the one attempt of an entry that succeeded at once, which has no row of its own."""
    if not row.attempts:
        return []
    return [
        Attempt(
            entry_id=row.id,
            attempted_at=row.processed_at or row.received_at,
            trigger=AttemptTrigger.DELIVERY,
            status=row.status,
            outcome=row.outcome,
            detail=row.detail,
        )
    ]
