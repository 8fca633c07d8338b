"""Reads the rows that messages only point at. Such a message says *look at this row*: the answer is
what the row says at the moment of the reading."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from db.database import Database
from db.queries.log.entries import bodies_by_source
from db.queries.members.known_members import known_members
from db.queries.members.merges import survivors
from db.vocabulary import EntryId, PortalId
from sync.applying.overruled import without_overruled
from sync.errors import SourceUnreadableError
from sync.events import Event, RowMessage
from sync.recording.deliveries import read_content

ReadRow = bytes | SourceUnreadableError
"""The event that states everything of a member, or why it could not be read."""


class RowReader(Protocol):
    async def member(self, id: PortalId) -> bytes:
        """Returns the event that states everything of this member, as of now.

        Raises SourceUnreadableError.
        """
        ...


RowReaders = Mapping[str, RowReader]
"""By the name of the source."""

NO_READERS: RowReaders = {}


async def read_rows(
    database: Database, ids: Collection[EntryId], readers: RowReaders
) -> dict[EntryId, ReadRow]:
    """Returns what the rows say that these entries point at; the other entries are left out.

    Each row is read once, however many entries wait for it.
    """
    async with database.read() as session:
        bodies = await bodies_by_source(session, ids)
        contents = {id: (source, read_content(body)) for id, (source, body) in bodies.items()}
        pointed = {one.member_id for _, one in contents.values() if isinstance(one, RowMessage)}
        # A row that was merged into another one says nothing of the person any more.
        merged = await session.find(survivors(pointed)) if pointed else {}
    wanted: dict[tuple[str, PortalId], list[EntryId]] = {}
    for id, (source, content) in contents.items():
        if isinstance(content, RowMessage):
            row = merged.get(content.member_id, content.member_id)
            wanted.setdefault((source, row), []).append(id)
    rows = await asyncio.gather(*(_read(source, row, readers) for source, row in wanted))
    rows = await _without_overruled(database, rows)
    return {id: row for row, waiting in zip(rows, wanted.values(), strict=True) for id in waiting}


async def _without_overruled(database: Database, rows: Sequence[ReadRow]) -> list[ReadRow]:
    """Leaves out the rows that say what they said before a correction."""
    events = {
        row: content
        for row in rows
        if isinstance(row, bytes)
        if isinstance(content := read_content(row), Event)
    }
    if not events:
        return list(rows)
    async with database.read() as session:
        known = await known_members(session, [event.member_id for event in events.values()])
    return [
        without_overruled(row, event, known[event.member_id])
        if isinstance(row, bytes)
        and (event := events.get(row)) is not None
        and event.member_id in known
        else row
        for row in rows
    ]


async def _read(source: str, id: PortalId, readers: RowReaders) -> ReadRow:
    reader = readers.get(source)
    if reader is None:
        return SourceUnreadableError(f"There is no way to read rows of the source {source}.")
    try:
        return await reader.member(id)
    except SourceUnreadableError as error:
        return error
