"""The places where we reach into packages: each test fails when its package moves the place.

`pyproject.toml` caps these packages, so that a release that moves it is not installed unseen.
"""

import re
import signal
import sqlite3
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from operator import methodcaller
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest
import sqlalchemy as sa
import uvicorn
from graphql import FieldNode, GraphQLOutputType
from starlette.types import Receive, Scope, Send
from strawberry.types.field import StrawberryField
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

from app.edge.http_protocol import HttpProtocol
from app.graphql.websocket_protocol import WebSocketProtocol
from app.server import Server
from db.driver.driver_errors import driver_errors_translated
from db.driver.sqlite_driver import OneTripConnection, connected
from db.driver.statements.compiled_statements import _POSTGRES, _SQLITE, DriverStatement
from db.errors import StatementRefusedError
from db.vocabulary import AccessLevel
from schema.engine.binding import declaration_of
from schema.engine.compiled import CompiledOperation, Complete
from schema.engine.requests import GraphQLRequest
from schema.engine.walk import Walk
from tests.schema.engine.library import Library, Shelf
from tests.support.postgres import PostgresCluster

HOOKED = [
    "aiosqlite",
    "asyncpg",
    "graphql-core",
    "sqlalchemy",
    "strawberry-graphql",
    "uvicorn",
    "websockets",
]


@pytest.mark.parametrize("package", HOOKED)
def test_package_that_we_reach_into_is_capped(package: str) -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

    (found,) = [d for d in project["dependencies"] if re.match(rf"{package}(\[\w+\])?[<>=]", d)]

    assert "<" in found


class _Everything(CompiledOperation):
    """Completes every object in the same way."""

    def function(self, type: GraphQLOutputType, nodes: Sequence[FieldNode]) -> Complete | None:
        return lambda value, count: f"{type} compiled"


async def test_graphql_core_completes_values_by_the_method_that_is_overridden() -> None:
    library = Library()
    prepared = await library.executor.prepare(GraphQLRequest("{ best { title } }"), Shelf())
    operation = replace(prepared.operation, compiled=_Everything(Walk(library.schema, {})))

    answer = await library.executor.run(replace(prepared, operation=operation), Shelf())

    assert answer.data == {"best": "Book compiled"}


async def test_graphql_core_calls_arguments_and_makes_input_objects_as_it_was_told() -> None:
    library, shelf = Library(), Shelf()

    await library.answer('{ books(bookFilter: {titleBegins: "S"}, atMost: 3) { title } }', shelf)

    ((book_filter, at_most, _),) = shelf.asked
    assert (book_filter.title_begins, at_most) == ("S", 3)


async def test_strawberry_says_what_a_field_was_made_of_and_hands_on_what_it_is_given() -> None:
    library, shelf = Library(), Shelf()
    assert library.schema.query_type is not None
    field = declaration_of(library.schema.query_type.fields["books"])

    await library.answer("{ books { title kind } }", shelf)

    assert isinstance(field, StrawberryField)
    assert field.base_resolver is not None
    assert field.base_resolver.info_parameter is not None
    # The look ahead finds what it keeps with the operation in what Strawberry hands on.
    assert [fields for _, _, fields in shelf.asked] == [{"title", "kind"}]


@pytest.mark.parametrize(
    ("ours", "theirs", "overridden"),
    [
        (Server, uvicorn.Server, "startup shutdown capture_signals"),
        (
            HttpProtocol,
            HttpToolsProtocol,
            "connection_made connection_lost data_received pause_writing resume_writing "
            "on_message_begin on_url on_header on_headers_complete on_body on_message_complete "
            "on_response_complete",
        ),
        (
            WebSocketProtocol,
            WebSocketsSansIOProtocol,
            "connection_made connection_lost data_received pause_writing resume_writing "
            "handle_connect handle_cont send_receive_event_to_app handle_parser_exception",
        ),
    ],
)
def test_uvicorn_has_the_methods_that_are_overridden(
    ours: type, theirs: type, overridden: str
) -> None:
    for name in overridden.split():
        assert getattr(ours, name) is not getattr(theirs, name)


def test_websockets_says_what_kind_of_frame_it_is() -> None:
    frame = Frame(Opcode.TEXT, b"text")

    assert (frame.opcode, frame.data, frame.fin) == (Opcode.TEXT, b"text", True)
    assert frame.serialize(mask=False)[0] == 0x80 | Opcode.TEXT


def test_uvicorn_keeps_the_signals_that_it_would_raise_again() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    server = uvicorn.Server(uvicorn.Config(app, log_config=None))

    with server.capture_signals():
        signal.raise_signal(signal.SIGTERM)
        assert server._captured_signals == [signal.SIGTERM]
        server._captured_signals = []


@pytest.mark.parametrize(("dialect", "sign"), [(_POSTGRES, "$1"), (_SQLITE, "?")])
def test_sqlalchemy_compiles_statements_that_drivers_take(dialect: Any, sign: str) -> None:
    level = sa.column("level", sa.Enum(AccessLevel))
    statement = DriverStatement(sa.select(level).where(level == sa.bindparam("given")), dialect)

    assert sign in statement.sql
    assert statement.arguments({"given": AccessLevel.ADMIN}) == ["ADMIN"]
    assert statement.rows([("MEMBER",)]) == [[AccessLevel.MEMBER]]


async def test_aiosqlite_runs_what_it_is_given_in_its_thread(tmp_path: Path) -> None:
    connection = await connected(str(tmp_path / "hooks.db"))
    assert isinstance(connection, OneTripConnection)
    try:
        cursor, rows = await connection.run(methodcaller("execute", "SELECT 1"))

        assert isinstance(cursor, sqlite3.Cursor)
        assert rows == [(1,)]
        assert connection._thread.daemon
    finally:
        await connection.close()


async def test_asyncpg_says_of_a_parameter_that_it_is_no_value_of_its_type(
    postgres: PostgresCluster,
) -> None:
    url = postgres.create_database("hooks").replace("+asyncpg", "")
    connection = await asyncpg.connect(url)
    try:
        with pytest.raises(StatementRefusedError), driver_errors_translated():
            await connection.fetch("SELECT $1::int", "x")
    finally:
        await connection.close()
