"""The traces of a person in all tables, and their removal as the data map has it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    LargeBinary,
    Table,
    Text,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)

from db.driver.statements.any_of import any_of_parameter
from db.queries.log.entries import EntryRow
from db.queries.rows import columns_of
from db.sessions import ReadSession, WriteSession
from db.tables.data_map import DATA_MAP, Erasure
from db.tables.facts import ChangeFacts, EntryFacts, MemberFacts
from db.tables.models import Base, Change, SyncLogEntry
from db.vocabulary import EntryId, MemberId, PortalId, SyncOutcome, SyncStatus

FORGOTTEN = "forgotten"
"""The text in the place of what pointed to a person who was forgotten."""
_OPEN = (SyncStatus.PENDING, SyncStatus.FAILED, SyncStatus.DEAD, SyncStatus.REJECTED)


@dataclass(frozen=True, slots=True)
class Traces:
    """A person by all that points to them: their ids in the portal, their number here, and the log
    entries about them."""

    portal_ids: Collection[PortalId]
    member_id: MemberId | None = None
    entry_ids: Collection[EntryId] = field(default=())

    def parameters(self) -> dict[str, list[Any]]:
        """Returns the values of what rows are pointed to by: see POINTERS."""
        return {
            "portal_ids": list(self.portal_ids),
            "member_ids": [] if self.member_id is None else [self.member_id],
            "entry_ids": list(self.entry_ids),
        }


class HeldEntry(msgspec.Struct, frozen=True):
    """A log entry about the person, with its body."""

    row: EntryRow
    payload: bytes


async def entries_about(
    session: ReadSession, member_id: MemberId | None, portal_ids: Collection[PortalId]
) -> list[HeldEntry]:
    """Returns the log entries of the member, and those of nobody whose bodies name these ids."""
    spelled = {
        written
        for id in portal_ids
        for plain in (id, id.replace("-", ""))
        for written in (plain, plain.upper())
    }
    named = or_(*(_names(session, text) for text in sorted(spelled)))
    unlinked = SyncLogEntry.member_id.is_(None) & (func.length(SyncLogEntry.payload) > 0) & named
    found = []
    conditions: list[ColumnElement[bool]] = [unlinked]
    if member_id is not None:
        conditions.append(SyncLogEntry.member_id == member_id)
    for condition in conditions:
        columns = (*columns_of(EntryRow, SyncLogEntry), SyncLogEntry.payload)
        for *row, payload in await session.all(select(*columns).where(condition)):
            found.append(HeldEntry(EntryRow(*row), payload))
    return found


def _names(session: ReadSession, text: str) -> ColumnElement[bool]:
    wanted = literal(text.encode(), LargeBinary)
    if session.on_sqlite:
        return func.instr(SyncLogEntry.payload, wanted) > 0
    return func.position(wanted.op("in")(SyncLogEntry.payload)) > 0


def facts_without_person(entry: EntryRow) -> EntryFacts:
    """Returns the facts of an entry once the person of whom it tells is forgotten."""
    is_open = entry.status in _OPEN
    return EntryFacts(
        status=SyncStatus.SKIPPED if is_open else entry.status,
        outcome=SyncOutcome.STALE if is_open else entry.outcome,
        event_type=entry.event_type,
        source=entry.source,
        member_id=None,
        organization_id=None,
        received_at=entry.received_at,
    )


def without_person(facts: MemberFacts) -> MemberFacts:
    """Returns the facts without the texts of the profile."""
    return msgspec.structs.replace(facts, search_text="")


async def remove_traces(
    session: WriteSession, person: Traces, now: datetime, *, begun_anew: bool = False
) -> dict[str, int]:
    """Does to each column what the data map says, and returns how many rows of each table it was.

    `begun_anew`: the rows of the member stay, since the person is known anew. Afterwards SQLite's
    files hold none of it. The audit trail is append-only and not touched.
    """
    parameters = person.parameters()
    counts: dict[str, int] = {}
    await _end_waiting(session, parameters, now)
    for table in reversed(Base.metadata.sorted_tables):
        if begun_anew and table.name in ("members", "role_assignments"):
            continue
        for condition, values in _removals(table):
            statement = (
                delete(table).where(condition)
                if values is None
                else update(table).where(condition).values(values)
            )
            count = (await session.run(statement, parameters)).rowcount
            if count:
                counts[table.name] = max(counts.get(table.name, 0), count)
    if cleared := await _clear_facts(session, person.member_id):
        counts["changes"] = cleared
    session.removes_for_good = True
    return counts


async def _end_waiting(session: WriteSession, parameters: Mapping[str, Any], now: datetime) -> None:
    """Ends what was to be tried again; there is nothing left to try."""
    mine = any_of_parameter(SyncLogEntry.id, "entry_ids")
    closed = {"status": SyncStatus.SKIPPED, "outcome": SyncOutcome.STALE}
    await session.run(
        update(SyncLogEntry).where(mine, SyncLogEntry.status.in_(_OPEN)).values(closed), parameters
    )
    await session.run(
        update(SyncLogEntry)
        .where(mine, SyncLogEntry.body_removed_at.is_(None))
        .values(body_removed_at=now),
        parameters,
    )


async def _clear_facts(session: WriteSession, member_id: MemberId | None) -> int:
    """Takes the profile out of the feed, and leaves there who sees what has changed."""
    if member_id is None:
        return 0
    rows = await session.all(
        select(Change.position, Change.facts).where(Change.member_id == member_id)
    )
    for position, facts in rows:
        await session.run(
            update(Change)
            .where(Change.position == position)
            .values(facts=_facts_without_person(facts))
        )
    return len(rows)


def _facts_without_person(facts: ChangeFacts) -> ChangeFacts:
    before, after = facts.member_before, facts.member_after
    return msgspec.structs.replace(
        facts,
        member_before=None if before is None else without_person(before),
        member_after=None if after is None else without_person(after),
    )


Removal = tuple[ColumnElement[bool], dict[str, Any] | None]
"""The rows of a person, and the values that they get; None if the rows are deleted."""

# By what a row, or one column of it, points to a person: each name is one of the parameters.
POINTERS: Mapping[str, tuple[str, str]] = {
    "members": ("id", "member_ids"),
    "member_merges": ("person_id", "member_ids"),
    "role_assignments": ("member_id", "member_ids"),
    "sync_log": ("id", "entry_ids"),
    "sync_attempts": ("entry_id", "entry_ids"),
    "sync_attempts.actor": ("actor", "portal_ids"),
    "drift_lines": ("portal_id", "portal_ids"),
    "held_items": ("portal_id", "portal_ids"),
    "overruled_statements": ("portal_id", "portal_ids"),
    "concerns.acknowledged_by": ("acknowledged_by", "portal_ids"),
}
ELSEWHERE = frozenset({"audit_trail", "changes"})
"""Tables that are not treated column by column: one is append-only, the other keeps facts."""


def _removals(table: Table) -> Sequence[Removal]:
    if table.name in ELSEWHERE:
        return ()
    by_pointer: dict[tuple[str, str], dict[str, Any]] = {}
    removals: list[Removal] = []
    for column in table.columns:
        erasure = DATA_MAP[table.name][column.name].erasure
        if erasure is Erasure.KEEP:
            continue
        pointer = POINTERS.get(f"{table.name}.{column.name}") or POINTERS[table.name]
        if erasure is Erasure.DELETE:
            return [(_points(table, pointer), None)]
        values = by_pointer.setdefault(pointer, {})
        values[column.name] = _VALUES[erasure](column)
    removals += [(_points(table, pointer), values) for pointer, values in by_pointer.items()]
    return removals


def _points(table: Table, pointer: tuple[str, str]) -> ColumnElement[bool]:
    name, parameter = pointer
    return any_of_parameter(table.c[name], parameter)


def _empty(column: Column[Any]) -> Any:
    if column.nullable:
        return None
    return b"" if isinstance(column.type, LargeBinary) else []


def _replaced(column: Column[Any]) -> Any:
    if column is SyncLogEntry.__table__.c.event_id:
        # It stays unique.
        return literal(f"{FORGOTTEN}-").concat(cast(SyncLogEntry.id, Text))
    return FORGOTTEN


_VALUES: Mapping[Erasure, Callable[[Column[Any]], Any]] = {
    Erasure.CLEAR: _empty,
    Erasure.REPLACE: _replaced,
}
