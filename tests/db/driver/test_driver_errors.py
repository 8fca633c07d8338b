"""What the database says of a row that it refuses is personal, and does not reach the log."""

import logging
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import bindparam, select, text

from db.database import Database
from db.driver.statements.compiled_statements import CompiledStatement
from db.errors import ConcurrentWriteError, StatementRefusedError
from db.sessions import ReadSession
from db.tables.models import Member, Organization, SyncLogEntry
from sync.recording.record import record_deliveries
from sync.recording.worker import retry_due
from tests.support.builders import created
from tests.sync.recorded_events import delivery

EMAIL = "kari.nordmann@example.no"
PROFILE = {"givenName": "Kari", "familyName": "Nordmann", "email": EMAIL, "phone": "+4790000000"}
PERSONAL = (EMAIL, "Nordmann", "+4790000000")

CHECK = f"ALTER TABLE members ADD CONSTRAINT not_welcome CHECK (email <> '{EMAIL}')"
FUNCTION = """
CREATE FUNCTION quote_it() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'no room for %', NEW.email; END $$
"""
TRIGGER = "CREATE TRIGGER quoting BEFORE INSERT ON members FOR EACH ROW EXECUTE FUNCTION quote_it()"
ON_SQLITE = """
CREATE TRIGGER quoting BEFORE INSERT ON members
BEGIN SELECT RAISE(ABORT, 'no room for kari.nordmann@example.no'); END
"""


async def refuse_kari(database: Database, *statements: str) -> None:
    async with database.write() as session:
        for statement in statements:
            await session.run(text(statement))


async def entry(database: Database) -> Any:
    async with database.read() as session:
        (row,) = await session.all(select(SyncLogEntry.attempts, SyncLogEntry.detail))
    return row


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        pytest.param([CHECK], "SQLSTATE 23514, constraint not_welcome", id="constraint"),
        pytest.param([FUNCTION, TRIGGER], "SQLSTATE P0001", id="trigger"),
    ],
)
async def test_a_refused_row_is_logged_by_class_and_constraint_alone(
    database: Database,
    database_url: str,
    refusal: list[str],
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    on_sqlite = database_url.startswith("sqlite")
    said = "SQLITE_CONSTRAINT_TRIGGER" if on_sqlite else said
    await refuse_kari(database, *([ON_SQLITE] if on_sqlite else refusal))

    with caplog.at_level(logging.DEBUG):
        kari = delivery(created(profile=PROFILE), "evt_1", received_at=datetime.now(UTC))
        await record_deliveries(database, [kari])
        first = caplog.text
        await retry_due(database, lambda: datetime.now(UTC) + timedelta(minutes=1))
        both = caplog.text

    recorded = await entry(database)
    assert recorded.attempts == 2
    assert said in first, "an operator sees what was refused"
    assert len(both) > len(first), "the retry is logged as well"
    assert said in (recorded.detail or "")
    for word in PERSONAL:
        assert word not in both
        assert word not in (recorded.detail or "")


async def by_sqlalchemy(session: ReadSession) -> None:
    await session.all(select(Member.id).where(Member.organization_id == EMAIL))


async def compiled(session: ReadSession) -> None:
    by_organization = select(Member.id).where(Member.organization_id == bindparam("id"))
    await session.rows(CompiledStatement(by_organization), {"id": EMAIL})


@pytest.mark.parametrize("ask", [by_sqlalchemy, compiled])
async def test_an_argument_that_cannot_be_sent_is_not_quoted(
    on_postgres: Database, ask: Callable[[ReadSession], Awaitable[None]]
) -> None:
    async def read() -> None:
        async with on_postgres.read() as session:
            await ask(session)

    with pytest.raises(StatementRefusedError) as raised:
        await read()

    assert EMAIL not in "".join(traceback.format_exception(raised.value))


async def test_a_taken_key_is_not_quoted(on_postgres: Database) -> None:
    rows = [{"id": 1, "portal_id": EMAIL, "name": None, "parent_id": None, "as_of": {}}]

    async def insert_twice() -> None:
        for _ in range(2):
            async with on_postgres.write() as session:
                await session.insert(Organization, rows)

    with pytest.raises(ConcurrentWriteError, match="SQLSTATE 23505") as raised:
        await insert_twice()

    assert EMAIL not in "".join(traceback.format_exception(raised.value))
