"""Checks a mapping against the environment it is for: tables, columns, change tracking, privileges.

It reads definitions and a page of rows, and changes nothing.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from sync.dataverse.errors import PortalError
from sync.dataverse.mapping import PortalMapping, RowRoles
from sync.dataverse.portal_rows import chapter_query, member_query, role_query
from sync.dataverse.web_api import TableQuery, WebApi

# Not columns of the mapping, but of every table.
_OF_EVERY_TABLE = {"modifiedon", "versionnumber"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`advice` says how to put right what is wrong; None: it is right."""

    what: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class _Table:
    entity: str
    entity_set: str
    columns: set[str]
    query: TableQuery


async def check_mapping(api: WebApi, mapping: PortalMapping) -> AsyncIterator[Finding]:
    """Yields a finding for each thing that was looked at, right or wrong."""
    for table in _tables(mapping):
        try:
            definition = await api.definition(table.entity)
        except PortalError as error:
            yield Finding(f"the definition of {table.entity}", str(error))
            continue
        if definition is None:
            yield Finding(
                f"the table {table.entity}",
                "There is none of this name, or the application user may not see it.",
            )
            continue
        yield Finding(f"the table {table.entity}")
        if definition.entity_set != table.entity_set:
            advice = f"Its entity_set is {definition.entity_set}; correct it in the mapping."
            yield Finding(f"entity_set = {table.entity_set}", advice)
        known = {attribute.name for attribute in definition.attributes}
        for column in sorted(table.columns - known):
            advice = f"The table {table.entity} has no such column; correct it in the mapping."
            yield Finding(f"the column {column}", advice)
        yield Finding(
            f"change tracking of {table.entity}",
            None
            if definition.tracked
            else "Switch on *Track changes* in the properties of the table; without it, only the "
            "daily reading finds what no webhook has told.",
        )
        yield await _readable(api, table)


async def _readable(api: WebApi, table: _Table) -> Finding:
    what = f"reading rows of {table.entity}"
    try:
        await api.first_row(table.query)
    except PortalError as error:
        return Finding(what, f"{error} Give the application user a role that may read the table.")
    return Finding(what)


def _tables(mapping: PortalMapping) -> Iterator[_Table]:
    columns = mapping.member_columns() - _OF_EVERY_TABLE
    member = mapping.member
    yield _Table(member.entity, member.entity_set, columns, member_query(mapping))
    chapter = mapping.organization
    told = [chapter.id, chapter.name, chapter.parent, *chapter.active]
    columns = {name for name in told if name}
    yield _Table(chapter.entity, chapter.entity_set, columns, chapter_query(mapping))
    for rule in mapping.role:
        if isinstance(rule, RowRoles):
            told = [rule.id, rule.member, rule.organization, rule.code, rule.from_, rule.until]
            columns = {name for name in told if name} | set(rule.active)
            yield _Table(rule.entity, rule.entity_set, columns, role_query(rule))
