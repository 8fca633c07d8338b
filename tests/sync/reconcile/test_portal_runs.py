"""Full runs against the portal: what webhooks have not told is found, and wrong answers take nobody
away."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus

import httpx
import pytest

from db.database import Database
from db.vocabulary import ActivationState
from sync.dataverse.access_tokens import FixedToken
from sync.dataverse.connected_portal import DataversePortal
from sync.dataverse.errors import PortalError
from sync.dataverse.web_api import WebApi
from sync.reconcile.copies import copied
from sync.reconcile.guard import Guard
from sync.reconcile.runs import Report, Request, reconcile
from sync.simulator.dataverse.served_api import Fault
from tests.support.builders import guid
from tests.support.dataverse import TOKEN, WEB_ROLES, Dataverse, simulated_dataverse
from tests.support.opened import rows_without_runs
from tests.sync.recorded_events import world_of

ACTIVE, INACTIVE = ActivationState.ACTIVE, ActivationState.INACTIVE
# The tables of roles and of chapters, which are read first.
EMPTY = [Fault(HTTPStatus.OK, body={"value": []})] * 2
NAMES = [f"member {number}" for number in range(24)]


@pytest.fixture
async def dataverse() -> AsyncIterator[Dataverse]:
    async with simulated_dataverse() as dataverse:
        for name in NAMES:
            dataverse.member(name)
        yield dataverse


async def full_run(database: Database, dataverse: Dataverse) -> Report:
    async def no_sleep(seconds: float) -> None:
        pass

    now = datetime.now(UTC)
    async with httpx.AsyncClient() as http:
        api = WebApi(http, dataverse.url, FixedToken(TOKEN), page_size=7, sleep=no_sleep)
        portal = DataversePortal(api, dataverse.mapping(), lambda: now)
        async with copied(portal.members(), lambda doing, lines: None) as lines:
            request = Request("min-side", lines, "the portal", now)
            return await reconcile(database, request, Guard(), lambda: datetime.now(UTC))


async def test_first_load_is_that_of_the_portal(database: Database, dataverse: Dataverse) -> None:
    report = await full_run(database, dataverse)

    world = await world_of(database)
    assert report.new == len(NAMES)
    assert set(world.people) == {guid(name) for name in NAMES}
    assert {person.state for person in world.people.values()} == {ACTIVE}


async def test_chapters_have_their_names_and_places(
    database: Database, dataverse: Dataverse
) -> None:
    above = {"parentaccountid": guid("HLF")}
    dataverse.tables.put("accounts", guid("HLF Oslo"), name="HLF Oslo og omegn", **above)

    await full_run(database, dataverse)

    chapter = (await world_of(database)).chapter("HLF Oslo")
    assert (chapter.name, chapter.parent) == ("HLF Oslo og omegn", guid("HLF"))


async def test_full_run_with_nothing_to_do_writes_nothing(
    database: Database, dataverse: Dataverse
) -> None:
    await full_run(database, dataverse)
    before = await rows_without_runs(database)

    report = await full_run(database, dataverse)

    assert report.equal == len(NAMES)
    assert await rows_without_runs(database) == before


async def test_what_no_webhook_has_told_is_found(database: Database, dataverse: Dataverse) -> None:
    await full_run(database, dataverse)
    dataverse.member(NAMES[0], firstname="Kåre", new_verv="100000002")
    dataverse.member(NAMES[1], statecode=1)
    dataverse.member(NAMES[2], new_ermedlem=False)
    dataverse.tables.delete("contacts", guid(NAMES[3]))
    dataverse.member("Kari")
    dataverse.tables.link("contacts", WEB_ROLES, guid(NAMES[4]), name="Likeperson")

    await full_run(database, dataverse)

    world = await world_of(database)
    first = world.person(NAMES[0])
    assert first.profile["givenName"] == "Kåre"
    assert {code for code, _, _ in first.roles} == {"coordinator"}
    assert [world.person(NAMES[n]).state for n in (1, 2, 3)] == [INACTIVE] * 3
    assert world.person("Kari").state is ACTIVE
    assert {code for code, _, _ in world.person(NAMES[4]).roles} == {"member", "peer-mentor"}


async def test_contacts_that_are_no_members_are_not_taken_in(
    database: Database, dataverse: Dataverse
) -> None:
    dataverse.member("a supplier", new_ermedlem=False)

    report = await full_run(database, dataverse)

    assert report.out_of_scope == 1
    assert guid("a supplier") not in (await world_of(database)).people


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(HTTPStatus.OK, body={"value": []})] * 3,
        [*EMPTY, Fault(HTTPStatus.OK, body={"value": [{}]})],
        [*EMPTY, Fault(HTTPStatus.OK, body={"error": "?"})],
        [*EMPTY, Fault(HTTPStatus.FORBIDDEN)],
        [Fault(HTTPStatus.SERVICE_UNAVAILABLE)] * 20,
        [
            *EMPTY,
            Fault(HTTPStatus.OK, body={"value": [], "@odata.count": 24}),
        ],
    ],
    ids=["nobody", "empty rows", "an error", "forbidden", "down", "fewer than counted"],
)
async def test_wrong_answers_take_nobody_and_no_role_away(
    database: Database, dataverse: Dataverse, faults: list[Fault]
) -> None:
    await full_run(database, dataverse)
    before = await world_of(database)
    dataverse.web.faults.extend(faults)

    try:
        report = await full_run(database, dataverse)
    except PortalError:
        pass
    else:
        assert report.held

    assert await world_of(database) == before


async def test_nightly_run_asks_for_each_page_once(
    database: Database, dataverse: Dataverse
) -> None:
    await full_run(database, dataverse)

    tables = [request.split("?")[0].rpartition("/")[2] for request in dataverse.web.requests]
    assert tables.count("contacts") == 4
    assert tables.count("new_vervs") == 1
