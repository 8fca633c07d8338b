"""The data of a person in all tables, as far as the data map has them exported."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Table, select

from db.driver.statements.any_of import any_of_parameter
from db.queries.log.traces import ELSEWHERE, POINTERS, Traces
from db.sessions import ReadSession
from db.tables.data_map import DATA_MAP
from db.tables.models import AuditRecord, Base, Organization, Role
from db.vocabulary import AuditAction, EntryId, PortalId


class LookedAt(msgspec.Struct, frozen=True, rename="camel"):
    """A time at which somebody looked at, or did something about, the person's log entries."""

    at: datetime
    action: AuditAction
    detail: str | None


async def exported_rows(session: ReadSession, person: Traces) -> dict[str, list[dict[str, Any]]]:
    """Returns, by table, the exported columns of the rows about the person. Chapters and roles are
    named instead of numbered."""
    parameters = person.parameters()
    names = {
        "organization_id": dict(await _pairs(session, Organization.id, Organization.name)),
        "role_id": dict(await _pairs(session, Role.id, Role.name)),
    }
    found: dict[str, list[dict[str, Any]]] = {}
    for table in Base.metadata.sorted_tables:
        columns = exported_columns(table)
        if not columns or table.name in ELSEWHERE:
            continue
        name, parameter = POINTERS[table.name]
        rows = await session.all(
            select(*(table.c[column] for column in columns))
            .where(any_of_parameter(table.c[name], parameter))
            .order_by(*table.primary_key),
            parameters,
        )
        if rows:
            found[table.name] = [
                _readable(dict(zip(columns, row, strict=True)), names) for row in rows
            ]
    return found


def exported_columns(table: Table) -> list[str]:
    return [column.name for column in table.columns if DATA_MAP[table.name][column.name].export]


def kept_back() -> dict[str, str]:
    """Returns the reason for each column that tells of a person and is not exported."""
    return {
        f"{table}.{column}": handling.why
        for table, columns in DATA_MAP.items()
        for column, handling in columns.items()
        if not handling.export and handling.why is not None
    }


async def _pairs(session: ReadSession, id: Any, name: Any) -> list[tuple[int, str | None]]:
    return [(row[0], row[1]) for row in await session.all(select(id, name))]


def _readable(row: dict[str, Any], names: Mapping[str, Mapping[int, str | None]]) -> dict[str, Any]:
    for column, by_id in names.items():
        if column in row:
            number = row.pop(column)
            row[column.removesuffix("_id")] = by_id.get(number)
    return {
        column: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for column, value in row.items()
    }


async def looks_at(
    session: ReadSession, entry_ids: Collection[EntryId], portal_ids: Collection[PortalId]
) -> list[LookedAt]:
    """Returns when the audit trail has these entries, or acts of the person, oldest first."""
    wanted = set(entry_ids)
    actors = {f"member {id}" for id in portal_ids}
    rows = await session.all(
        select(
            AuditRecord.recorded_at,
            AuditRecord.action,
            AuditRecord.detail,
            AuditRecord.actor,
            AuditRecord.entry_ids,
        ).order_by(AuditRecord.id)
    )
    return [
        LookedAt(at, action, detail)
        for at, action, detail, actor, ids in rows
        if actor in actors or not wanted.isdisjoint(ids)
    ]
