"""Deliveries of Dataverse, over HTTP: its messages as they are written, and what comes of them."""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

import sync.dataverse
from app.server import running
from app.settings import Settings, SourceSettings
from tests.support.service import DEADLINE, Service

FOLDER = Path(sync.dataverse.__file__).parent
BODIES = {body.stem: body.read_bytes() for body in (FOLDER / "bodies").glob("*.json")}
CREATED = BODIES["01_create"]
KEY = "a key that nobody knows but us"
KARI = "6d81597f-0f9f-e711-8122-000d3aa2331c"
PER = "a1f2597f-0f9f-e711-8122-000d3aa2331c"
LOG = """query { syncLog { edges { node {
    eventId eventType status outcome detail deliveries occurredAt payload
    member { portalId } } } } }"""
MEMBER = """query($portalId: String!) { member(by: {portalId: $portalId}) {
    memberNumber givenName familyName email phone state organization { name }
    roles { role { code } organization { portalId } } } }"""


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    """The example, with the roles of the choice column only, which messages can tell of."""
    text = (FOLDER / "example.toml").read_text(encoding="utf-8")
    head, first, *_ = text.split("[[role]]")
    file = tmp_path / "min-side.toml"
    file.write_text(f"{head}[[role]]{first}", encoding="utf-8")
    return file


def with_mapping(database_url: str, mapping: Path, **given: Any) -> Settings:
    source = SourceSettings(
        scheme="dataverse", header="X-Portal-Key", secrets=[SecretStr(KEY)], mapping=mapping
    )
    return Settings(
        database_url=database_url,
        port=0,
        log_level="warning",
        sources={"min-side": source},
        **given,
    )


@pytest.fixture
def settings(database_url: str, mapping: Path) -> Settings:
    return with_mapping(database_url, mapping, max_delivery_bytes=64 * 1024)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Service]:
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        yield Service(url, http, settings)


async def send(
    service: Service, body: bytes | str, source: str = "min-side", **given: Any
) -> httpx.Response:
    """`body`: the name of one in the folder, or the bytes themselves."""
    content = BODIES[body] if isinstance(body, str) else body
    headers = {"X-Portal-Key": KEY, "Content-Type": "application/json", **given.pop("headers", {})}
    url = f"{service.url}/webhooks/{source}"
    return await service.http.post(url, content=content, headers=headers, **given)


async def tell(service: Service, *bodies: str) -> list[dict[str, Any]]:
    """Sends the bodies one after the other; returns the answers, which are all 200."""
    answers = []
    for body in bodies:
        response = await send(service, body)
        assert response.status_code == 200, response.text
        answers.append(response.json())
    return answers


async def log_of(service: Service) -> list[dict[str, Any]]:
    data = await service.data(LOG)
    return [edge["node"] for edge in data["syncLog"]["edges"]]


async def member(service: Service, id: str = KARI) -> dict[str, Any] | None:
    data = await service.data(MEMBER, portalId=id)
    found: dict[str, Any] | None = data["member"]
    return found


def codes(found: dict[str, Any] | None) -> set[str]:
    assert found is not None
    return {held["role"]["code"] for held in found["roles"]}


# What becomes of the rows


@pytest.mark.parametrize("version", ["9" * 400, '"' + "9" * 5000 + '"', '"soon"', "1e999"])
async def test_version_that_is_none_does_not_keep_the_row_from_being_applied(
    service: Service, version: str
) -> None:
    body = re.sub(rb'("versionnumber",\s*"value": )\d+', rb"\g<1>" + version.encode(), CREATED)
    assert body != CREATED

    response = await send(service, body)

    assert (response.status_code, response.json()["outcome"]) == (200, "created")


async def test_row_that_is_created_is_a_member_with_everything_that_is_mapped(
    service: Service,
) -> None:
    (answer,) = await tell(service, "01_create")

    assert answer["outcome"] == "created"
    kari = await member(service)
    assert kari is not None
    assert {**kari, "roles": None} == {
        "memberNumber": "104233",
        "givenName": "Kari",
        "familyName": "Nordmann",
        "email": "kari@example.no",
        "phone": "+4790000000",
        "state": "ACTIVE",
        "organization": {"name": "HLF Oslo"},
        "roles": None,
    }
    assert codes(kari) == {"member", "peer-mentor"}
    (entry,) = await log_of(service)
    assert entry["eventType"] == "membership-created"
    assert datetime.fromisoformat(entry["occurredAt"]) == datetime(2024, 11, 24, 9, 20, tzinfo=UTC)


async def test_columns_outside_the_mapping_are_not_stored(service: Service) -> None:
    await tell(service, "01_create")

    (entry,) = await log_of(service)
    for column in ("birthdate", "gendercode", "ownerid", "-126144000000"):
        assert column not in entry["payload"]
    assert "Nordmann" in entry["payload"]


async def test_update_changes_the_columns_that_it_names(service: Service) -> None:
    await tell(service, "01_create", "02_update")

    kari = await member(service)
    assert kari is not None
    assert (kari["givenName"], kari["familyName"]) == ("Kari Anne", "Nordmann")
    assert codes(kari) == {"member", "peer-mentor"}


async def test_image_tells_what_the_columns_of_the_update_leave_open(service: Service) -> None:
    await tell(service, "01_create", "03_update_with_image")

    kari = await member(service)
    assert kari is not None
    assert (kari["email"], kari["phone"]) == ("kari.anne@example.no", "22000000")


async def test_roles_are_those_of_the_choice_column(service: Service) -> None:
    await tell(service, "01_create", "20_roles")

    assert codes(await member(service)) == {"coordinator"}


async def test_statecode_ends_a_membership_and_set_state_begins_it_again(service: Service) -> None:
    created, ended = await tell(service, "01_create", "04_update_statecode")
    (again,) = await tell(service, "05_set_state")

    assert [created["outcome"], ended["outcome"], again["outcome"]] == [
        "created",
        "deactivated",
        "reactivated",
    ]


async def test_order_of_arrival_does_not_matter(
    service: Service,
) -> None:
    await tell(service, "01_create", "05_set_state", "04_update_statecode")
    kari = await member(service)
    assert kari is not None
    assert kari["state"] == "ACTIVE"

    await tell(service, "06_delete", "02_update")
    kari = await member(service)
    assert kari is not None
    assert kari["state"] == "INACTIVE"


async def test_deletion_of_a_row_that_was_no_member_creates_nobody(service: Service) -> None:
    body = BODIES["06_delete"].replace(b"new_ermedlem", b"new_noe_annet")

    response = await send(service, body)

    assert response.status_code == 200
    assert response.json()["outcome"] == "ignored"
    assert await member(service) is None


async def test_merge_is_of_both_rows(service: Service) -> None:
    await tell(service, "01_create")
    await send(service, BODIES["01_create"].replace(KARI.encode(), PER.encode()))

    await tell(service, "07_merge")

    kari, per = await member(service, KARI), await member(service, PER)
    assert kari is not None
    assert per is not None
    assert (kari["email"], kari["state"]) == ("kari.ny@example.no", "ACTIVE")
    assert per["state"] == "INACTIVE"
    assert len({entry["eventId"] for entry in await log_of(service)}) == 4


async def test_each_row_of_a_multiple_message_is_an_entry(service: Service) -> None:
    await tell(service, "10_create_multiple")

    entries = await log_of(service)
    assert sorted(entry["outcome"] for entry in entries) == ["CREATED", "CREATED", "IGNORED"]
    ase = await member(service, "00000001-0f9f-e711-8122-000d3aa2331c")
    assert ase is not None
    assert (ase["givenName"], ase["familyName"]) == ("Åse", "Sæther")
    assert await member(service, "00000003-0f9f-e711-8122-000d3aa2331c") is None


async def test_images_of_a_multiple_message_belong_to_their_rows(service: Service) -> None:
    await tell(service, "10_create_multiple", "11_update_multiple")

    ase = await member(service, "00000001-0f9f-e711-8122-000d3aa2331c")
    per = await member(service, "00000002-0f9f-e711-8122-000d3aa2331c")
    assert ase is not None
    assert per is not None
    assert (ase["state"], codes(ase)) == ("INACTIVE", {"member"})
    assert (per["state"], codes(per)) == ("ACTIVE", {"coordinator"})


@pytest.mark.parametrize(
    ("body", "name"),
    [("13_mojibake", "Sæther Ødegård Åsheim"), ("14_windows_1252", "Bjørnsæther")],
)
async def test_names_survive_what_happened_to_their_encoding(
    service: Service, body: str, name: str
) -> None:
    await tell(service, "01_create", body)

    kari = await member(service)
    assert kari is not None
    assert kari["familyName"] == name


async def test_message_within_a_string_is_read(service: Service) -> None:
    body = BODIES["15_json_in_a_string"]

    await tell(service, "01_create")
    response = await send(service, body, headers={"Content-Type": "text/plain"})

    assert response.json()["outcome"] in ("updated", "unchanged"), response.text


async def test_row_of_a_chapter_names_it_and_its_place(service: Service) -> None:
    await tell(service, "01_create", "17_chapter")

    kari = await member(service)
    assert kari is not None
    assert kari["organization"] == {"name": "HLF Oslo og omegn"}
    newest = (await log_of(service))[0]
    assert (newest["eventType"], newest["status"]) == ("organization-updated", "SUCCESS")


# What cannot be told


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("12_too_large", "256 KB"),
        ("08_associate", "Associate"),
        ("09_disassociate", "Disassociate"),
        ("18_role_row", "new_verv"),
    ],
)
async def test_what_cannot_be_told_from_a_body_is_rejected_with_the_reason(
    database_url: str, body: str, reason: str
) -> None:
    async with serving(with_mapping(database_url, FOLDER / "example.toml")) as service:
        (answer,) = await tell(service, body)

        assert answer["status"] == "rejected"
        (entry,) = await log_of(service)
        assert entry["status"] == "REJECTED"
        assert reason in entry["detail"]


@pytest.mark.parametrize("body", ["16_assign", "19_another_table"])
async def test_message_that_says_nothing_of_members_changes_nothing(
    service: Service, body: str
) -> None:
    (answer,) = await tell(service, body)

    assert answer["status"] == "skipped"
    (entry,) = await log_of(service)
    assert entry["outcome"] == "IGNORED"
    assert await member(service) is None


async def test_message_of_another_environment_is_rejected(service: Service) -> None:
    body = BODIES["01_create"].replace(b"4ef5b371", b"4ef5b372")

    response = await send(service, body)

    assert response.status_code == 200
    assert response.json()["status"] == "rejected"
    assert "environment" in response.json()["detail"]
    assert await member(service) is None


async def test_update_that_does_not_show_a_member_creates_nobody(service: Service) -> None:
    (answer,) = await tell(service, "02_update")

    assert (answer["status"], answer["outcome"]) == ("skipped", "ignored")
    assert await member(service) is None


async def test_state_is_not_guessed_when_the_message_lacks_what_decides(service: Service) -> None:
    body = BODIES["04_update_statecode"].replace(b'"Value": 1', b'"Value": 0')
    await tell(service, "01_create", "04_update_statecode")

    response = await send(service, body.replace(b"1732440180000", b"1732440990000"))

    assert "new_ermedlem" in response.json()["detail"]
    kari = await member(service)
    assert kari is not None
    assert kari["state"] == "INACTIVE"


# The answers


async def test_same_message_again_is_a_repetition(service: Service) -> None:
    await tell(service, "01_create", "01_create")

    (entry,) = await log_of(service)
    assert entry["deliveries"] == 2


async def test_key_is_taken_from_the_query_as_well(service: Service) -> None:
    response = await send(service, "01_create", headers={"X-Portal-Key": ""}, params={"code": KEY})

    assert response.status_code == 200


@pytest.mark.parametrize("given", [{}, {"params": {"code": "wrong"}}])
async def test_without_the_key_nothing_is_stored(service: Service, given: dict[str, Any]) -> None:
    response = await send(service, "01_create", headers={"X-Portal-Key": ""}, **given)

    assert response.status_code == 401
    assert await log_of(service) == []


async def test_other_answers_are_404_and_413_only(service: Service) -> None:
    unknown = await send(service, "01_create", source="elsewhere")
    large = await send(service, b" " * (64 * 1024 + 1))

    assert (unknown.status_code, large.status_code) == (404, 413)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[]", b"7", b"{}", b'"x"'])
async def test_what_is_no_message_is_stored_and_answered_200(service: Service, body: bytes) -> None:
    response = await send(service, body)

    assert response.status_code == 200, response.text
    assert response.json()["status"] == "rejected"
    (entry,) = await log_of(service)
    assert entry["status"] == "REJECTED"


async def test_validation_of_the_url_is_answered_and_not_recorded(service: Service) -> None:
    by_header = await send(service, b"", headers={"x-ms-dynamics-request-name": "URL_VALIDATION"})
    by_body = await send(service, b'{"MessageName": "URL_VALIDATION"}')

    assert (by_header.status_code, by_body.status_code) == (200, 200)
    assert await log_of(service) == []


async def test_key_is_written_to_no_log_and_no_answer(
    service: Service, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    for params in ({"code": KEY}, {"code": KEY, "x": "1"}):
        for body in (BODIES["01_create"], b"{", b" " * (64 * 1024 + 1)):
            response = await service.http.post(
                f"{service.url}/webhooks/min-side", content=body, params=params
            )
            said.append(response.text)
    # What the test's own client logs is not the service's.
    said += [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    said += capfd.readouterr()

    assert not any("nobody" in text or "a+key" in text or "a%20key" in text for text in said)


async def test_headers_that_matter_are_kept_with_the_entry(service: Service) -> None:
    headers = {
        "x-ms-dynamics-organization": "org6eadd181.crm4.dynamics.com",
        "x-ms-dynamics-msg-size-exceeded": "true",
        "x-ms-correlation-request-id": "b374239d",
    }

    await send(service, "12_too_large", headers=headers)

    (entry,) = await log_of(service)
    for value in headers.values():
        assert value in entry["payload"]
    assert KEY not in entry["payload"]
