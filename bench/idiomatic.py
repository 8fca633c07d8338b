"""A server that answers the three queries of `bench.reads` in the usual way.

It uses Strawberry, SQLAlchemy's ORM and DataLoaders over the same tables, has nothing else, and
exists for comparison only. `bench.reads` starts it.
"""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import jwt
import strawberry
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.types import Info

from db.tables import models
from db.vocabulary import AccessLevel, ActivationState, SyncStatus

engine = create_async_engine(os.environ["LIKEPERSON_DATABASE_URL"], pool_size=10, max_overflow=0)
Session = async_sessionmaker(engine, expire_on_commit=False)
SECRET = os.environ["LIKEPERSON_AUTH_SECRET"]

strawberry.enum(AccessLevel)
strawberry.enum(ActivationState)
strawberry.enum(SyncStatus)


async def _organizations(ids: list[int]) -> list[models.Organization | None]:
    async with Session() as session:
        rows = await session.scalars(
            select(models.Organization).where(models.Organization.id.in_(ids))
        )
        found = {row.id: row for row in rows}
    return [found.get(id) for id in ids]


async def _roles(ids: list[int]) -> list[models.Role | None]:
    async with Session() as session:
        rows = await session.scalars(select(models.Role).where(models.Role.id.in_(ids)))
        found = {row.id: row for row in rows}
    return [found.get(id) for id in ids]


async def _assignments(ids: list[int]) -> list[list[models.RoleAssignment]]:
    found: dict[int, list[models.RoleAssignment]] = {id: [] for id in ids}
    async with Session() as session:
        held = models.RoleAssignment
        for row in await session.scalars(select(held).where(held.member_id.in_(ids))):
            found[row.member_id].append(row)
    return [found[id] for id in ids]


@strawberry.type
class Organization:
    id: strawberry.ID
    name: str | None


async def _organization(info: Info[Any, None], id: int | None) -> Organization | None:
    row = await info.context["organizations"].load(id) if id is not None else None
    return Organization(id=strawberry.ID(str(row.id)), name=row.name) if row else None


@strawberry.type
class Role:
    id: strawberry.ID
    code: str


@strawberry.type
class RoleAssignment:
    row: strawberry.Private[models.RoleAssignment]

    @strawberry.field
    async def role(self, info: Info[Any, None]) -> Role:
        row = await info.context["roles"].load(self.row.role_id)
        return Role(id=strawberry.ID(str(row.id)), code=row.code)

    @strawberry.field
    async def organization(self, info: Info[Any, None]) -> Organization | None:
        return await _organization(info, self.row.organization_id)


@strawberry.type
class Member:
    id: strawberry.ID
    display_name: str
    email: str | None
    state: ActivationState
    updated_at: datetime
    row: strawberry.Private[models.Member]

    @strawberry.field
    async def organization(self, info: Info[Any, None]) -> Organization | None:
        return await _organization(info, self.row.organization_id)

    @strawberry.field
    async def roles(self, info: Info[Any, None]) -> list[RoleAssignment]:
        held = await info.context["assignments"].load(self.row.id)
        return [RoleAssignment(row=row) for row in held]


@strawberry.type
class SyncLogEntry:
    id: strawberry.ID
    event_id: str
    received_at: datetime
    status: SyncStatus
    event_type: str | None
    detail: str | None


@strawberry.type
class MemberEdge:
    node: Member


@strawberry.type
class MemberConnection:
    edges: list[MemberEdge]


@strawberry.type
class SyncLogEdge:
    node: SyncLogEntry


@strawberry.type
class SyncLogConnection:
    edges: list[SyncLogEdge]


@strawberry.type
class Viewer:
    member: Member


@strawberry.input
class SyncLogFilter:
    status: list[SyncStatus]


def _member(row: models.Member) -> Member:
    return Member(
        id=strawberry.ID(str(row.id)),
        display_name=f"{row.given_name} {row.family_name}",
        email=row.email,
        state=row.state,
        updated_at=row.updated_at,
        row=row,
    )


def _entry(row: models.SyncLogEntry) -> SyncLogEntry:
    return SyncLogEntry(
        id=strawberry.ID(str(row.id)),
        event_id=row.event_id,
        received_at=row.received_at,
        status=row.status,
        event_type=row.event_type,
        detail=row.detail,
    )


@strawberry.type
class Query:
    @strawberry.field
    async def viewer(self, info: Info[Any, None]) -> Viewer | None:
        token = info.context["request"].headers["authorization"].split()[1]
        subject = jwt.decode(token, SECRET, algorithms=["HS256"])["sub"]
        async with Session() as session:
            row = await session.scalar(
                select(models.Member).where(models.Member.portal_id == subject)
            )
        return Viewer(member=_member(row)) if row else None

    @strawberry.field
    async def members(self, organization_id: strawberry.ID, first: int) -> MemberConnection:
        member = models.Member
        async with Session() as session:
            rows: Sequence[models.Member] = (
                await session.scalars(
                    select(member)
                    .where(member.organization_id == int(organization_id))
                    .order_by(member.sort_name, member.id)
                    .limit(first)
                )
            ).all()
        return MemberConnection(edges=[MemberEdge(node=_member(row)) for row in rows])

    @strawberry.field
    async def sync_log(self, filter: SyncLogFilter, first: int) -> SyncLogConnection:
        entry = models.SyncLogEntry
        async with Session() as session:
            rows = (
                await session.scalars(
                    select(entry)
                    .where(entry.status.in_(filter.status))
                    .order_by(entry.id.desc())
                    .limit(first)
                )
            ).all()
        return SyncLogConnection(edges=[SyncLogEdge(node=_entry(row)) for row in rows])


class Endpoint(GraphQL[Any, None]):
    async def get_context(self, request: Any, response: Any) -> dict[str, Any]:
        return {
            "request": request,
            "organizations": DataLoader(_organizations),
            "roles": DataLoader(_roles),
            "assignments": DataLoader(_assignments),
        }


schema = strawberry.Schema(Query, extensions=[ParserCache, ValidationCache])


async def alive(_: Request) -> Response:
    return Response()


app = Starlette(
    routes=[Route("/graphql", Endpoint(schema, graphql_ide=None)), Route("/readyz", alive)]
)
