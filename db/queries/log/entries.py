"""The sync log: the record of every event, written by the sync and read by administrators."""

from collections.abc import AsyncIterator, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import asdict
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from db.driver.statements.any_of import any_of, any_of_parameter
from db.driver.statements.compiled_statements import CompiledStatement, SqlRow
from db.driver.statements.round_trips import Query
from db.driver.statements.statement_cache import StatementCache, in_literals
from db.queries.filters import Filter, literal_condition, parameter_condition
from db.queries.keyset import KeysetColumn, PageRequest, PageStatements, Slice, read_page
from db.queries.members.visibility import Sight, sight_shape, sight_values, visible_entries
from db.queries.new_ids import new_ids
from db.queries.rows import columns_of
from db.sessions import ReadSession, WriteSession
from db.tables.facts import EntryFacts, FieldChange
from db.tables.models import IS_OPEN, Member, SyncLogEntry
from db.vocabulary import (
    EntryId,
    EntryMark,
    MemberId,
    OrganizationId,
    PortalId,
    SyncOutcome,
    SyncStatus,
)


class EntryRecord(msgspec.Struct, kw_only=True):
    """A log entry as it is written."""

    id: EntryId
    source: str
    event_id: str
    received_at: datetime
    payload: bytes
    status: SyncStatus
    event_type: str | None = None
    occurred_at: datetime | None = None
    processed_at: datetime | None = None
    outcome: SyncOutcome | None = None
    detail: str | None = None
    attempts: int = 0
    deliveries: int = 1
    next_attempt_at: datetime | None = None
    member_id: MemberId | None = None
    organization_id: OrganizationId | None = None
    field_changes: list[FieldChange] = msgspec.field(default_factory=list)
    mark: EntryMark | None = None


EventKey = tuple[str, str]
"""Source and event id."""


class EntryRow(msgspec.Struct, frozen=True):
    """A log entry as it is read."""

    id: EntryId
    source: str
    event_id: str
    event_type: str | None
    occurred_at: datetime | None
    received_at: datetime
    processed_at: datetime | None
    status: SyncStatus
    outcome: SyncOutcome | None
    detail: str | None
    attempts: int
    deliveries: int
    next_attempt_at: datetime | None
    member_id: MemberId | None
    organization_id: OrganizationId | None
    field_changes: list[FieldChange]


def entry_facts(entry: EntryRecord | EntryRow) -> EntryFacts:
    return EntryFacts(
        status=entry.status,
        outcome=entry.outcome,
        event_type=entry.event_type,
        source=entry.source,
        member_id=entry.member_id,
        organization_id=entry.organization_id,
        received_at=entry.received_at,
    )


_OPEN_STATUSES = frozenset(
    {SyncStatus.PENDING, SyncStatus.FAILED, SyncStatus.DEAD, SyncStatus.REJECTED}
)


def has_status(statuses: Collection[SyncStatus]) -> ColumnElement[bool]:
    """Selects the entries with one of these statuses. Open ones are few and have an index, which
    SQLite uses only if its condition stands in the statement word by word."""
    condition = in_literals(SyncLogEntry.status, statuses)
    return (
        and_(condition, IS_OPEN) if statuses and _OPEN_STATUSES.issuperset(statuses) else condition
    )


@dataclass(frozen=True, slots=True)
class EntryFilter(Filter[EntryFacts]):
    """Conditions on log entries. The time of receipt is within [from, before)."""

    statuses: frozenset[SyncStatus] | None = literal_condition(
        matches=lambda statuses, facts: facts.status in statuses,
        sql=has_status,
    )
    outcomes: frozenset[SyncOutcome] | None = literal_condition(
        matches=lambda outcomes, facts: facts.outcome in outcomes,
        sql=lambda outcomes: in_literals(SyncLogEntry.outcome, outcomes),
    )
    event_types: frozenset[str] | None = parameter_condition(
        "event_types",
        any_of_parameter(SyncLogEntry.event_type, "event_types"),
        matches=lambda types, facts: facts.event_type in types,
    )
    sources: frozenset[str] | None = parameter_condition(
        "sources",
        any_of_parameter(SyncLogEntry.source, "sources"),
        matches=lambda sources, facts: facts.source in sources,
    )
    member_id: MemberId | None = parameter_condition(
        "member_id",
        SyncLogEntry.member_id == bindparam("member_id"),
        matches=lambda member_id, facts: facts.member_id == member_id,
    )
    received_from: datetime | None = parameter_condition(
        "received_from",
        SyncLogEntry.received_at >= bindparam("received_from"),
        matches=lambda moment, facts: facts.received_at >= moment,
    )
    received_before: datetime | None = parameter_condition(
        "received_before",
        SyncLogEntry.received_at < bindparam("received_before"),
        matches=lambda moment, facts: facts.received_at < moment,
    )
    organization_ids: frozenset[OrganizationId] | None = parameter_condition(
        "organization_ids",
        any_of_parameter(SyncLogEntry.organization_id, "organization_ids"),
        matches=lambda ids, facts: facts.organization_id in ids,
    )


class EntrySelection(Protocol):
    """A condition on log entries: an EntryFilter, or the entries of a concern. Selections of one
    shape make the same condition, but for the values of its parameters."""

    def condition(self) -> ColumnElement[bool]: ...

    def shape(self) -> Hashable: ...

    def parameters(self) -> dict[str, Any]: ...


Recorded = dict[EventKey, tuple[EntryRow, bytes]]

ENTRY_COLUMNS = columns_of(EntryRow, SyncLogEntry)
_ROW = select(*ENTRY_COLUMNS)
_WITH_BODY = _ROW.add_columns(SyncLogEntry.payload)


def _each_by_its_key(entries: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Selects of these entries, with one look-up for each key.

    With a condition on the two lists, PostgreSQL before 17 may read all entries of a source, by a
    generic plan that it made while they were few.
    """
    lists = (bindparam(name, type_=ARRAY(Text)) for name in ("sources", "event_ids"))
    keys = func.unnest(*lists).table_valued("source", "event_id", name="wanted").render_derived()
    entry = entries.where(
        SyncLogEntry.source == keys.c.source, SyncLogEntry.event_id == keys.c.event_id
    ).lateral("entry")
    return select(*entry.c).select_from(keys.join(entry, true()))


def _all_with_these_keys(entries: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Selects of these entries; also others, if several sources use one event id."""
    return entries.where(
        any_of_parameter(SyncLogEntry.event_id, "event_ids"),
        any_of_parameter(SyncLogEntry.source, "sources"),
    )


_RECORDED = CompiledStatement(
    _each_by_its_key(_WITH_BODY.with_for_update()), on_sqlite=_all_with_these_keys(_WITH_BODY)
)
# Ids grow with the time of recording, so the id alone is the order.
_NEWEST_FIRST = (KeysetColumn(SyncLogEntry.id, descending=True),)


_pages = PageStatements(SyncLogEntry.id)
_found = StatementCache()


async def entry_page(
    session: ReadSession, sight: Sight, filter: EntrySelection, page: PageRequest
) -> Slice[EntryRow]:
    statement = _pages.statement(
        (sight_shape(sight), filter.shape()),
        page,
        _NEWEST_FIRST,
        lambda: _ROW.where(visible_entries(sight), filter.condition()),
    )
    values = sight_values(sight) | filter.parameters()
    found = await read_page(session, statement, page, values, keys=2)
    return found.map(lambda row: EntryRow(*row))


async def entry_count(session: ReadSession, sight: Sight, filter: EntrySelection) -> int:
    statement = _found.statement(
        ("count", sight_shape(sight), filter.shape()),
        lambda: select(func.count(SyncLogEntry.id)).where(
            visible_entries(sight), filter.condition()
        ),
    )
    rows = await session.rows(statement, sight_values(sight) | filter.parameters())
    count: int = rows[0][0]
    return count


async def newest_entries_of(
    session: ReadSession, sight: Sight, member_ids: Collection[MemberId], size: int
) -> dict[MemberId, Slice[EntryRow]]:
    """Returns the first page of each member, read by one statement."""
    statement = _found.statement(("newest of each", sight_shape(sight)), lambda: _newest(sight))
    parameters = {"member_ids": list(member_ids), "one_more": size + 1, **sight_values(sight)}
    found: dict[MemberId, list[EntryRow]] = {id: [] for id in member_ids}
    for row in await session.rows(statement, parameters):
        entry = EntryRow(*row)
        if entry.member_id is not None:
            found[entry.member_id].append(entry)
    return {
        member_id: Slice(
            rows=rows[:size],
            keys=[(row.id, row.id) for row in rows[:size]],
            has_next=len(rows) > size,
            has_previous=False,
        )
        for member_id, rows in found.items()
    }


def _newest(sight: Sight) -> Select[*tuple[Any, ...]]:
    newest_first = SyncLogEntry.id.desc()
    place = func.row_number().over(partition_by=SyncLogEntry.member_id, order_by=newest_first)
    ranked = (
        _ROW.add_columns(place.label("place"))
        .where(any_of_parameter(SyncLogEntry.member_id, "member_ids"), visible_entries(sight))
        .subquery()
    )
    columns = [ranked.c[column.key] for column in ENTRY_COLUMNS]
    return (
        select(*columns)
        .where(ranked.c.place <= bindparam("one_more", type_=Integer))
        .order_by(ranked.c.member_id, ranked.c.id.desc())
    )


async def entry_counts_of(
    session: ReadSession, sight: Sight, member_ids: Collection[MemberId]
) -> dict[MemberId, int]:
    statement = _found.statement(
        ("counts of each", sight_shape(sight)),
        lambda: (
            select(SyncLogEntry.member_id, func.count(SyncLogEntry.id))
            .where(any_of_parameter(SyncLogEntry.member_id, "member_ids"), visible_entries(sight))
            .group_by(SyncLogEntry.member_id)
        ),
    )
    rows = await session.rows(statement, {"member_ids": list(member_ids), **sight_values(sight)})
    counts = {MemberId(id): count for id, count in rows}
    return {id: counts.get(id, 0) for id in member_ids}


async def entries_by_id(
    session: ReadSession, sight: Sight, ids: Collection[EntryId]
) -> dict[EntryId, EntryRow]:
    """Returns those of these entries that are within the sight."""
    if not ids:
        return {}
    statement = _found.statement(
        ("by id", sight_shape(sight)),
        lambda: _ROW.where(any_of_parameter(SyncLogEntry.id, "ids"), visible_entries(sight)),
    )
    rows = await session.rows(statement, {"ids": list(ids), **sight_values(sight)})
    return {entry.id: entry for entry in (EntryRow(*row) for row in rows)}


async def bodies_by_source(
    session: ReadSession, ids: Collection[EntryId]
) -> dict[EntryId, tuple[str, bytes]]:
    """Returns the source and the raw body of each entry, whoever may see them."""
    statement = select(SyncLogEntry.id, SyncLogEntry.source, SyncLogEntry.payload)
    rows = await session.all(statement.where(any_of(SyncLogEntry.id, ids)))
    return {EntryId(id): (source, payload) for id, source, payload in rows}


async def payloads(session: ReadSession, ids: Collection[EntryId]) -> dict[EntryId, bytes]:
    """Returns the raw bodies. The caller decides who may see them."""
    statement = select(SyncLogEntry.id, SyncLogEntry.payload)
    rows = await session.all(statement.where(any_of(SyncLogEntry.id, ids)))
    return {EntryId(id): payload for id, payload in rows}


def recorded_entries(keys: Collection[EventKey]) -> Query[Recorded]:
    """Returns the entries with these keys and their bodies, locked until commit.

    On SQLite it may return others as well, if several sources use one event id.
    """
    return Query(_RECORDED, _key_parameters(keys), _recorded)


def _key_parameters(keys: Collection[EventKey]) -> dict[str, Any]:
    # Rows may be locked one after the other; a common order keeps transactions from a deadlock.
    ordered = sorted(set(keys))
    return {
        "sources": [source for source, _ in ordered],
        "event_ids": [event_id for _, event_id in ordered],
    }


async def entries_by_key(
    session: ReadSession, sight: Sight, keys: Collection[EventKey]
) -> list[EntryRow]:
    """Returns those of the entries with these keys that are within the sight."""
    select_entries = _all_with_these_keys if session.on_sqlite else _each_by_its_key
    statement = _found.statement(
        ("by key", session.on_sqlite, sight_shape(sight)),
        lambda: select_entries(_ROW.where(visible_entries(sight))),
    )
    rows = await session.rows(statement, {**_key_parameters(keys), **sight_values(sight)})
    entries = [EntryRow(*row) for row in rows]
    return [entry for entry in entries if (entry.source, entry.event_id) in keys]


class EntryOfMember(NamedTuple):
    """A log entry about a member, by its key."""

    member_id: MemberId
    portal_id: PortalId
    key: EventKey


async def keys_of(session: ReadSession, ids: Collection[EntryId]) -> list[EntryOfMember]:
    """Returns those of these entries that are about a member, whoever may see them."""
    statement = (
        select(Member.id, Member.portal_id, SyncLogEntry.source, SyncLogEntry.event_id)
        .join(Member, Member.id == SyncLogEntry.member_id)
        .where(any_of(SyncLogEntry.id, ids))
        .order_by(SyncLogEntry.id)
    )
    rows = await session.all(statement)
    return [
        EntryOfMember(MemberId(id), PortalId(portal_id), (source, event_id))
        for id, portal_id, source, event_id in rows
    ]


def _recorded(rows: Sequence[SqlRow]) -> Recorded:
    entries = [(EntryRow(*columns), payload) for *columns, payload in rows]
    return {(entry.source, entry.event_id): (entry, payload) for entry, payload in entries}


def new_entry_ids(count: int) -> Query[list[int]]:
    return new_ids(SyncLogEntry, count)


async def insert_entries(session: WriteSession, entries: Sequence[EntryRecord]) -> None:
    """Inserts entries, which have their ids already.

    ConcurrentWriteError, raised when they are sent, means that another process recorded one of the
    events first.
    """
    await session.insert(SyncLogEntry, [asdict(entry) for entry in entries])


async def save_deliveries(session: WriteSession, deliveries: Mapping[EntryId, int]) -> None:
    """Saves how often each event has been delivered."""
    rows = [{"row_id": id, "deliveries": count} for id, count in deliveries.items()]
    await session.update(SyncLogEntry, rows)


BODIES_AT_ONCE = 16
"""A body may have a megabyte."""


@dataclass(frozen=True, slots=True)
class RecordedBody:
    """The raw body of an applied event."""

    source: str
    event_id: str
    received_at: datetime
    payload: bytes


_BODIES = CompiledStatement(
    select(
        SyncLogEntry.id,
        SyncLogEntry.source,
        SyncLogEntry.event_id,
        SyncLogEntry.received_at,
        SyncLogEntry.payload,
    )
    .where(
        SyncLogEntry.member_id == bindparam("member_id", type_=BigInteger),
        SyncLogEntry.id > bindparam("after", type_=BigInteger),
        SyncLogEntry.processed_at.is_not(None),
        SyncLogEntry.outcome.is_distinct_from(SyncOutcome.IGNORED),
    )
    .order_by(SyncLogEntry.id)
    .limit(bindparam("limit", type_=Integer))
)


async def applied_bodies(
    session: ReadSession, member_id: MemberId
) -> AsyncIterator[list[RecordedBody]]:
    """Yields the bodies of all events that were applied to a member, stale or not.

    They come a few at a time, so that a long history needs no more memory than a short one. The
    status does not matter, since a replay may have changed it since.
    """
    after = 0
    while True:
        parameters = {"member_id": member_id, "after": after, "limit": BODIES_AT_ONCE}
        rows = await session.rows(_BODIES, parameters)
        if rows:
            yield [RecordedBody(*row[1:]) for row in rows]
        if len(rows) < BODIES_AT_ONCE:
            return
        after = rows[-1][0]
