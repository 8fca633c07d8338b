"""The Web API of Dataverse as it is read, against a simulated one over HTTP."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from db.vocabulary import PortalId
from sync.dataverse.access_tokens import FixedToken, Tokens, tokens_of
from sync.dataverse.connected_portal import DataversePortal
from sync.dataverse.errors import PortalRefusedError, PortalUnavailableError
from sync.dataverse.mapping import ClientSecret, ManagedIdentity, parse_mapping
from sync.dataverse.web_api import IncompleteError, WebApi
from sync.simulator.dataverse.served_api import Fault
from tests.support.builders import guid
from tests.support.dataverse import TOKEN, WEB_ROLES, Dataverse, simulated_dataverse

NOW = datetime(2024, 12, 1, 12, 0, tzinfo=UTC)
SECRET = ClientSecret(tenant="tenant", client_id="client", secret_env="THE_SECRET")


@pytest.fixture
async def dataverse() -> AsyncIterator[Dataverse]:
    async with simulated_dataverse() as dataverse:
        yield dataverse


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as http:
        yield http


@pytest.fixture
def waited() -> list[float]:
    """The seconds that were waited between attempts."""
    return []


@pytest.fixture
def portal(dataverse: Dataverse, http: httpx.AsyncClient, waited: list[float]) -> DataversePortal:
    return portal_with(dataverse, http, FixedToken(TOKEN), waited)


def portal_with(
    dataverse: Dataverse, http: httpx.AsyncClient, tokens: Tokens, waited: list[float]
) -> DataversePortal:
    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    api = WebApi(http, dataverse.url, tokens, page_size=7, sleep=sleep)
    return DataversePortal(api, dataverse.mapping(), lambda: NOW)


def id_of(name: str) -> PortalId:
    return PortalId(guid(name))


async def said_of(portal: DataversePortal, name: str) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(await portal.member(id_of(name)))
    return document


async def all_of(portal: DataversePortal) -> list[dict[str, Any]]:
    return [msgspec.json.decode(body) async for body in portal.members()]


# What a row says


async def test_row_says_everything_of_a_member_as_of_the_reading(
    dataverse: Dataverse, portal: DataversePortal
) -> None:
    dataverse.member("Kari", emailaddress1="kari@example.no", telephone1="22")

    said = await said_of(portal, "Kari")

    assert said["type"] == "membership-stated"
    assert datetime.fromisoformat(said["timestamp"]) == NOW
    assert said["data"] == {
        "member": {
            "id": guid("Kari"),
            "memberNumber": "Kari",
            "givenName": "Kari",
            "familyName": "Nordmann",
            "email": "kari@example.no",
            "phone": "22",
        },
        "organization": {"id": guid("HLF Oslo")},
        "roles": [{"code": "member"}],
        "state": "ACTIVE",
    }


async def test_roles_are_those_of_all_three_kinds(
    dataverse: Dataverse, portal: DataversePortal
) -> None:
    dataverse.member("Kari", new_verv="100000000,100000002")
    dataverse.tables.put(
        "new_vervs",
        guid("verv"),
        new_contactid=guid("Kari"),
        new_lokallagid=guid("HLF Bergen"),
        new_vervtype=100000004,
    )
    dataverse.tables.link("contacts", WEB_ROLES, guid("Kari"), name="Likeperson")

    said = await said_of(portal, "Kari")

    assert {(role["code"], role.get("organizationId")) for role in said["data"]["roles"]} == {
        ("member", None),
        ("coordinator", None),
        ("peer-mentor", None),
        ("organization-administrator", guid("HLF Bergen")),
    }


@pytest.mark.parametrize(
    ("columns", "held"),
    [
        ({"new_fra": "2024-12-01"}, True),
        ({"new_fra": "2024-12-02"}, False),
        ({"new_til": "2024-12-01"}, True),
        ({"new_til": "2024-11-30"}, False),
        ({"statecode": 1}, False),
    ],
)
async def test_role_with_a_period_is_held_on_its_days(
    dataverse: Dataverse, portal: DataversePortal, columns: dict[str, object], held: bool
) -> None:
    dataverse.member("Kari", new_verv=None)
    given = {"new_contactid": guid("Kari"), "new_vervtype": 100000003, **columns}
    dataverse.tables.put("new_vervs", guid("verv"), **given)

    said = await said_of(portal, "Kari")

    assert bool(said["data"]["roles"]) is held


@pytest.mark.parametrize(
    "columns",
    [{"statecode": 1}, {"new_utmeldtdato": "2024-11-30"}, {"new_ermedlem": False}],
)
async def test_row_that_fulfils_not_everything_is_no_active_member(
    dataverse: Dataverse, portal: DataversePortal, columns: dict[str, Any]
) -> None:
    dataverse.member("Kari", **columns)

    said = await said_of(portal, "Kari")

    assert said["data"]["state"] == "INACTIVE"


async def test_row_that_is_gone_says_so_of_known_people_only(portal: DataversePortal) -> None:
    said = await said_of(portal, "Kari")

    assert said["type"] == "membership-deactivated"
    assert said["translation"]["onlyIfKnown"] is True


async def test_all_pages_are_read(dataverse: Dataverse, portal: DataversePortal) -> None:
    for number in range(20):
        dataverse.member(f"member {number}")

    said = await all_of(portal)

    assert {one["data"]["member"]["id"] for one in said} == {
        guid(f"member {number}") for number in range(20)
    }
    assert sum("contacts" in request for request in dataverse.web.requests) == 3


# Patience


@pytest.mark.parametrize(
    "status",
    [
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
    ],
)
async def test_portal_that_is_busy_is_asked_again_when_it_says(
    dataverse: Dataverse, portal: DataversePortal, waited: list[float], status: HTTPStatus
) -> None:
    dataverse.member("Kari")
    dataverse.web.faults.append(Fault(status, retry_after=17))

    assert (await said_of(portal, "Kari"))["data"]["state"] == "ACTIVE"

    assert waited == [17]


async def test_wait_is_a_minute_at_most(
    dataverse: Dataverse, portal: DataversePortal, waited: list[float]
) -> None:
    dataverse.web.faults.append(Fault(HTTPStatus.TOO_MANY_REQUESTS, retry_after=3600))

    await portal.member(id_of("Kari"))

    assert waited == [60]


async def test_portal_that_stays_away_is_given_up(
    dataverse: Dataverse, portal: DataversePortal
) -> None:
    dataverse.web.faults.extend([Fault(HTTPStatus.SERVICE_UNAVAILABLE)] * 20)

    with pytest.raises(PortalUnavailableError, match="503"):
        await portal.member(id_of("Kari"))


async def test_error_of_the_mapping_is_told_in_the_words_of_the_portal(
    dataverse: Dataverse, http: httpx.AsyncClient
) -> None:
    text = dataverse.mapping_text().replace('"emailaddress1"', '"emailadress1"')
    mapping = parse_mapping(text, "min-side.toml")
    dataverse.member("Kari")
    api = WebApi(http, dataverse.url, FixedToken(TOKEN))
    portal = DataversePortal(api, mapping, lambda: NOW)

    with pytest.raises(PortalRefusedError, match="emailadress1"):
        await portal.member(id_of("Kari"))


@pytest.mark.parametrize(
    "body",
    [
        {"value": [], "@odata.count": 3},
        {"value": [], "@odata.nextLink": "http://elsewhere.example/contacts?$skiptoken=1"},
        {"value": "no rows"},
        {"value": [{}]},
        {"value": [{"contactid": guid("Kari"), "firstname": "Kari"}]},
        [],
    ],
)
async def test_answer_that_is_not_whole_is_none(
    dataverse: Dataverse, portal: DataversePortal, body: object
) -> None:
    dataverse.member("Kari")
    # The tables of roles and of chapters are read first.
    dataverse.web.faults.extend([Fault(HTTPStatus.OK, body={"value": []})] * 2)
    dataverse.web.faults.append(Fault(HTTPStatus.OK, body=body))

    with pytest.raises((PortalUnavailableError, PortalRefusedError)):
        await all_of(portal)


async def test_pages_that_go_in_a_circle_are_noticed(
    dataverse: Dataverse, portal: DataversePortal
) -> None:
    again = {"value": [], "@odata.nextLink": f"{dataverse.url}/contacts?$skiptoken=7"}
    dataverse.web.faults.extend([Fault(HTTPStatus.OK, body={"value": []})] * 2)
    dataverse.web.faults.extend([Fault(HTTPStatus.OK, body=again)] * 3)

    with pytest.raises(IncompleteError, match="circle"):
        await all_of(portal)


# Tokens


async def test_token_is_asked_for_once_and_again_when_it_is_refused(
    dataverse: Dataverse, http: httpx.AsyncClient, waited: list[float]
) -> None:
    tokens = tokens_of(
        SECRET,
        dataverse.url,
        http,
        lambda: NOW,
        environment={"THE_SECRET": dataverse.web.secret},
        authority=dataverse.authority,
    )
    portal = portal_with(dataverse, http, tokens, waited)

    first, again = await tokens.token(), await tokens.token()
    dataverse.web.end_tokens()
    await portal.member(id_of("Kari"))

    assert first == again
    assert await tokens.token() != first
    assert waited == []


async def test_token_is_renewed_before_it_ends(
    dataverse: Dataverse, http: httpx.AsyncClient
) -> None:
    now = NOW
    tokens = tokens_of(
        SECRET,
        dataverse.url,
        http,
        lambda: now,
        environment={"THE_SECRET": dataverse.web.secret},
        authority=dataverse.authority,
    )
    first = await tokens.token()

    now = NOW + timedelta(minutes=56)

    assert await tokens.token() != first


async def test_secret_can_stand_in_a_file(
    dataverse: Dataverse, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{dataverse.web.secret}\n")
    tokens = tokens_of(
        SECRET,
        dataverse.url,
        http,
        lambda: NOW,
        environment={"THE_SECRET_FILE": str(file)},
        authority=dataverse.authority,
    )

    assert await tokens.token()


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"THE_SECRET_FILE": "/nowhere"}, "No such file"),
        ({"THE_SECRET_FILE": "/nowhere", "THE_SECRET": "hidden"}, "not both"),
    ],
)
async def test_file_of_a_secret_that_cannot_be_used_is_told(
    environment: dict[str, str], why: str, dataverse: Dataverse, http: httpx.AsyncClient
) -> None:
    with pytest.raises(PortalRefusedError, match=why) as refusal:
        tokens_of(SECRET, dataverse.url, http, lambda: NOW, environment=environment)

    assert "hidden" not in str(refusal.value)


async def test_wrong_or_missing_secret_is_told_without_it(
    dataverse: Dataverse, http: httpx.AsyncClient
) -> None:
    with pytest.raises(PortalRefusedError, match="THE_SECRET"):
        tokens_of(SECRET, dataverse.url, http, lambda: NOW, environment={})
    wrong = tokens_of(
        SECRET,
        dataverse.url,
        http,
        lambda: NOW,
        environment={"THE_SECRET": "wrong"},
        authority=dataverse.authority,
    )
    with pytest.raises(PortalRefusedError, match="refuses the client"):
        await wrong.token()


def test_kinds_of_azure_identity_say_what_they_need(http: httpx.AsyncClient) -> None:
    with pytest.raises(PortalRefusedError, match="azure-identity"):
        tokens_of(ManagedIdentity(), "https://org.example/api", http, lambda: NOW)
