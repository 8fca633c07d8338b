"""Reads which event decided each part of a member."""

from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec

from db.database import Database
from db.queries.log.entries import EventKey, entries_by_key
from db.queries.members.member_pages import stamps_of
from db.queries.members.visibility import Sight
from db.stamp import Stamp, key_of, stamped_at
from db.tables.profile import PROFILE_FIELDS
from db.vocabulary import MemberId
from resolvers.sync_log import EntryFields, EntryView, view_entries

# By the names of stamps, each with its name in the API, in the order of the API.
_PARTS = {**PROFILE_FIELDS, "organization": "organization", "roles": "roles", "state": "state"}


class PartView(msgspec.Struct, frozen=True):
    """A part of a member, with when it was stated, and the entry if the sight shows it."""

    part: str
    stated_at: datetime
    entry: EntryView | None


async def provenance_of(
    database: Database, sight: Sight, member_ids: Collection[MemberId], fields: EntryFields | None
) -> dict[MemberId, list[PartView]]:
    """Returns the parts of each member that were stated. The caller decides who may see them.

    Without `fields`, entries are not read. The number of statements does not depend on how many
    members there are.
    """
    async with database.read() as session:
        stamps = await stamps_of(session, member_ids)
        entries: dict[EventKey, EntryView] = {}
        if fields is not None:
            keys = {key_of(stamp) for known in stamps.values() for stamp in known.values()}
            rows = await entries_by_key(session, sight, keys)
            for view in await view_entries(session, sight, rows, fields):
                entries[view.row.source, view.row.event_id] = view
    return {id: _parts(stamps.get(id, {}), entries) for id in member_ids}


def _parts(stamps: Mapping[str, Stamp], entries: Mapping[EventKey, EntryView]) -> list[PartView]:
    return [
        PartView(name, stamped_at(stamps[part]), entries.get(key_of(stamps[part])))
        for part, name in _PARTS.items()
        if part in stamps
    ]
