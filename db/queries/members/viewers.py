"""Viewers: who is asking, with their roles and their sight as the database has them now."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ScalarSelect,
    Select,
    Subquery,
    Text,
    and_,
    cast,
    func,
    literal_column,
    select,
)

from db.database import Database
from db.driver.statements.any_of import any_of_parameter
from db.driver.statements.compiled_statements import CompiledStatement, SqlRow
from db.errors import DatabaseUnavailableError
from db.queries.chapters.national_body import NationalBody
from db.queries.chapters.roles import AssignmentRow, RoleRow, access_level
from db.queries.members.member_pages import MEMBER_COLUMNS, MemberRow
from db.queries.members.merges import survivors
from db.queries.members.visibility import EVERYTHING, Sight
from db.queries.rows import columns_of
from db.sessions import ReadSession
from db.tables.models import Member, Organization, Role, RoleAssignment
from db.vocabulary import AccessLevel, ActivationState, OrganizationId, PortalId

PATIENCE_SECONDS = 5.0
REMEMBERED_VIEWERS = 5_000

# A literal, since as a parameter it would be asked for at execution.
_COMMA: Any = literal_column("','")
_ROLE = columns_of(RoleRow, Role)
_MEMBER_WIDTH = len(MEMBER_COLUMNS)
_PORTAL_ID = MemberRow.__match_args__.index("portal_id")


@dataclass(frozen=True, slots=True)
class Viewer:
    """A member, or an operator, who has no `member`.

    `accesses` has the highest level that is held in each organization.
    """

    sight: Sight
    access_level: AccessLevel
    member: MemberRow | None = None
    roles: tuple[AssignmentRow, ...] = ()
    accesses: tuple[tuple[OrganizationId, AccessLevel], ...] = ()

    @property
    def is_operator(self) -> bool:
        return self.member is None

    @property
    def is_national(self) -> bool:
        """True for operators and administrators of the national body."""
        return self.sight.all_entries

    def access_level_in(self, organization_id: OrganizationId) -> AccessLevel:
        """Returns the access level there: that of the roles held there, or above from coordinator
        on."""
        sight = self.sight
        level = dict(self.accesses).get(organization_id, AccessLevel.NONE)
        if sight.all_members or organization_id in sight.coordinated:
            level = max(level, AccessLevel.COORDINATOR)
        if sight.all_entries or organization_id in sight.administered:
            level = max(level, AccessLevel.ADMIN)
        return level

    @property
    def is_active(self) -> bool:
        return self.member is None or self.member.state is ActivationState.ACTIVE


OPERATOR = Viewer(EVERYTHING, AccessLevel.ADMIN)


_PLACE = func.coalesce(RoleAssignment.organization_id, Member.organization_id)


def _sights(national_body: ScalarSelect[int]) -> Subquery:
    """Selects, for each organization where one of them is a coordinator or more, its id and those
    below it as one text, except for the national body: from there, all others are seen as well.

    A text, because ViewerLookups can compare it with the one before. UNION rather than UNION ALL
    ends at a cycle in the portal's tree.
    """
    places = (
        select(_PLACE.label("place"), _PLACE.label("id"))
        .select_from(RoleAssignment)
        .join(Role, Role.id == RoleAssignment.role_id)
        .join(Member, Member.id == RoleAssignment.member_id)
        .where(
            any_of_parameter(Member.portal_id, "portal_ids"),
            Role.access_level >= AccessLevel.COORDINATOR,
            _PLACE.is_not(None),
            _PLACE.is_distinct_from(national_body),
        )
    )
    tree = places.cte("tree", recursive=True)
    below = select(tree.c.place, Organization.id).join(tree, Organization.parent_id == tree.c.id)
    tree = tree.union(below)
    ids = func.aggregate_strings(cast(tree.c.id, Text), _COMMA)
    return select(tree.c.place, ids.label("ids")).group_by(tree.c.place).subquery("sights")


def _viewers(national_body: ScalarSelect[int]) -> Select[*tuple[Any, ...]]:
    """Selects a row for each role that is held, or one row for a member without roles."""
    sights = _sights(national_body)
    is_national = (national_body == _PLACE).label("is_national")
    seen = and_(sights.c.place == _PLACE, Role.access_level >= AccessLevel.COORDINATOR)
    return (
        select(
            *MEMBER_COLUMNS,
            *_ROLE,
            RoleAssignment.id,
            _PLACE,
            RoleAssignment.since,
            is_national,
            sights.c.ids,
        )
        .select_from(Member)
        .outerjoin(RoleAssignment, RoleAssignment.member_id == Member.id)
        .outerjoin(Role, Role.id == RoleAssignment.role_id)
        .outerjoin(sights, seen)
        .where(any_of_parameter(Member.portal_id, "portal_ids"))
        .order_by(Role.access_level.desc(), Role.code, RoleAssignment.id)
    )


class ViewerLookups:
    """Looks viewers up. Look-ups share round trips and remember viewers, as an optimisation.

    Look-ups that come while a statement is under way share the next one, which begins after all of
    them, so that nobody gets an answer from before they asked. Every look-up reads the rows from
    the database; a viewer that was made of equal rows before is used again.
    """

    def __init__(self, database: Database, national_body: NationalBody) -> None:
        self.national_body = national_body
        self._database = database
        self._statement = CompiledStatement(_viewers(national_body.id()))
        self._waiting: defaultdict[PortalId, list[asyncio.Future[Viewer | None]]] = defaultdict(
            list
        )
        self._task: asyncio.Task[None] | None = None
        self._remembered: dict[PortalId, tuple[Sequence[SqlRow], Viewer]] = {}

    def find(self, portal_id: PortalId) -> "asyncio.Future[Viewer | None]":
        """Returns a future of the viewer, None for an unknown person. The caller may cancel it.

        It raises DatabaseUnavailableError, and other errors of the database.
        """
        future = asyncio.get_running_loop().create_future()
        self._waiting[portal_id].append(future)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="looking viewers up")
        return future

    async def find_in(self, session: ReadSession, portal_id: PortalId) -> Viewer | None:
        """Returns the viewer in the snapshot of the session; None for an unknown person."""
        rows = (await self._rows(session, [portal_id])).get(portal_id)
        return None if rows is None else _viewer(rows)

    async def _rows(
        self, session: ReadSession, portal_ids: Collection[PortalId]
    ) -> dict[PortalId, list[SqlRow]]:
        """Returns the rows of each member who is known, also by an id that was merged."""
        rows = await self._rows_by_id(session, portal_ids)
        missing = set(portal_ids) - rows.keys()
        if missing and (others := await session.find(survivors(missing))):
            found = await self._rows_by_id(session, others.values())
            rows |= {id: found[other] for id, other in others.items() if other in found}
        return rows

    async def _rows_by_id(
        self, session: ReadSession, portal_ids: Collection[PortalId]
    ) -> dict[PortalId, list[SqlRow]]:
        parameters = {"portal_ids": list(portal_ids), **self.national_body.parameters()}
        rows: defaultdict[PortalId, list[SqlRow]] = defaultdict(list)
        for row in await session.rows(self._statement, parameters):
            rows[row[_PORTAL_ID]].append(row)
        return rows

    async def _run(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, defaultdict(list)
            found: dict[PortalId, Viewer] = {}
            failure: Exception | None = None
            try:
                async with asyncio.timeout(PATIENCE_SECONDS), self._database.read() as session:
                    found = self._read(await self._rows(session, list(waiting)))
            except TimeoutError:
                failure = DatabaseUnavailableError(
                    f"Viewers could not be looked up within {PATIENCE_SECONDS:g} s."
                )
            except Exception as error:  # every kind is passed on to those who wait
                failure = error
            for portal_id, futures in waiting.items():
                for future in futures:
                    if future.done():
                        continue
                    if failure is None:
                        future.set_result(found.get(portal_id))
                    else:
                        future.set_exception(failure)
        self._task = None

    def _read(self, found: Mapping[PortalId, Sequence[SqlRow]]) -> dict[PortalId, Viewer]:
        viewers = {}
        for portal_id, rows in found.items():
            known = self._remembered.get(portal_id)
            if known is None or known[0] != rows:
                known = rows, _viewer(rows)
                if len(self._remembered) >= REMEMBERED_VIEWERS:
                    del self._remembered[next(iter(self._remembered))]
                self._remembered[portal_id] = known
            viewers[portal_id] = known[1]
        return viewers


def _viewer(rows: Sequence[SqlRow]) -> Viewer:
    member = MemberRow(*rows[0][:_MEMBER_WIDTH])
    if member.state is not ActivationState.ACTIVE:
        return Viewer(Sight(), AccessLevel.NONE, member)
    roles: list[AssignmentRow] = []
    all_members = all_entries = False
    coordinated: set[OrganizationId] = set()
    administered: set[OrganizationId] = set()
    for row in rows:
        *role, assignment_id, place, since, is_national, ids = row[_MEMBER_WIDTH:]
        if role[0] is None:  # a member without roles
            continue
        held = AssignmentRow(assignment_id, RoleRow(*role), place, since)
        roles.append(held)
        all_members |= bool(is_national) and held.role.access_level >= AccessLevel.COORDINATOR
        all_entries |= bool(is_national) and held.role.access_level >= AccessLevel.ADMIN
        seen = _ids(ids)
        coordinated |= seen
        if held.role.access_level >= AccessLevel.ADMIN:
            administered |= seen
    sight = Sight(
        all_members=all_members,
        all_entries=all_entries,
        member_id=member.id,
        coordinated=frozenset() if all_members else frozenset(coordinated),
        administered=frozenset() if all_entries else frozenset(administered),
    )
    level = access_level(roles, active=True)
    return Viewer(sight, level, member, tuple(roles), tuple(sorted(_accesses(roles).items())))


def _ids(text: str | None) -> set[OrganizationId]:
    return {OrganizationId(int(id)) for id in text.split(",")} if text else set()


def _accesses(roles: Sequence[AssignmentRow]) -> dict[OrganizationId, AccessLevel]:
    accesses: dict[OrganizationId, AccessLevel] = {}
    for held in roles:
        if held.organization_id is not None:
            known = accesses.get(held.organization_id, AccessLevel.NONE)
            accesses[held.organization_id] = max(known, held.role.access_level)
    return accesses
