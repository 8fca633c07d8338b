"""Deliveries of brokers over HTTP: envelopes in all modes, and the handshakes before them."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

import sync.cloudevents
from app.server import running
from app.settings import Settings, SourceSettings
from db.vocabulary import SyncStatus
from sync.cloudevents.envelopes import EnvelopeReader
from sync.recording.deliveries import receipt_of
from tests.support.builders import EPOCH, created, deactivated, guid, updated
from tests.support.service import DEADLINE, Service
from tests.sync.dataverse.test_deliveries import mapping

__all__ = ["mapping"]

FOLDER = Path(sync.cloudevents.__file__).parent / "bodies"
BODIES = sorted(FOLDER.glob("*.json"))
KEY = "a key that nobody knows but us"
KARI = "6d81597f-0f9f-e711-8122-000d3aa2331c"
PER = "a1f2597f-0f9f-e711-8122-000d3aa2331c"
LOG = """{ syncLog(first: 50) { totalCount edges { node {
    eventId eventType status outcome occurredAt deliveries payload } } } }"""
MEMBER = """query($id: String!) { member(by: {portalId: $id}) {
    givenName familyName email phone state roles { role { code } } } }"""
MODES = {
    "structured": "application/cloudevents+json; charset=utf-8",
    "batched": "application/cloudevents-batch+json",
}


@pytest.fixture
def settings(database_url: str, mapping: Path) -> Settings:
    source = SourceSettings(
        scheme="cloudevents", header="X-Broker-Key", secrets=[SecretStr(KEY)], mapping=mapping
    )
    return Settings(
        database_url=database_url, port=0, log_level="warning", sources={"grid": source}
    )


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        yield Service(url, http, settings)


async def send(
    service: Service, body: object, mode: str = "structured", *, key: str = KEY, **headers: str
) -> httpx.Response:
    given = {"content-type": MODES.get(mode, mode), **headers}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await service.http.post(
        f"{service.url}/webhooks/grid", params={"code": key}, content=content, headers=given
    )


def envelope(event: dict[str, Any], id: str = "1", **attributes: Any) -> dict[str, Any]:
    """The event with its attributes in those of a CloudEvent."""
    return {
        "specversion": "1.0",
        "id": id,
        "source": "/min-side",
        "type": f"no.hlf.minside.{event['type']}",
        "time": event["timestamp"],
        "data": event["data"],
        **attributes,
    }


def headers_of(body: Path) -> dict[str, str]:
    file = body.with_suffix(".headers")
    if not file.exists():
        return {}
    lines = file.read_text(encoding="utf-8").splitlines()
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}


async def member(service: Service, id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await service.data(MEMBER, id=id))["member"]
    return found


async def log_of(service: Service) -> list[dict[str, Any]]:
    data = await service.data(LOG)
    return [edge["node"] for edge in data["syncLog"]["edges"]]


async def test_bodies_end_in_the_members_that_they_tell_of(service: Service) -> None:
    for body in BODIES:
        response = await send(
            service, body.read_bytes(), "application/json; charset=utf-8", **headers_of(body)
        )
        assert response.status_code == 200, (body.stem, response.text)

    assert await member(service, KARI) == {
        "givenName": "Kari Åse",
        "familyName": "Hansen",
        "email": "kari.nordmann@example.no",
        "phone": "+4792222222",
        "state": "ACTIVE",
        "roles": [{"role": {"code": "peer-mentor"}}],
    }
    per = await member(service, PER)
    assert (per["state"], per["roles"]) == ("INACTIVE", [{"role": {"code": "coordinator"}}])
    log = await log_of(service)
    ignored = [entry for entry in log if entry["outcome"] == "IGNORED"]
    assert [entry["eventType"] for entry in ignored] == ["Microsoft.Storage.BlobCreated"]


@pytest.mark.parametrize("mode", MODES)
async def test_event_is_known_by_the_id_and_source_of_its_envelope(
    service: Service, mode: str
) -> None:
    one, other = created("Kari"), created("Per")

    for told in (
        envelope(one),
        envelope(one, time=one["timestamp"]),
        envelope(other, source="/another"),
    ):
        response = await send(service, [told] if mode == "batched" else told, mode)
        assert response.status_code == 200, response.text
    conflicting = await send(service, envelope(other))

    assert conflicting.status_code == 409
    assert response.json()["id"] == "1@/another"
    entries = {entry["eventId"]: entry["deliveries"] for entry in await log_of(service)}
    assert entries["1@/min-side"] == 2
    assert entries["1@/another"] == 1


async def test_batch_is_answered_with_what_needs_most_attention_and_taken_as_far_as_it_goes(
    service: Service,
) -> None:
    flawed = envelope(created("Mona"), "2", data={"member": {"id": "nobody"}})

    response = await send(
        service, [envelope(created("Kari"), "1"), flawed, envelope(created("Per"), "3")], "batched"
    )
    again = await send(service, [envelope(created("Kari"), "1")], "batched")

    assert response.status_code == 422
    assert again.status_code == 200
    statuses = {entry["eventId"]: entry["status"] for entry in await log_of(service)}
    assert statuses == {
        "1@/min-side": "SUCCESS",
        "2@/min-side": "REJECTED",
        "3@/min-side": "SUCCESS",
    }


@pytest.mark.parametrize("body", [{"no": "envelope"}, [7], b"{"], ids=str)
async def test_what_is_no_envelope_is_refused_and_stored(service: Service, body: object) -> None:
    response = await send(service, body)

    assert response.status_code in (400, 422)
    assert [entry["status"] for entry in await log_of(service)] == ["REJECTED"]


async def test_envelope_cannot_speak_as_our_own_translations_do(service: Service) -> None:
    said = {**updated("Kari"), "translation": {"lookAt": guid("Kari"), "rejected": "no"}}

    whole = await send(service, envelope(updated("Kari"), data=said))
    beside = await send(service, envelope(updated("Kari"), "2", translation={"rejected": "no"}))

    assert [whole.json()["status"], beside.json()["status"]] == ["success", "success"]


async def test_only_the_event_is_stored(service: Service) -> None:
    await send(service, envelope(created("Kari"), subject="a secret", extension="another"))

    (entry,) = await log_of(service)
    assert json.loads(entry["payload"]) == created("Kari")


# Handshakes

ASKED = {"WebHook-Request-Origin": "eventgrid.azure.net", "WebHook-Request-Rate": "120"}


async def ask(service: Service, source: str = "grid", **given: Any) -> httpx.Response:
    return await service.http.request("OPTIONS", f"{service.url}/webhooks/{source}", **given)


@pytest.mark.parametrize(
    "given",
    [
        {"params": {"code": KEY}, "headers": ASKED},
        {"headers": {**ASKED, "Authorization": f"Bearer {KEY}"}},
        {"headers": {**ASKED, "X-Broker-Key": KEY}},
    ],
    ids=["in the address", "as a bearer token", "in the header"],
)
async def test_broker_with_the_key_may_send(service: Service, given: dict[str, Any]) -> None:
    response = await ask(service, **given)

    assert response.status_code == 200
    assert response.headers["webhook-allowed-origin"] == "eventgrid.azure.net"
    assert response.headers["webhook-allowed-rate"] == "*"
    assert "POST" in response.headers["allow"]
    assert await log_of(service) == []


@pytest.mark.parametrize(
    ("given", "status"),
    [
        pytest.param({"headers": ASKED}, 401, id="no key"),
        pytest.param({"headers": ASKED, "params": {"code": "wrong"}}, 401, id="a wrong key"),
        pytest.param({"params": {"code": KEY}}, 405, id="nothing is asked"),
        pytest.param({"headers": ASKED, "source": "unknown"}, 405, id="an unknown source"),
    ],
)
async def test_nobody_else_may(service: Service, given: dict[str, Any], status: int) -> None:
    response = await ask(service, **given)

    assert response.status_code == status
    assert "webhook-allowed-origin" not in response.headers


async def test_subscription_of_event_grid_is_validated_with_the_key_alone(
    service: Service,
) -> None:
    body = (FOLDER / "09_event_grid_validation.json").read_bytes()
    asked = {"aeg-event-type": "SubscriptionValidation"}

    refused = await send(service, body, "application/json", key="wrong", **asked)
    response = await send(service, body, "application/json", **asked)

    assert refused.status_code == 401
    assert response.status_code == 200
    assert response.json() == {"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}
    assert await log_of(service) == []


async def test_wrong_key_is_answered_401_and_nothing_is_stored(service: Service) -> None:
    response = await send(service, envelope(created("Kari")), key="wrong")

    assert response.status_code == 401
    assert await log_of(service) == []


# The law of the modes

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(told=st.sampled_from([created("Kari"), updated("Åse"), deactivated("Per")]))
def test_every_mode_tells_the_same_event(told: dict[str, Any]) -> None:
    attributes = envelope(told)
    data = attributes.pop("data")
    binary = {f"ce-{name}".encode(): value.encode() for name, value in attributes.items()}
    encoded = base64.b64encode(json.dumps(data).encode()).decode()

    read = [
        EnvelopeReader()("grid", "", EPOCH, headers, json.dumps(body).encode())
        for headers, body in (
            ({}, {**attributes, "data": data}),
            ({}, [{**attributes, "data": data}]),
            (binary, data),
            ({}, {**attributes, "data_base64": encoded}),
            ({}, {**attributes, "data": json.dumps(data)}),
        )
    ]

    assert all(len(deliveries) == 1 for deliveries in read)
    assert len({(one.event_id, one.body, repr(one.content)) for (one,) in read}) == 1


@given(value=json_values, name=st.sampled_from(["data", "data_base64", "type", "time", "id"]))
def test_whatever_stands_in_an_envelope_is_read_or_refused(value: object, name: str) -> None:
    body = json.dumps({**envelope(created("Kari")), name: value}).encode()

    deliveries = EnvelopeReader()("grid", "", EPOCH, {}, body)

    assert len(deliveries) == 1
    assert 1 <= len(deliveries[0].event_id) <= 200
    receipt_of(deliveries[0], SyncStatus.SUCCESS, None, None)


@pytest.mark.parametrize(
    "value",
    [
        "9" * 30,
        "9" * 5000,
        '"\\ud800"',
        "NaN",
        "1e999",
        "[" * 900 + "]" * 900,
        "[" * 5000 + "]" * 5000,
    ],
    ids=["a long number", "a longer one", "half a character", "NaN", "infinite", "deep", "deeper"],
)
@pytest.mark.parametrize("name", ["data", "data_base64", "type", "id", "source"])
async def test_whatever_can_be_read_is_stored(service: Service, value: str, name: str) -> None:
    told = {**envelope(created("Kari")), name: "here"}
    body = json.dumps(told).replace('"here"', value).encode()

    response = await send(service, body)

    assert response.status_code in (200, 400, 422), response.text
    assert len(await log_of(service)) == 1


@pytest.mark.parametrize("name", ["data", "id"])
def test_depth_at_which_reading_and_writing_part_is_no_surprise(name: str) -> None:
    for levels in range(900, 1010):
        told = json.dumps({**envelope(created("Kari")), name: "here"})
        body = told.replace('"here"', "[" * levels + "]" * levels).encode()

        assert len(EnvelopeReader()("grid", "", EPOCH, {}, body)) == 1
