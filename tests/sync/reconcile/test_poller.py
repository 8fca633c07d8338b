"""The portal is asked what has changed, so that what no webhook has told is found by itself."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.server import running
from app.settings import Settings, SourceSettings
from db.database import Database
from db.queries.runs import reconciliation_requests
from db.queries.runs.portal_states import lease_portal
from db.queries.runs.reconciliations import last_runs
from db.vocabulary import ActivationState, ReconciliationStatus
from sync.dataverse.access_tokens import FixedToken
from sync.dataverse.connected_portal import DataversePortal
from sync.dataverse.errors import PortalError
from sync.dataverse.web_api import WebApi
from sync.reconcile.asking import Wish, ask_for_comparison
from sync.reconcile.guard import Guard
from sync.reconcile.leases import leased
from sync.reconcile.poller import PortalPoller, Schedule, remember_first_reading
from sync.simulator.dataverse.served_api import Fault
from tests.support.builders import guid
from tests.support.dataverse import TOKEN, WEB_ROLES, Dataverse, simulated_dataverse
from tests.support.opened import row_counts
from tests.support.service import DEADLINE, Service
from tests.sync.recorded_events import world_of

ACTIVE, INACTIVE = ActivationState.ACTIVE, ActivationState.INACTIVE
NAMES = [f"member {number}" for number in range(20)]
DAILY = Schedule(poll=timedelta(minutes=1), full=timedelta(days=1))
MEMBERS = """subscription { memberChanges { __typename ... on MemberChange {
    member { portalId givenName state } } } }"""


@pytest.fixture
async def dataverse() -> AsyncIterator[Dataverse]:
    async with simulated_dataverse() as dataverse:
        for name in NAMES:
            dataverse.member(name)
        yield dataverse


class Clock:
    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def poller(
    database: Database, dataverse: Dataverse, clock: Clock
) -> AsyncIterator[PortalPoller]:
    async with httpx.AsyncClient() as http:
        yield make_poller(database, dataverse, http, clock)


def make_poller(
    database: Database,
    dataverse: Dataverse,
    http: httpx.AsyncClient,
    clock: Clock,
    schedule: Schedule = DAILY,
) -> PortalPoller:
    api = WebApi(http, dataverse.url, FixedToken(TOKEN), page_size=7, attempts=1)
    portal = DataversePortal(api, dataverse.mapping(), clock)
    return PortalPoller(database, "min-side", portal, schedule, Guard(), clock)


def requests_of(dataverse: Dataverse) -> list[str]:
    """The requests that were made since this was asked last."""
    made = list(dataverse.web.requests)
    dataverse.web.requests.clear()
    return made


async def test_first_poll_reads_everything(database: Database, poller: PortalPoller) -> None:
    await poller.poll()

    assert set((await world_of(database)).people) == {guid(name) for name in NAMES}


async def test_poll_without_changes_asks_each_table_once_and_writes_no_entry(
    database: Database, dataverse: Dataverse, poller: PortalPoller
) -> None:
    await poller.poll()
    before = await row_counts(database)
    requests_of(dataverse)

    await poller.poll()

    assert len(requests_of(dataverse)) == 2
    assert await row_counts(database) == before


async def test_changed_new_and_deleted_rows_are_found_without_reading_the_others(
    database: Database, dataverse: Dataverse, poller: PortalPoller
) -> None:
    await poller.poll()
    requests_of(dataverse)
    dataverse.member(NAMES[0], firstname="Kåre")
    dataverse.member(NAMES[1], statecode=1)
    dataverse.tables.delete("contacts", guid(NAMES[2]))
    dataverse.member("Kari")

    await poller.poll()

    world = await world_of(database)
    assert world.person(NAMES[0]).profile["givenName"] == "Kåre"
    assert [world.person(NAMES[n]).state for n in (1, 2)] == [INACTIVE, INACTIVE]
    assert world.person("Kari").state is ACTIVE
    assert not any("count=true" in one and "contacts?" in one for one in requests_of(dataverse))


async def test_new_row_of_a_role_is_found(
    database: Database, dataverse: Dataverse, poller: PortalPoller
) -> None:
    await poller.poll()
    given = {"new_contactid": guid(NAMES[0]), "new_vervtype": 100000003}
    dataverse.tables.put("new_vervs", guid("verv"), **given)

    await poller.poll()

    roles = (await world_of(database)).person(NAMES[0]).roles
    assert {code for code, _, _ in roles} == {"member", "peer-mentor"}


async def test_deleted_row_of_a_role_is_found(
    database: Database, dataverse: Dataverse, poller: PortalPoller
) -> None:
    given = {"new_contactid": guid(NAMES[0]), "new_vervtype": 100000003}
    dataverse.tables.put("new_vervs", guid("verv"), **given)
    await poller.poll()
    dataverse.tables.delete("new_vervs", guid("verv"))

    await poller.poll()

    roles = (await world_of(database)).person(NAMES[0]).roles
    assert {code for code, _, _ in roles} == {"member"}


async def test_expired_links_are_answered_by_a_full_reading(
    database: Database, dataverse: Dataverse, poller: PortalPoller
) -> None:
    await poller.poll()
    dataverse.member(NAMES[0], firstname="Kåre")
    dataverse.web.end_links()

    await poller.poll()
    dataverse.member(NAMES[1], firstname="Pål")
    await poller.poll()

    world = await world_of(database)
    assert world.person(NAMES[0]).profile["givenName"] == "Kåre"
    assert world.person(NAMES[1]).profile["givenName"] == "Pål"


async def test_everything_is_read_again_when_that_is_due(
    database: Database, dataverse: Dataverse, poller: PortalPoller, clock: Clock
) -> None:
    await poller.poll()
    # A link touches neither row, so that no change tells of it.
    dataverse.tables.link("contacts", WEB_ROLES, guid(NAMES[0]), name="Likeperson")
    await poller.poll()
    before = (await world_of(database)).person(NAMES[0]).roles

    clock.ahead = timedelta(days=1)
    await poller.poll()

    after = (await world_of(database)).person(NAMES[0]).roles
    assert {code for code, _, _ in after} - {code for code, _, _ in before} == {"peer-mentor"}


async def test_change_is_not_skipped_when_a_poll_fails_half_way(
    database: Database, dataverse: Dataverse, poller: PortalPoller
) -> None:
    await poller.poll()
    dataverse.member(NAMES[0], firstname="Kåre")
    # The changes of both tables, then the row, then its roles.
    for place in range(4):
        dataverse.web.fail_after(place, Fault(HTTPStatus.SERVICE_UNAVAILABLE))
        with pytest.raises(PortalError):
            await poller.poll()

    await poller.poll()

    assert (await world_of(database)).person(NAMES[0]).profile["givenName"] == "Kåre"


async def test_portal_that_is_read_by_another_process_is_left_alone(
    database: Database, dataverse: Dataverse, poller: PortalPoller, clock: Clock
) -> None:
    async with database.write() as session:
        await lease_portal(session, "min-side", clock(), clock() + timedelta(seconds=30))

    await poller.poll()
    assert requests_of(dataverse) == []

    # Its process has died, and the lease has ended.
    clock.ahead = timedelta(seconds=31)
    await poller.poll()
    assert len((await world_of(database)).people) == len(NAMES)


async def test_first_reading_is_left_to_a_person_when_the_mapping_says_so(
    database: Database, dataverse: Dataverse, clock: Clock
) -> None:
    manual = Schedule(poll=timedelta(minutes=1), full=timedelta(days=1), automatic=False)
    async with httpx.AsyncClient() as http:
        poller = make_poller(database, dataverse, http, clock, manual)
        await poller.poll()
        assert requests_of(dataverse) == []

        async with leased(database, "min-side", clock) as state:
            assert state is not None
            await remember_first_reading(database, "min-side", state, clock())
        await poller.poll()
        assert len((await world_of(database)).people) == len(NAMES)


async def test_what_is_held_stays_held_in_the_polls_after_it(
    database: Database, dataverse: Dataverse, poller: PortalPoller
) -> None:
    await poller.poll()
    for name in NAMES[:11]:
        dataverse.tables.delete("contacts", guid(name))

    for _ in range(3):
        await poller.poll()

    people = (await world_of(database)).people.values()
    assert all(person.state is ACTIVE for person in people)


async def test_service_finds_what_every_webhook_has_lost(
    database_url: str, tmp_path: Path, dataverse: Dataverse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINSIDE_TOKEN", TOKEN)
    mapping = tmp_path / "min-side.toml"
    mapping.write_text(dataverse.mapping_text('poll = "1s"'), encoding="utf-8")
    source = SourceSettings(scheme="dataverse", secrets=[SecretStr("k" * 20)], mapping=mapping)
    settings = Settings(
        database_url=database_url, port=0, log_level="warning", sources={"min-side": source}
    )
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        service = Service(url, http, settings)
        async with service.subscribe(MEMBERS) as changes:
            dataverse.member("Kari", statecode=0)
            found: set[str] = set()
            async with asyncio.timeout(DEADLINE):
                while guid("Kari") not in found:
                    member = (await changes.next("MemberChange"))["member"]
                    found.add(member["portalId"])

            dataverse.member("Kari", statecode=1)
            async with asyncio.timeout(DEADLINE):
                while member["state"] != "INACTIVE" or member["portalId"] != guid("Kari"):
                    member = (await changes.next("MemberChange"))["member"]


async def test_what_is_asked_for_is_done_by_another_process_when_the_first_one_dies(
    database: Database, poller: PortalPoller, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(_portal: DataversePortal) -> dict[str, str]:
        raise asyncio.CancelledError

    wish = Wish("min-side", whole=True, dry_run=False, actor="an operator", reason="asked")
    await ask_for_comparison(database, wish, clock)
    with monkeypatch.context() as patch:
        patch.setattr(DataversePortal, "begin_tracking", die)
        with pytest.raises(asyncio.CancelledError):
            await poller.poll()
    assert await asked_for(database)

    await poller.poll()

    assert not await asked_for(database)
    assert set((await world_of(database)).people) == {guid(name) for name in NAMES}


async def test_what_is_asked_for_is_over_when_the_portal_cannot_be_read(
    database: Database, dataverse: Dataverse, poller: PortalPoller, clock: Clock
) -> None:
    wish = Wish("min-side", whole=True, dry_run=False, actor="an operator", reason="asked")
    await ask_for_comparison(database, wish, clock)
    dataverse.web.fail_after(0, Fault(HTTPStatus.SERVICE_UNAVAILABLE))

    with pytest.raises(PortalError):
        await poller.poll()

    async with database.read() as session:
        last = (await last_runs(session, ["min-side"]))["min-side"]
    assert last.status is ReconciliationStatus.FAILED
    assert not await asked_for(database)


async def asked_for(database: Database) -> bool:
    async with database.read() as session:
        return bool(await reconciliation_requests.requests_of(session, ["min-side"]))
