"""Organizations: the tree as it is read, and the records that events write."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import msgspec
from sqlalchemy import bindparam, func, select, text
from sqlalchemy.orm import aliased
from sqlalchemy.sql import Select

from db.driver.statements.any_of import any_of, any_of_parameter
from db.driver.statements.bulk import Rows
from db.driver.statements.compiled_statements import CompiledStatement, SqlRow
from db.driver.statements.round_trips import Query, Write
from db.queries.collation import collation_key
from db.queries.keyset import KeysetColumn, PageRequest, PageStatements, Slice, read_page
from db.queries.new_ids import new_ids
from db.queries.rows import columns_of
from db.sessions import ReadSession, WriteSession
from db.stamp import NEVER, Stamp
from db.tables.models import Member, Organization, RoleAssignment
from db.vocabulary import OrganizationId, PortalId


class OrganizationRow(msgspec.Struct, frozen=True):
    """A chapter as it is read."""

    id: OrganizationId
    portal_id: PortalId
    name: str | None
    parent_id: OrganizationId | None
    closed: bool
    sort_name: str


@dataclass(slots=True)
class OrganizationRecord:
    """A chapter as events write it. `as_of` has the stamps of `name`, `parent` and `closed` once
    stated. `parent_label` is the name of the stated parent, or else its id."""

    id: OrganizationId
    portal_id: PortalId
    name: str | None = None
    stated_parent_id: OrganizationId | None = None
    closed: bool = False
    in_cycle: bool = False
    as_of: dict[str, Stamp] = field(default_factory=dict)
    parent_label: str | None = None

    def label(self) -> str:
        return self.name or self.portal_id

    def copy(self) -> "OrganizationRecord":
        return replace(self, as_of=dict(self.as_of))


class TreeNode(NamedTuple):
    """A chapter's place in the tree; `stamp` is that of the stated parent."""

    id: OrganizationId
    parent_id: OrganizationId | None
    stated_parent_id: OrganizationId | None
    in_cycle: bool
    stamp: Stamp


NAME_ORDER = (KeysetColumn(Organization.sort_name),)
_ROW = select(*columns_of(OrganizationRow, Organization))
_BY_ID = CompiledStatement(_ROW.where(any_of_parameter(Organization.id, "ids")))
_OF_MEMBERS = CompiledStatement(
    _ROW.where(
        Organization.id.in_(
            select(Member.organization_id)
            .where(any_of_parameter(Member.portal_id, "portal_ids"))
            .union(
                select(RoleAssignment.organization_id)
                .join(Member, Member.id == RoleAssignment.member_id)
                .where(any_of_parameter(Member.portal_id, "portal_ids"))
            )
        )
    )
)
_Parent = aliased(Organization)
_RECORDS = CompiledStatement(
    select(
        Organization.id,
        Organization.portal_id,
        Organization.name,
        Organization.stated_parent_id,
        Organization.closed,
        Organization.in_cycle,
        Organization.as_of,
        func.coalesce(_Parent.name, _Parent.portal_id),
    )
    .join(_Parent, _Parent.id == Organization.stated_parent_id, isouter=True)
    .where(any_of_parameter(Organization.portal_id, "portal_ids"))
)
_TREE = CompiledStatement(
    select(
        Organization.id,
        Organization.parent_id,
        Organization.stated_parent_id,
        Organization.in_cycle,
        Organization.as_of,
    ).order_by(Organization.id)
)


_pages = PageStatements(Organization.id)


async def organization_page(session: ReadSession, page: PageRequest) -> Slice[OrganizationRow]:
    statement = _pages.statement((), page, NAME_ORDER, lambda: _ROW)
    rows = await read_page(session, statement, page, {}, keys=2)
    return rows.map(_organization_row)


async def page_below(
    session: ReadSession, parent_id: OrganizationId, page: PageRequest
) -> Slice[OrganizationRow]:
    """Returns a page of the chapters directly below one."""
    below = _ROW.where(Organization.parent_id == bindparam("parent_id"))
    statement = _pages.statement(("below",), page, NAME_ORDER, lambda: below)
    rows = await read_page(session, statement, page, {"parent_id": parent_id}, keys=2)
    return rows.map(_organization_row)


async def organization_count(session: ReadSession) -> int:
    return await session.scalar(select(func.count(Organization.id))) or 0


async def organizations_by_id(
    session: ReadSession, ids: Collection[OrganizationId]
) -> dict[OrganizationId, OrganizationRow]:
    if not ids:
        return {}
    return _organization_rows(await session.rows(_BY_ID, {"ids": list(ids)}))


async def organization_by_portal_id(
    session: ReadSession, portal_id: PortalId
) -> OrganizationRow | None:
    rows = await session.all(_ROW.where(Organization.portal_id == portal_id))
    return _organization_row(rows[0]) if rows else None


def organizations_of_members(
    portal_ids: Collection[PortalId],
) -> Query[dict[OrganizationId, OrganizationRow]]:
    """Returns the organizations where these members belong or hold roles."""
    return Query(_OF_MEMBERS, {"portal_ids": list(portal_ids)}, _organization_rows)


def _organization_rows(rows: Sequence[SqlRow]) -> dict[OrganizationId, OrganizationRow]:
    return {row.id: row for row in map(_organization_row, rows)}


_IDS = CompiledStatement(
    select(Organization.portal_id, Organization.id).where(
        any_of_parameter(Organization.portal_id, "portal_ids")
    )
)


def organization_ids(
    portal_ids: Collection[PortalId],
) -> Query[dict[PortalId, OrganizationId]]:
    """Returns the ids of those of these chapters that are known."""
    return Query(
        _IDS, {"portal_ids": list(portal_ids)}, lambda rows: {row[0]: row[1] for row in rows}
    )


async def organizations_below(
    session: ReadSession, parents: Collection[OrganizationId]
) -> dict[OrganizationId, list[OrganizationRow]]:
    """Returns the direct children of each organization, in the order of their pages."""
    statement = _ROW.where(any_of(Organization.parent_id, parents))
    name_order = [column.expression for column in NAME_ORDER]
    rows = await session.all(statement.order_by(*name_order, Organization.id))
    children: dict[OrganizationId, list[OrganizationRow]] = {parent: [] for parent in parents}
    for row in map(_organization_row, rows):
        if row.parent_id is not None:
            children[row.parent_id].append(row)
    return children


def first_page_of(rows: Sequence[OrganizationRow], size: int) -> Slice[OrganizationRow]:
    """Returns the first page of all direct children of a chapter."""
    page = rows[:size]
    keys = [(row.sort_name, row.id) for row in page]
    return Slice(page, keys, has_next=len(rows) > size, has_previous=False)


def _subtree_ids() -> Select[int]:
    """Selects the roots and everything below them. UNION rather than UNION ALL ends at a cycle in
    the portal's tree."""
    roots = any_of_parameter(Organization.id, "roots")
    tree = select(Organization.id).where(roots).cte("tree", recursive=True)
    below = select(Organization.id).join(tree, Organization.parent_id == tree.c.id)
    tree = tree.union(below)
    return select(tree.c.id)


_SUBTREE = CompiledStatement(_subtree_ids())


async def subtree(
    session: ReadSession, roots: Collection[OrganizationId]
) -> frozenset[OrganizationId]:
    if not roots:
        return frozenset()
    rows = await session.rows(_SUBTREE, {"roots": list(roots)})
    return frozenset(OrganizationId(row[0]) for row in rows)


def organization_records(
    portal_ids: Collection[PortalId],
) -> Query[dict[PortalId, OrganizationRecord]]:
    """Returns those of these chapters that are known, by portal id."""
    return Query(_RECORDS, {"portal_ids": list(portal_ids)}, _records)


def _records(rows: Sequence[SqlRow]) -> dict[PortalId, OrganizationRecord]:
    return {
        portal_id: OrganizationRecord(
            id, portal_id, name, stated_parent_id, closed, in_cycle, dict(as_of), parent_label
        )
        for id, portal_id, name, stated_parent_id, closed, in_cycle, as_of, parent_label in rows
    }


def whole_tree() -> Query[list[TreeNode]]:
    """Returns the place of every chapter."""
    return Query(_TREE, {}, _nodes)


def _nodes(rows: Sequence[SqlRow]) -> list[TreeNode]:
    return [
        TreeNode(id, parent_id, stated_parent_id, in_cycle, as_of.get("parent", NEVER))
        for id, parent_id, stated_parent_id, in_cycle, as_of in rows
    ]


async def save_tree(session: WriteSession, nodes: Sequence[TreeNode]) -> None:
    """Saves which parents count."""
    await session.update(
        Organization,
        [
            {"row_id": node.id, "parent_id": node.parent_id, "in_cycle": node.in_cycle}
            for node in nodes
        ],
    )


async def insert_stubs(
    session: WriteSession, portal_ids: Sequence[PortalId]
) -> list[OrganizationRecord]:
    """Inserts chapters of which nothing but the portal id is known, and returns them.

    ConcurrentWriteError, raised when they are sent, means that another process created one of
    them at the same moment.
    """
    if not portal_ids:
        return []
    ids = await session.find(new_ids(Organization, len(portal_ids)))
    stubs = [
        OrganizationRecord(OrganizationId(id), portal_id)
        for id, portal_id in zip(ids, portal_ids, strict=True)
    ]
    rows: Rows = [
        {
            "id": stub.id,
            "portal_id": stub.portal_id,
            "name": None,
            "sort_name": "",
            "parent_id": None,
            "stated_parent_id": None,
            "closed": False,
            "in_cycle": False,
            "as_of": {},
        }
        for stub in stubs
    ]
    await session.insert(Organization, rows)
    return stubs


async def save_organizations(session: WriteSession, records: Sequence[OrganizationRecord]) -> None:
    """Saves what is stated of chapters. Which parents count is saved by `save_tree`."""
    await session.update(
        Organization,
        [
            {
                "row_id": record.id,
                "name": record.name,
                "sort_name": collation_key(record.name),
                "stated_parent_id": record.stated_parent_id,
                "closed": record.closed,
                "as_of": record.as_of,
            }
            for record in records
        ],
    )


_ADVANCE = CompiledStatement(
    text(
        "UPDATE organizations SET as_of = jsonb_strip_nulls(jsonb_build_object("
        "'name', greatest(as_of::jsonb->>'name' COLLATE \"C\", given.name), "
        "'parent', greatest(as_of::jsonb->>'parent' COLLATE \"C\", given.parent), "
        "'closed', greatest(as_of::jsonb->>'closed' COLLATE \"C\", given.closed)))::text "
        "FROM unnest(CAST(:ids AS bigint[]), CAST(:names AS text[]), CAST(:parents AS text[]), "
        "CAST(:closed AS text[]), CAST(:known_names AS text[]), CAST(:known_parents AS bigint[]), "
        "CAST(:known_closed AS bool[]), CAST(:known_cycles AS bool[])) "
        "AS given(id, name, parent, closed, known_name, known_parent, known_closed, known_cycle) "
        "WHERE organizations.id = given.id "
        "AND organizations.name IS NOT DISTINCT FROM given.known_name "
        "AND organizations.stated_parent_id IS NOT DISTINCT FROM given.known_parent "
        "AND organizations.closed = given.known_closed "
        "AND organizations.in_cycle = given.known_cycle"
    )
)


async def advance_organizations(
    session: WriteSession, records: Sequence[OrganizationRecord]
) -> None:
    """Saves the stamps of chapters of which nothing else changes.

    Other transactions may do the same at the same time; the newest stamps stay.
    """
    if not records or session.on_sqlite:
        await save_organizations(session, records)
        return
    # Rows are locked one after the other; a common order keeps transactions from a deadlock.
    ordered = sorted(records, key=lambda record: record.id)
    parameters = {
        "ids": [record.id for record in ordered],
        "names": [record.as_of.get("name") for record in ordered],
        "parents": [record.as_of.get("parent") for record in ordered],
        "closed": [record.as_of.get("closed") for record in ordered],
        "known_names": [record.name for record in ordered],
        "known_parents": [record.stated_parent_id for record in ordered],
        "known_closed": [record.closed for record in ordered],
        "known_cycles": [record.in_cycle for record in ordered],
    }
    await session.rewrite(Organization, Write(_ADVANCE, parameters, expected=len(ordered)))


def _organization_row(row: SqlRow) -> OrganizationRow:
    return OrganizationRow(*row)
