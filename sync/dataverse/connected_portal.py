"""The members of the portal, read over its Web API: one, or all of them."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

from db.vocabulary import PortalId, canonical_portal_id
from sync.dataverse.errors import DeltaExpiredError
from sync.dataverse.mapping import PortalMapping, RowRoles
from sync.dataverse.portal_rows import (
    RoleKey,
    chapter_of_row,
    chapter_query,
    complete_document,
    encoded,
    gone_document,
    member_of_role,
    member_query,
    role_query,
    roles_of_rows,
)
from sync.dataverse.web_api import TableQuery, WebApi

DeltaLinks = dict[str, str]
"""By entity set."""


class DataversePortal:
    """What it says it says as of the moment at which a reading began."""

    def __init__(self, api: WebApi, mapping: PortalMapping, clock: Callable[[], datetime]) -> None:
        self._api = api
        self._mapping = mapping
        self._clock = clock
        self._role_tables = [rule for rule in mapping.role if isinstance(rule, RowRoles)]

    async def member(self, id: PortalId) -> bytes:
        """Returns the event that states everything of this member, or that there is none.

        Raises PortalUnavailableError or PortalRefusedError.
        """
        at = self._clock()
        row = await self._api.row(member_query(self._mapping), id)
        if row is None:
            return encoded(gone_document(id, at))
        held: set[RoleKey] = set()
        for rule in self._role_tables:
            rows = [role async for role in self._api.rows(role_query(rule, id))]
            held |= roles_of_rows(rows, rule, at)
        return encoded(complete_document(row, held, self._mapping, at))

    async def begin_tracking(self) -> DeltaLinks:
        """Returns links to what changes from now on, in the tables that are mapped.

        Raises PortalUnavailableError or PortalRefusedError.
        """
        table = self._mapping.member
        queries = [TableQuery(table.entity_set, [table.id])]
        queries += [
            TableQuery(rule.entity_set, [rule.id, f"_{rule.member}_value"])
            for rule in self._role_tables
        ]
        return {query.entity_set: await self._api.begin_tracking(query) for query in queries}

    async def changed_members(self, links: DeltaLinks) -> tuple[set[PortalId], DeltaLinks]:
        """Returns whose rows, or rows of roles, have changed, and the links to go on with.

        Raises DeltaExpiredError if that cannot be told, PortalUnavailableError or
        PortalRefusedError.
        """
        table = self._mapping.member
        changed: set[PortalId] = set()
        further: DeltaLinks = {}
        for entity_set, link in links.items():
            changes = await self._api.changes(link)
            further[entity_set] = changes.link
            if entity_set == table.entity_set:
                ids = [row[table.id] for row in changes.rows] + changes.deleted
                changed |= {canonical_portal_id(id) for id in ids}
                continue
            if changes.deleted:
                # Whose role it was is not told.
                raise DeltaExpiredError("A row of a role was deleted.")
            for rule in self._role_tables:
                if rule.entity_set == entity_set:
                    members = (member_of_role(row, rule) for row in changes.rows)
                    changed |= {member for member in members if member is not None}
        return changed, further

    async def members(self) -> AsyncIterator[bytes]:
        """Yields such an event for each row of the members' table.

        Raises PortalUnavailableError or PortalRefusedError; then it was not all of them.
        """
        at = self._clock()
        held: defaultdict[PortalId, set[RoleKey]] = defaultdict(set)
        for rule in self._role_tables:
            async for role in self._api.rows(role_query(rule)):
                if (member := member_of_role(role, rule)) is not None:
                    held[member] |= roles_of_rows([role], rule, at)
        chapters: dict[PortalId, dict[str, Any]] = {}
        async for row in self._api.rows(chapter_query(self._mapping)):
            chapter = chapter_of_row(row, self._mapping)
            chapters[chapter["id"]] = chapter
        async for row in self._api.rows(member_query(self._mapping)):
            id = canonical_portal_id(row[self._mapping.member.id])
            roles = held.get(id, set())
            yield encoded(complete_document(row, roles, self._mapping, at, chapters))
