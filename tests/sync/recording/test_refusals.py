"""Refused deliveries: the operator is warned, and every process can see how many there were."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from app.settings import DEVELOPMENT_WEBHOOK_SECRET
from db.database import Database
from db.errors import DatabaseUnavailableError
from db.queries.log.refusal_counts import (
    RefusalCount,
    add_refusals,
    delete_refusals_before,
    refusals_since,
)
from sync.errors import RefusalReason, VerificationError
from sync.intake import refusals as refusals_module
from sync.intake.refusals import Refusals
from tests.support.builders import body_of, created
from tests.support.service import DEADLINE, Service, signed_headers

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
WRONG = VerificationError(RefusalReason.SIGNATURE_WRONG)


async def stored(database: Database, since: datetime = NOW) -> list[RefusalCount]:
    async with database.read() as session:
        return await refusals_since(session, since)


def count(
    number: int, at: datetime = NOW, skew: int | None = None, reason: str = "signature_wrong"
) -> RefusalCount:
    return RefusalCount("portal", reason, number, at, skew)


async def test_counts_of_an_hour_add_up_and_the_last_measured_skew_stays(
    database: Database,
) -> None:
    later, next_hour = NOW + timedelta(minutes=5), NOW + timedelta(hours=1)
    added = [
        [count(2), count(1, skew=-360, reason="timestamp_stale")],
        [count(3, later), count(1, later, reason="timestamp_stale")],
        [count(4, next_hour), count(1, next_hour, skew=-400, reason="timestamp_stale")],
    ]
    for counts in added:
        async with database.write() as session:
            await add_refusals(session, counts)

    both = await stored(database)
    last = await stored(database, next_hour)

    assert both == [
        count(9, next_hour),
        count(3, next_hour, skew=-400, reason="timestamp_stale"),
    ]
    assert last == [count(4, next_hour), count(1, next_hour, -400, "timestamp_stale")]


async def test_old_counts_are_deleted(database: Database) -> None:
    async with database.write() as session:
        await add_refusals(session, [count(1), count(2, NOW + timedelta(hours=2))])
        await delete_refusals_before(session, NOW)

    assert await stored(database, NOW - timedelta(days=1)) == [count(2, NOW + timedelta(hours=2))]


async def test_two_processes_count_into_one_hour(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals_module, "STORE_SECONDS", 0.0)

    async def refuse(number: int) -> None:
        async with Refusals(database, lambda: NOW) as refusals:
            for _ in range(number):
                refusals.note("portal", WRONG)
            async with asyncio.timeout(DEADLINE):
                while sum(it.count for it in await stored(database)) < number:
                    pass

    await refuse(2)
    await asyncio.gather(refuse(5), refuse(7))

    assert await stored(database) == [count(14)]


@pytest.fixture
async def refusals(database: Database) -> AsyncIterator[Refusals]:
    async with Refusals(database, lambda: NOW) as refusals:
        yield refusals


async def test_operator_is_warned_at_once_and_then_once_a_minute(
    refusals: Refusals, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(refusals_module, "monotonic", lambda: now)

    for _ in range(50):
        refusals.note("portal", WRONG)
    refusals.note("other", WRONG)
    now += 61
    refusals.note("portal", WRONG)

    warnings = [it.getMessage() for it in caplog.records if it.levelno == logging.WARNING]
    assert [text.split(" is refused")[0] for text in warnings] == [
        "A delivery of the source portal",
        "A delivery of the source other",
        "A delivery of the source portal",
    ]
    assert warnings[0].endswith("(signature_wrong; 1 since the last warning).")
    assert warnings[2].endswith("(signature_wrong; 50 since the last warning).")


@pytest.mark.parametrize(("skew", "text"), [(-360, "behind our clock by 360 s"), (400, "ahead of")])
async def test_warning_tells_the_skew_that_a_signature_proves(
    skew: int, text: str, refusals: Refusals, caplog: pytest.LogCaptureFixture
) -> None:
    refusals.note("portal", VerificationError(RefusalReason.TIMESTAMP_STALE, skew))

    assert text in caplog.text
    assert "signed rightly" in caplog.text


@pytest.mark.parametrize("reason", RefusalReason)
async def test_every_reason_is_explained(
    reason: RefusalReason, refusals: Refusals, caplog: pytest.LogCaptureFixture
) -> None:
    refusals.note("portal", VerificationError(reason))

    assert f"({reason.value}; 1 since the last warning)" in caplog.text
    assert "signed rightly" not in caplog.text


async def test_counts_are_stored_when_the_database_is_there_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0

    async def unreachable(*_: object) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise DatabaseUnavailableError("away")
        monkeypatch.undo()
        monkeypatch.setattr(refusals_module, "STORE_SECONDS", 0.0)

    monkeypatch.setattr(refusals_module, "STORE_SECONDS", 0.0)
    monkeypatch.setattr(refusals_module, "add_refusals", unreachable)
    async with Refusals(database, lambda: NOW) as refusals:
        refusals.note("portal", WRONG)
        async with asyncio.timeout(DEADLINE):
            while attempts < 3:  # noqa: ASYNC110 -- it tells nobody
                await asyncio.sleep(0)
        refusals.note("portal", WRONG)
        async with asyncio.timeout(DEADLINE):
            while not await stored(database):
                pass

    assert attempts == 3
    assert (await stored(database))[0].count >= 1


async def test_signed_delivery_of_a_wrong_clock_is_told_from_a_forged_time(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = body_of(created("Kari"))
    late = timedelta(minutes=6)
    signed = signed_headers(body, "evt_1", DEVELOPMENT_WEBHOOK_SECRET, at=datetime.now(UTC) - late)
    forged = {**signed, "webhook-timestamp": str(int(signed["webhook-timestamp"]) - 7)}

    for headers in (forged, signed):
        monkeypatch.setattr(refusals_module, "WARNING_SECONDS", 0.0)
        response = await service.http.post(
            f"{service.url}/webhooks/portal", content=body, headers=headers
        )
        assert response.status_code == 401
        assert "clock" not in response.text

    assert "its time is not ours (timestamp_stale; 1 since" in caplog.text
    assert re.search(r"signed rightly, behind our clock by 36\d s;", caplog.text)
    metrics = (await service.http.get(f"{service.url}/metrics")).text
    refused = 'likeperson_deliveries_refused_total{reason="timestamp_stale",source="portal"} 2.0'
    assert refused in metrics
