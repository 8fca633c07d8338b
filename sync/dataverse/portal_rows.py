"""Turns rows read over the Web API into statements: all of a member, as of the moment of the
reading."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from db.vocabulary import PortalId, canonical_portal_id
from sync.dataverse.mapping import ChoiceRoles, LinkedRoles, PortalMapping, RowRoles
from sync.dataverse.messages import Columns, Reference, Row
from sync.dataverse.statements import OSLO, all_hold, choices, day_of, document_of, member_statement
from sync.dataverse.web_api import JsonRow, TableQuery
from sync.events import EventType

_TABLE_OF_LOOKUP = "_{}_value@Microsoft.Dynamics.CRM.lookuplogicalname"

NO_CHAPTERS: Mapping[PortalId, dict[str, Any]] = {}

RoleKey = tuple[str, PortalId | None]


def member_query(mapping: PortalMapping) -> TableQuery:
    """Returns the query for members, with the roles they are linked to."""
    table = mapping.member
    columns = mapping.member_columns()
    lookups = {table.organization} if table.organization else set()
    linked = [rule for rule in mapping.role if isinstance(rule, LinkedRoles)]
    return TableQuery(
        table.entity_set,
        sorted(f"_{name}_value" if name in lookups else name for name in columns),
        expand=(linked[0].navigation, [linked[0].name]) if linked else None,
    )


def role_query(rule: RowRoles, member: PortalId | None = None) -> TableQuery:
    """Returns the query for the rows of roles, of one member or of all."""
    lookups = [rule.member, *([rule.organization] if rule.organization else [])]
    columns = [rule.id, rule.code, *rule.active]
    columns += [name for name in (rule.from_, rule.until) if name]
    return TableQuery(
        rule.entity_set,
        [*(f"_{name}_value" for name in lookups), *dict.fromkeys(columns)],
        filter=None if member is None else f"_{rule.member}_value eq {member}",
    )


def member_of_role(row: JsonRow, rule: RowRoles) -> PortalId | None:
    """Returns the member that a row of roles is about."""
    id = row.get(f"_{rule.member}_value")
    return canonical_portal_id(id) if isinstance(id, str) else None


def roles_of_rows(rows: Iterable[JsonRow], rule: RowRoles, at: datetime) -> set[RoleKey]:
    """Returns the roles that hold on the day, in Norway, of this moment."""
    today = at.astimezone(OSLO).date()
    roles: set[RoleKey] = set()
    for row in rows:
        begins = day_of(row.get(rule.from_)) if rule.from_ else None
        ends = day_of(row.get(rule.until)) if rule.until else None
        holds = all_hold(rule.active, row) is True
        if not holds or (begins and begins > today) or (ends and ends < today):
            continue
        where = row.get(f"_{rule.organization}_value") if rule.organization else None
        place = canonical_portal_id(where) if isinstance(where, str) else None
        roles |= {
            (rule.codes[choice], place)
            for choice in choices(row.get(rule.code))
            if choice in rule.codes
        }
    return roles


def chapter_query(mapping: PortalMapping) -> TableQuery:
    """Returns the query for chapters."""
    table = mapping.organization
    parent = [f"_{table.parent}_value"] if table.parent else []
    return TableQuery(table.entity_set, [table.id, table.name, *parent])


def chapter_of_row(row: JsonRow, mapping: PortalMapping) -> dict[str, Any]:
    """Returns a chapter as an event states it."""
    table = mapping.organization
    told: dict[str, Any] = {"id": canonical_portal_id(row[table.id])}
    if row[table.name]:
        told["name"] = row[table.name]
    if table.parent:
        told["parentId"] = row[f"_{table.parent}_value"]
    return told


def complete_document(
    row: JsonRow,
    held: set[RoleKey],
    mapping: PortalMapping,
    at: datetime,
    chapters: Mapping[PortalId, dict[str, Any]] = NO_CHAPTERS,
) -> dict[str, Any]:
    """Returns the event that states everything of the member, as of this moment.

    `held` are the roles of tables of their own, `chapters` what is known of chapters.
    """
    columns = _columns(row, mapping)
    id = canonical_portal_id(row[mapping.member.id])
    statement = member_statement(Row(mapping.member.entity, id, columns), mapping, at, whole=True)
    if "state" not in statement.data and statement.type is not EventType.MEMBERSHIP_STATED:
        ended = statement.type is EventType.MEMBERSHIP_DEACTIVATED
        statement.data["state"] = "INACTIVE" if ended else "ACTIVE"
    statement.type = EventType.MEMBERSHIP_STATED
    roles = held | _roles_of_member(row, columns, mapping)
    if mapping.role and not statement.only_if_known:
        statement.data["roles"] = [
            {"code": code, **({"organizationId": where} if where else {})}
            for code, where in sorted(roles, key=str)
        ]
    if home := statement.data.get("organization"):
        statement.data["organization"] = chapters.get(home["id"], home)
    statement.remarks = []
    document = document_of(statement, {})
    # What the log shows as its time. What counts is when it was read.
    times = {"happenedAt": row.get("modifiedon"), "readHere": True}
    return {**document, "translation": {**document.get("translation", {}), **times}}


def _roles_of_member(row: JsonRow, columns: Columns, mapping: PortalMapping) -> set[RoleKey]:
    roles: set[RoleKey] = set()
    for rule in mapping.role:
        if isinstance(rule, ChoiceRoles):
            given = choices(columns.get(rule.column))
            roles |= {(rule.codes[choice], None) for choice in given if choice in rule.codes}
        elif isinstance(rule, LinkedRoles):
            names = [linked.get(rule.name) for linked in row.get(rule.navigation) or ()]
            roles |= {(rule.codes[name], None) for name in names if name in rule.codes}
    return roles


def _columns(row: Mapping[str, Any], mapping: PortalMapping) -> Columns:
    columns: Columns = {}
    for name in mapping.member_columns():
        if name == mapping.member.organization:
            id = row.get(f"_{name}_value")
            table = row.get(_TABLE_OF_LOOKUP.format(name), mapping.organization.entity)
            columns[name] = Reference(table, canonical_portal_id(id)) if id else None
        else:
            columns[name] = row.get(name)
    return columns


def gone_document(id: PortalId, at: datetime) -> dict[str, Any]:
    """Returns the event of a row that is not there: who was a member is none any more."""
    return {
        "type": EventType.MEMBERSHIP_DEACTIVATED.value,
        "timestamp": at.isoformat(),
        "data": {"member": {"id": id}, "reason": "The row is no longer in the portal."},
        "translation": {"onlyIfKnown": True, "readHere": True},
    }


def encoded(document: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(document)
