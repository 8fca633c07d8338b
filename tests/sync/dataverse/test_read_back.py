"""Messages of a source with a Web API: each says which row to look at, and the row answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.server import running
from app.settings import Settings, SettingsError, SourceSettings, load_settings
from db.database import Database
from db.queries.chapters.national_body import NationalBody
from db.vocabulary import ActivationState, PortalId, SyncOutcome, SyncStatus
from sync.correcting.corrections import Correction, correct_membership
from sync.dataverse.mapping import parse_mapping
from sync.dataverse.reader import MessageReader
from sync.errors import SourceUnreadableError
from sync.recording.deliveries import read_delivery
from sync.recording.record import record_deliveries
from sync.recording.replay import ReplayRequest, replay_entries
from sync.recording.worker import retry_due
from tests.support.builders import body_of, created, deactivated, guid
from tests.support.dataverse import TOKEN, WEB_ROLES, Dataverse, simulated_dataverse
from tests.support.service import DEADLINE, Service
from tests.sync.dataverse.test_deliveries import BODIES, FOLDER, KARI, KEY, PER, send
from tests.sync.recorded_events import entries, world_of

CHANGES = """subscription { syncLogChanges { __typename ... on SyncLogChange {
    entry { eventId status outcome eventType occurredAt detail attempts deliveries } } } }"""
MEMBER = """query($portalId: String!) { member(by: {portalId: $portalId}) {
    givenName familyName state roles { role { code } } } }"""


@pytest.fixture
async def dataverse(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Dataverse]:
    monkeypatch.setenv("MINSIDE_TOKEN", TOKEN)
    async with simulated_dataverse() as dataverse:
        yield dataverse


@pytest.fixture
def settings(database_url: str, tmp_path: Path, dataverse: Dataverse) -> Settings:
    mapping = tmp_path / "min-side.toml"
    mapping.write_text(dataverse.mapping_text(), encoding="utf-8")
    source = SourceSettings(
        scheme="dataverse", header="X-Portal-Key", secrets=[SecretStr(KEY)], mapping=mapping
    )
    return Settings(
        database_url=database_url, port=0, log_level="warning", sources={"min-side": source}
    )


async def read(service: Service, body: str) -> dict[str, Any]:
    """Sends a body, and returns its entry once the row was read."""
    async with service.subscribe(CHANGES) as changes:
        await changes.next("StreamHeartbeat")
        response = await send(service, body)
        assert response.status_code == 202, response.text
        while True:
            entry: dict[str, Any] = (await changes.next("SyncLogChange"))["entry"]
            if entry["status"] != "PENDING":
                return entry


def put_kari(dataverse: Dataverse, **columns: object) -> None:
    given: dict[str, object] = {
        "new_ermedlem": True,
        "firstname": "Kari",
        "lastname": "Nordmann",
        "parentcustomerid": guid("HLF Oslo"),
        "new_verv": "100000000",
    }
    dataverse.tables.put("contacts", KARI, **{**given, **columns})


async def test_what_counts_is_the_row_and_not_the_message(
    service: Service, dataverse: Dataverse
) -> None:
    put_kari(dataverse, firstname="Kåre")
    dataverse.tables.link("contacts", WEB_ROLES, KARI, name="Likeperson")

    entry = await read(service, "02_update")

    data = await service.data(MEMBER, portalId=KARI)
    assert (entry["status"], entry["outcome"]) == ("SUCCESS", "CREATED")
    assert data["member"]["givenName"] == "Kåre"
    assert {held["role"]["code"] for held in data["member"]["roles"]} == {"member", "peer-mentor"}
    row = dataverse.tables.by_set["contacts"].rows[KARI]
    assert datetime.fromisoformat(entry["occurredAt"]) == datetime.fromisoformat(row["modifiedon"])


@pytest.mark.parametrize("body", ["12_too_large", "08_associate", "18_role_row", "16_assign"])
async def test_message_that_tells_nothing_is_answered_by_the_row(
    service: Service, dataverse: Dataverse, body: str
) -> None:
    put_kari(dataverse)

    entry = await read(service, body)

    assert (entry["status"], entry["outcome"]) == ("SUCCESS", "CREATED")


async def test_row_that_never_existed_here_and_is_gone_is_no_member(service: Service) -> None:
    entry = await read(service, "06_delete")

    assert (entry["status"], entry["outcome"]) == ("SKIPPED", "IGNORED")
    assert (await service.data(MEMBER, portalId=KARI))["member"] is None


async def test_same_message_again_is_a_repetition_after_the_row_was_read(
    service: Service, dataverse: Dataverse
) -> None:
    put_kari(dataverse)
    await read(service, "02_update")

    again = await send(service, "02_update")

    assert again.status_code == 200
    assert len([one for one in dataverse.web.requests if "contacts" in one]) == 1


async def test_synchronous_message_is_stored_while_the_portal_is_down(
    settings: Settings, dataverse: Dataverse
) -> None:
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        dataverse.web.end_tokens()
        service = Service(url, http, settings)
        entry = await read(service, "02_update")

    assert entry["status"] == "FAILED"
    assert "401" in entry["detail"]


# With a reader of the tests' own


class Rows:
    """Says what it is told to, and counts how often each row is read."""

    def __init__(self, events: dict[str, dict[str, Any]]) -> None:
        self.events = events
        self.reads: list[str] = []
        self.down = False

    async def member(self, id: PortalId) -> bytes:
        self.reads.append(id)
        await asyncio.sleep(0)
        if self.down:
            raise SourceUnreadableError("The portal does not answer.")
        return body_of(self.events[id])


def rows() -> Rows:
    kari, per = created("Kari"), deactivated("Per")
    kari["data"]["member"]["id"], per["data"]["member"]["id"] = KARI, PER
    return Rows({KARI: kari, PER: per})


async def deliver(database: Database, *bodies: str) -> None:
    for body in bodies:
        await deliver_body(database, BODIES[body])


async def deliver_body(database: Database, body: bytes) -> None:
    text = (FOLDER / "example.toml").read_text(encoding="utf-8")
    reader = MessageReader(parse_mapping(text, "example.toml"), reads_rows=True)
    now = datetime.now(UTC)
    await record_deliveries(database, list(reader("min-side", "", now, {}, body)))


def later() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


async def test_row_is_read_once_for_all_messages_that_wait_for_it(database: Database) -> None:
    reader = rows()
    await deliver(database, "02_update", "04_update_statecode", "20_roles", "13_mojibake")

    assert await retry_due(database, later, {"min-side": reader}) == 4

    assert reader.reads == [KARI]
    assert {entry.status for entry in await entries(database)} == {SyncStatus.SUCCESS}


async def test_merge_of_rows_unknown_here_looks_at_the_one_that_lives_on(
    database: Database,
) -> None:
    reader = rows()
    await deliver(database, "07_merge")

    await retry_due(database, later, {"min-side": reader})

    assert reader.reads == [KARI]
    assert set((await world_of(database)).people) == {KARI}


async def test_merged_rows_are_one_person_of_whom_only_the_row_that_lives_on_tells(
    database: Database,
) -> None:
    reader = rows()
    reader.events[PER]["translation"] = {"onlyIfKnown": True}
    await deliver(database, "02_update")
    await retry_due(database, later, {"min-side": reader})
    per = {**created("Per"), "data": {**created("Per")["data"], "member": {"id": PER}}}
    delivery = read_delivery("min-side", "evt_1", datetime.now(UTC), body_of(per))
    await record_deliveries(database, [delivery])
    reader.reads.clear()
    await deliver(database, "07_merge")
    # The portal deactivates the other row, and tells that as well.
    text = BODIES["04_update_statecode"].replace(KARI.encode(), PER.encode())
    await deliver_body(database, text)

    await retry_due(database, later, {"min-side": reader})

    world = await world_of(database)
    assert reader.reads == [KARI]
    assert set(world.people) == {KARI}
    assert world.people[PortalId(KARI)].state is ActivationState.ACTIVE


async def test_correction_stands_until_the_row_says_something_new(database: Database) -> None:
    reader = rows()
    kari = reader.events[KARI]

    async def read_back(at: datetime, **member: str) -> str | None:
        kari["data"]["member"] |= member
        kari["timestamp"] = at.isoformat()
        text = BODIES["02_update"].replace(b"Kari", f"Kari {at:%H%M%S%f}".encode())
        await deliver_body(database, text)
        await retry_due(database, later, {"min-side": reader})
        return (await world_of(database)).people[PortalId(KARI)].profile["phone"]

    now = datetime.now(UTC)
    assert await read_back(now - timedelta(hours=1), phone="1") == "1"
    correction = Correction(KARI, "wrong", profile={"phone": "2"})
    await correct_membership(
        database, correction, "an operator", lambda: now, national_body=NationalBody()
    )

    assert await read_back(now + timedelta(minutes=1), email="kari@example.no") == "2"
    assert (await world_of(database)).people[PortalId(KARI)].profile["email"] == "kari@example.no"
    assert await read_back(now + timedelta(minutes=2), phone="3") == "3"


async def test_row_that_cannot_be_read_is_tried_again(database: Database) -> None:
    reader = rows()
    reader.down = True
    await deliver(database, "02_update")

    await retry_due(database, later, {"min-side": reader})
    (entry,) = await entries(database)
    assert (entry.status, entry.detail) == (SyncStatus.FAILED, "The portal does not answer.")
    assert entry.next_attempt_at is not None

    reader.down = False
    await retry_due(database, lambda: later() + timedelta(hours=1), {"min-side": reader})
    (entry,) = await entries(database)
    assert (entry.status, entry.outcome) == (SyncStatus.SUCCESS, SyncOutcome.CREATED)


async def test_row_that_is_read_late_is_as_new_as_its_reading(database: Database) -> None:
    reader = rows()
    await deliver(database, "02_update")
    now, hour = datetime.now(UTC), timedelta(hours=1)
    event = {**reader.events[KARI], "timestamp": (now + hour).isoformat()}
    between = read_delivery("min-side", "evt_1", now + hour, body_of(event))
    await record_deliveries(database, [between])

    event = {**event, "timestamp": (now + 2 * hour).isoformat(), "translation": {"readHere": True}}
    event["data"] = {**event["data"], "member": {"id": KARI, "givenName": "Kåre"}}
    reader.events[KARI] = event
    await retry_due(database, lambda: now + 2 * hour, {"min-side": reader})

    person = (await world_of(database)).people[KARI]
    assert person.profile["givenName"] == "Kåre"


async def test_message_that_waits_is_read_again_when_it_is_replayed(database: Database) -> None:
    reader = rows()
    reader.down = True
    await deliver(database, "02_update")
    await retry_due(database, later, {"min-side": reader})
    (entry,) = await entries(database)

    reader.down = False
    await replay_entries(database, [entry.id], ReplayRequest("test"), lambda: datetime.now(UTC))
    await retry_due(database, later, {"min-side": reader})

    (entry,) = await entries(database)
    assert entry.status is SyncStatus.SUCCESS


async def test_source_without_a_reader_keeps_what_waits(database: Database) -> None:
    await deliver(database, "02_update")

    await retry_due(database, later)

    (entry,) = await entries(database)
    assert entry.status is SyncStatus.FAILED


async def test_other_tables_are_of_no_concern(database: Database) -> None:
    await deliver(database, "19_another_table")

    (entry,) = await entries(database)
    assert (entry.status, entry.outcome) == (SyncStatus.SKIPPED, SyncOutcome.IGNORED)


async def test_role_that_does_not_tell_whose_it_is_is_rejected(database: Database) -> None:
    text = (FOLDER / "example.toml").read_text(encoding="utf-8")
    reader = MessageReader(parse_mapping(text, "example.toml"), reads_rows=True)
    body = json.dumps(json.loads(BODIES["18_role_row"])).replace("new_contactid", "new_annet")

    await record_deliveries(
        database, list(reader("min-side", "", datetime.now(UTC), {}, body.encode()))
    )

    (entry,) = await entries(database)
    assert entry.status is SyncStatus.REJECTED
    assert entry.detail is not None
    assert "new_contactid" in entry.detail


def test_secret_that_is_not_set_stops_the_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MINSIDE_TOKEN")

    with pytest.raises(SettingsError, match="MINSIDE_TOKEN"):
        load_settings(sources=settings.sources)
