"""The five promises of the service, each from the delivery to whoever is to see it."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.acceptance.product import Product
from tests.support.builders import (
    at,
    created,
    deactivated,
    guid,
    organization,
    reactivated,
    role,
    role_updated,
    updated,
)
from tests.support.service import DEADLINE, Service

MEMBER = """query($portalId: String!) { member(by: {portalId: $portalId}) {
    givenName familyName displayName state accessLevel stateChangedAt
    organization { name parent { name } } roles { role { code } organization { name } } } }"""
VIEWER = "{ viewer { accessLevel member { displayName state } } }"
MEMBERS = "{ members { edges { node { portalId state accessLevel } } } }"
LOG = """{ syncLog { edges { node { eventId eventType status outcome
    occurredAt receivedAt processedAt deliveries member { portalId } } } } }"""
CHANGES = """subscription { memberChanges { __typename ... on MemberChange {
    operation member { portalId state accessLevel organization { name } } } } }"""
NATIONAL, COUNTY, LOCAL = "HLF", "HLF Viken", "HLF Bærum"


async def tell_of_the_tree(service: Service) -> None:
    """The chapters, each with one member; Cato coordinates the county chapter."""
    await service.tell(
        created("Nina", organization=organization(NATIONAL)),
        created("Cato", organization=organization(COUNTY, NATIONAL), roles=[role("coordinator")]),
        created("Lars", organization=organization(LOCAL, COUNTY)),
    )


async def member_named(service: Service, name: str, **asking: Any) -> dict[str, Any]:
    data = await service.data(MEMBER, portalId=guid(name), **asking)
    found: dict[str, Any] = data["member"]
    return found


async def entry_of(service: Service, event_id: str) -> dict[str, Any]:
    data = await service.data(LOG)
    log: list[dict[str, Any]] = [edge["node"] for edge in data["syncLog"]["edges"]]
    (entry,) = [entry for entry in log if entry["eventId"] == event_id]
    return entry


# 1. A member added in the portal is in the app, under the right organization.


async def test_a_member_added_in_the_portal_is_in_the_app_under_the_right_organization(
    service: Service,
) -> None:
    await tell_of_the_tree(service)

    response = await service.deliver(
        created("Åse", organization=organization(LOCAL, COUNTY), roles=[role("peer-mentor")])
    )

    assert response.status_code == 200
    assert response.json()["outcome"] == "created"
    assert await member_named(service, "Åse", member="Cato") == {
        "givenName": "Åse",
        "familyName": "Nordmann",
        "displayName": "Åse Nordmann",
        "state": "ACTIVE",
        "accessLevel": "PEER_MENTOR",
        "stateChangedAt": "2024-11-01T09:00:00.000000Z",
        "organization": {"name": LOCAL, "parent": {"name": COUNTY}},
        "roles": [{"role": {"code": "peer-mentor"}, "organization": {"name": LOCAL}}],
    }


async def test_a_member_added_in_the_portal_is_delivered_to_a_coordinator_who_watches(
    service: Service,
) -> None:
    await tell_of_the_tree(service)

    async with service.subscribe(CHANGES, member="Cato") as changes:
        await changes.next("StreamHeartbeat")
        await service.tell(
            created("Out of sight", organization=organization(NATIONAL)),
            created("Åse", organization=organization(LOCAL, COUNTY)),
        )
        change = await changes.next("MemberChange")

    assert change["operation"] == "ADDED"
    assert change["member"]["portalId"] == guid("Åse")
    assert change["member"]["organization"] == {"name": LOCAL}


# 2. A role changed in the portal is the access level of the member's next app session.


async def test_a_role_changed_in_the_portal_is_the_access_level_of_the_next_query_with_an_old_token(
    service: Service,
) -> None:
    await service.tell(created("Kari", roles=[role("member")]))
    token = service.token("Kari")
    before = await service.data(VIEWER, token=token)

    await service.tell(role_updated("Kari", 1, roles=[role("coordinator")]))

    assert before["viewer"]["accessLevel"] == "MEMBER"
    after = await service.data(VIEWER, token=token)
    assert after["viewer"]["accessLevel"] == "COORDINATOR"


async def test_a_role_changed_in_the_portal_is_pushed_to_the_member(service: Service) -> None:
    await service.tell(created("Kari", roles=[role("member")]))

    async with service.subscribe(
        """subscription { viewerChanges { __typename
            ... on ViewerChange { viewer { accessLevel } } } }""",
        member="Kari",
    ) as changes:
        await changes.next("StreamHeartbeat")
        await service.tell(role_updated("Kari", 1, roles=[role("peer-mentor")]))
        change = await changes.next("ViewerChange")

    assert change["viewer"] == {"accessLevel": "PEER_MENTOR"}


# 3. A member deactivated can no longer use the app, and is inactive in coordinators' views.


async def test_a_member_deactivated_in_the_portal_can_no_longer_use_the_app(
    service: Service,
) -> None:
    await service.tell(created("Kari"))
    token = service.token("Kari")
    before = await service.data(VIEWER, token=token)

    await service.tell(deactivated("Kari"))

    assert before["viewer"]["member"]["state"] == "ACTIVE"
    for query in (VIEWER, MEMBERS, "{ roles { code } }"):
        answer = await service.ask(query, token=token)
        codes = [error["extensions"]["code"] for error in answer["errors"]]
        assert codes == ["MEMBER_INACTIVE"]
        assert not any((answer.get("data") or {}).values())


async def test_a_member_deactivated_in_the_portal_is_inactive_in_the_coordinators_list(
    service: Service,
) -> None:
    await tell_of_the_tree(service)

    async with service.subscribe(CHANGES, member="Cato") as changes:
        await changes.next("StreamHeartbeat")
        await service.tell(deactivated("Lars"))
        change = await changes.next("MemberChange")

    data = await service.data(MEMBERS, member="Cato")
    listed = {edge["node"]["portalId"]: edge["node"] for edge in data["members"]["edges"]}
    assert listed[guid("Lars")]["state"] == "INACTIVE"
    assert listed[guid("Lars")]["accessLevel"] == "NONE"
    assert change["operation"] == "UPDATED"
    assert change["member"]["state"] == "INACTIVE"


async def test_a_socket_of_a_deactivated_member_is_closed(service: Service) -> None:
    await service.tell(created("Kari"), created("Ola"))
    address = service.url.replace("http", "ws", 1) + "/graphql"
    protocol = Subprotocol("graphql-transport-ws")

    async with (
        connect(address, subprotocols=[protocol]) as kari,
        connect(address, subprotocols=[protocol]) as ola,
    ):
        await _introduce(kari, service.token("Kari"))
        await _introduce(ola, service.token("Ola"))
        await service.tell(deactivated("Kari"))
        code = await _closing_code(kari)
        await ola.send('{"type": "ping"}')
        answer = json.loads(await asyncio.wait_for(ola.recv(), DEADLINE))

    assert code == 4403
    assert answer["type"] == "pong", "another member's socket stays open"


async def _introduce(socket: ClientConnection, token: str) -> None:
    """Nothing is subscribed to: the socket alone must be closed."""
    payload = {"authorization": f"Bearer {token}"}
    await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
    answer = json.loads(await asyncio.wait_for(socket.recv(), DEADLINE))
    assert answer["type"] == "connection_ack"


async def _closing_code(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(DEADLINE):
        with suppress(ConnectionClosed):
            async for _ in socket:
                pass
    return socket.close_code


async def test_a_deactivated_member_cannot_open_a_socket_again(service: Service) -> None:
    await service.tell(created("Kari"), deactivated("Kari"))
    address = service.url.replace("http", "ws", 1) + "/graphql"
    payload = {"authorization": f"Bearer {service.token('Kari')}"}

    async with connect(address, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        code = await _closing_code(socket)

    assert code == 4403


# 4. An administrator who looks at the sync log sees the event's type, its time, and success.


async def test_an_administrator_sees_the_type_the_time_and_success_of_an_event_in_the_log(
    service: Service,
) -> None:
    await service.tell(created("Anne", roles=[role("organization-administrator")]))
    await service.deliver(created("Kari", 7), "evt_kari")

    data = await service.data(LOG, member="Anne")

    entry = data["syncLog"]["edges"][0]["node"]
    assert entry["eventId"] == "evt_kari"
    assert entry["eventType"] == "membership-created"
    assert entry["occurredAt"] == at(7).replace("Z", ".000000Z")
    assert entry["status"] == "SUCCESS"
    assert entry["receivedAt"] <= entry["processedAt"]


async def test_an_administrator_who_watches_the_log_is_sent_the_event(service: Service) -> None:
    await service.tell(created("Anne", roles=[role("organization-administrator")]))

    async with service.subscribe(
        """subscription { syncLogChanges { __typename
            ... on SyncLogChange { operation entry { eventType status outcome } } } }""",
        member="Anne",
    ) as changes:
        await changes.next("StreamHeartbeat")
        await service.tell(created("Kari"))
        change = await changes.next("SyncLogChange")

    assert change["operation"] == "ADDED"
    assert change["entry"] == {
        "eventType": "membership-created",
        "status": "SUCCESS",
        "outcome": "CREATED",
    }


# 5. An event about a person the app has never seen creates that person, and the log says so.


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (created("Kari"), "ACTIVE"),
        (updated("Kari", organization=organization()), "ACTIVE"),
        (role_updated("Kari", roles=[role("member", "HLF Oslo")]), "ACTIVE"),
        (deactivated("Kari"), "INACTIVE"),
        (reactivated("Kari"), "ACTIVE"),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
async def test_an_event_about_a_person_never_seen_creates_that_person_and_the_log_says_so(
    service: Service, event: dict[str, Any], state: str
) -> None:
    response = await service.deliver(event, "evt_1")

    assert response.status_code == 200
    assert response.json() == {"id": "evt_1", "status": "success", "outcome": "created"}
    assert (await member_named(service, "Kari"))["state"] == state
    entry = await entry_of(service, "evt_1")
    assert (entry["eventType"], entry["status"]) == (event["type"], "SUCCESS")
    assert entry["outcome"] == "CREATED"
    assert entry["member"] == {"portalId": guid("Kari")}


# Behind all of them: what was acknowledged is durable.


async def test_an_acknowledged_event_survives_a_kill_right_after_the_answer(
    product: Product, service: Service
) -> None:
    answers = await asyncio.gather(
        *(service.deliver(created(f"M{n}"), f"evt_{n}") for n in range(20)),
        _kill_after_the_answer(product, service),
        return_exceptions=True,
    )
    acknowledged = [
        f"M{n}"
        for n, answer in enumerate(answers)
        if isinstance(answer, httpx.Response) and answer.status_code == 200
    ]

    product.start()

    for name in [*acknowledged, "Last words"]:
        assert (await member_named(service, name))["state"] == "ACTIVE"
    again = await service.deliver(created("Last words"), "evt_last")
    assert again.json()["outcome"] == "created"
    entry = await entry_of(service, "evt_last")
    assert entry["deliveries"] == 2


async def _kill_after_the_answer(product: Product, service: Service) -> None:
    answer = await service.deliver(created("Last words"), "evt_last")
    product.kill()
    assert answer.status_code == 200
