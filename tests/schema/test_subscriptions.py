"""Subscriptions over graphql-transport-ws: what changes, from the viewer's side, while it does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gql.transport.exceptions import TransportQueryError
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.support.builders import (
    created,
    deactivated,
    guid,
    organization,
    reactivated,
    role,
    role_updated,
    updated,
)
from tests.support.service import DEADLINE, Service, Stream

MEMBER_CHANGES = """
subscription ($organizationId: ID, $after: ChangeCursor, $filter: MemberFilter) {
  memberChanges(organizationId: $organizationId, after: $after, filter: $filter) { __typename
    ... on StreamHeartbeat { cursor serverTime }
    ... on ResyncRequired { cursor reason }
    ... on MemberChange { cursor operation memberId occurredAt
      member { givenName phone state accessLevel organization { name }
        roles { role { code } organization { name } } } } } }
"""
LOG_CHANGES = """
subscription ($organizationId: ID, $after: ChangeCursor, $filter: SyncLogFilter) {
  syncLogChanges(organizationId: $organizationId, after: $after, filter: $filter) { __typename
    ... on StreamHeartbeat { cursor }
    ... on ResyncRequired { reason }
    ... on SyncLogChange { cursor operation entryId
      entry { eventId status outcome deliveries member { givenName } } } } }
"""
VIEWER_CHANGES = """
subscription { viewerChanges { __typename
    ... on ViewerChange { cursor viewer { accessLevel member { state phone }
      accesses { accessLevel organization { name } } } } } }
"""
CURSOR = "{ members { changeCursor } }"
SET_ACCESS = """mutation ($code: String!, $level: AccessLevel!) {
    setRoleAccess(input: {code: $code, accessLevel: $level}) { __typename } }"""


async def started(stream: Stream) -> str:
    """The cursor of the heartbeat that comes first."""
    first = await anext(stream)
    assert first["__typename"] == "StreamHeartbeat"
    cursor: str = first.get("cursor", "")
    return cursor


async def change(stream: Stream) -> tuple[str, str | None]:
    """The next message, which must be a change: its operation, and of whom."""
    message = await anext(stream)
    assert message["__typename"] == "MemberChange", message
    member = message["member"]
    return message["operation"], member["givenName"] if member else None


async def place_now(service: Service, member: str | None = None) -> str:
    cursor: str = (await service.data(CURSOR, member=member))["members"]["changeCursor"]
    return cursor


def home(name: str, parent: str | None = None) -> dict[str, Any]:
    return organization(name, parent)


async def test_heartbeat_with_a_cursor_comes_first(service: Service) -> None:
    await service.tell(created("Kari"))
    at = await place_now(service)

    async with service.subscribe(MEMBER_CHANGES) as stream:
        first = await anext(stream)

    assert first["__typename"] == "StreamHeartbeat"
    assert first["cursor"] == at
    assert first["serverTime"]


async def test_member_is_added_updated_and_kept_when_inactive(service: Service) -> None:
    async with service.subscribe(MEMBER_CHANGES) as stream:
        await started(stream)
        await service.tell(created("Kari"))
        await service.tell(updated("Kari", profile={"phone": "+4790000000"}))
        await service.tell(deactivated("Kari", 2))

        messages = [await anext(stream) for _ in range(3)]

    assert [message["operation"] for message in messages] == ["ADDED", "UPDATED", "UPDATED"]
    assert messages[0]["member"]["roles"] == [
        {"role": {"code": "member"}, "organization": {"name": "HLF Oslo"}}
    ]
    assert messages[1]["member"]["phone"] == "+4790000000"
    assert messages[2]["member"]["state"] == "INACTIVE"
    assert messages[2]["member"]["accessLevel"] == "NONE"
    assert len({message["memberId"] for message in messages}) == 1
    assert len({message["cursor"] for message in messages}) == 3


async def test_what_changes_nothing_is_not_sent(service: Service) -> None:
    await service.tell(created("Kari"))

    async with service.subscribe(MEMBER_CHANGES) as stream:
        await started(stream)
        await service.tell(created("Kari", -1), updated("Kari", 2))
        await service.tell(created("Per"))

        assert await change(stream) == ("ADDED", "Per")


async def test_member_moves_into_and_out_of_a_coordinators_sight(service: Service) -> None:
    await service.tell(
        created("Mona", organization=home("Oslo"), roles=[role("coordinator", "Oslo")]),
        created("Kari", organization=home("Bergen"), roles=[]),
    )

    async with service.subscribe(MEMBER_CHANGES, member="Mona") as stream:
        await started(stream)
        await service.tell(updated("Kari", 1, profile={"phone": "1"}))
        await service.tell(updated("Kari", 2, organization=home("Oslo")))
        arrived = await anext(stream)
        await service.tell(updated("Kari", 3, profile={"phone": "2"}))
        stayed = await anext(stream)
        await service.tell(updated("Kari", 4, organization=home("Bergen")))
        left = await anext(stream)
        await service.tell(role_updated("Kari", 5, roles=[role("peer-mentor", "Oslo")]))
        came_by_a_role = await change(stream)
        await service.tell(role_updated("Kari", 6, roles=[]))
        lost_the_role = await change(stream)

    assert (arrived["operation"], arrived["member"]["phone"]) == ("ADDED", "1")
    assert (stayed["operation"], stayed["member"]["phone"]) == ("UPDATED", "2")
    assert (left["operation"], left["member"]) == ("REMOVED", None)
    assert left["memberId"] == arrived["memberId"]
    assert came_by_a_role == ("ADDED", "Kari")
    assert lost_the_role == ("REMOVED", None)


async def test_member_who_has_left_sight_since_is_not_shown_when_catching_up(
    service: Service,
) -> None:
    await service.tell(
        created("Mona", organization=home("Oslo"), roles=[role("coordinator", "Oslo")]),
        created("Kari", organization=home("Oslo"), roles=[]),
    )
    after = await place_now(service)
    await service.tell(
        updated("Kari", 1, profile={"phone": "1"}),
        updated("Kari", 2, organization=home("Bergen"), profile={"phone": "2"}),
    )

    async with service.subscribe(MEMBER_CHANGES, member="Mona", after=after) as stream:
        await started(stream)
        messages = [await anext(stream) for _ in range(2)]

    told = [(message["operation"], message["member"]) for message in messages]
    assert told == [("UPDATED", None), ("REMOVED", None)]


async def test_member_moves_into_and_out_of_the_filter(service: Service) -> None:
    await service.tell(
        created("Kari", organization=home("Oslo", "County")),
        created("Ida", organization=home("Bergen", "County")),
    )
    data = await service.data("{ organizations { edges { node { id name } } } }")
    nodes = {e["node"]["name"]: e["node"]["id"] for e in data["organizations"]["edges"]}
    filters: dict[str, dict[str, Any]] = {
        "state": {"filter": {"state": ["ACTIVE"]}},
        "role": {"filter": {"role": ["peer-mentor"]}},
        "search": {"filter": {"search": "SOLBERG"}},
        "organization": {"organizationId": nodes["Oslo"]},
    }

    async def operations(arguments: dict[str, Any], after: str) -> list[str]:
        async with service.subscribe(MEMBER_CHANGES, after=after, **arguments) as stream:
            await started(stream)
            return [(await change(stream))[0] for _ in range(2)]

    after = await place_now(service)
    await service.tell(
        role_updated("Kari", 1, roles=[role("peer-mentor")]),
        updated("Kari", 2, profile={"familyName": "Solberg"}),
        updated("Kari", 3, organization=home("Bergen", "County")),
        deactivated("Kari", 4),
        role_updated("Kari", 5, roles=[]),
        updated("Kari", 6, profile={"familyName": "Dahl"}),
    )

    by_role, by_search = await asyncio.gather(
        operations(filters["role"], after), operations(filters["search"], after)
    )
    assert by_role == ["ADDED", "UPDATED"]
    assert by_search == ["ADDED", "UPDATED"]
    async with service.subscribe(MEMBER_CHANGES, after=after, **filters["state"]) as stream:
        await started(stream)
        found = [(await change(stream))[0] for _ in range(4)]
        await service.tell(reactivated("Kari", 7))
        found.append((await change(stream))[0])
    assert found == ["UPDATED", "UPDATED", "UPDATED", "REMOVED", "ADDED"]
    async with service.subscribe(MEMBER_CHANGES, after=after, **filters["organization"]) as stream:
        await started(stream)
        found = [(await change(stream))[0] for _ in range(3)]
    assert found == ["UPDATED", "UPDATED", "REMOVED"]


async def test_resuming_after_any_cursor_misses_nothing_and_repeats_nothing(
    service: Service,
) -> None:
    names = [f"M{n}" for n in range(6)]
    start = await place_now(service)
    await service.tell(*(created(name) for name in names[:4]))
    async with service.subscribe(MEMBER_CHANGES, after=start) as stream:
        assert await started(stream) == start
        before = [await anext(stream) for _ in range(4)]
    await service.tell(*(created(name) for name in names[4:]))

    for index, message in enumerate(before):
        async with service.subscribe(MEMBER_CHANGES, after=message["cursor"]) as stream:
            assert await started(stream) == message["cursor"]
            rest = [await change(stream) for _ in names[index + 1 :]]
            await service.tell(updated("M0", 10 + index, profile={"phone": str(index)}))
            live = await change(stream)

        # What was changed by earlier rounds of this loop lies behind the newcomers.
        assert rest == [("ADDED", name) for name in names[index + 1 :]]
        assert live == ("UPDATED", "M0")


async def test_changes_during_the_subscriptions_start_are_sent_once_and_in_order(
    service: Service,
) -> None:
    """Deliveries go on while subscribers start at the cursor of a page, one after the other."""
    total = 40

    async def deliver_all() -> None:
        for n in range(total):
            await service.tell(created(f"M{n:02}"))

    async def watch(after: str) -> list[str | None]:
        async with service.subscribe(MEMBER_CHANGES, after=after) as stream:
            await started(stream)
            return [(await change(stream))[1] for _ in range(total)]

    after = await place_now(service)
    deliveries = asyncio.create_task(deliver_all())
    watchers = []
    for _ in range(5):
        watchers.append(asyncio.create_task(watch(after)))
        await place_now(service)
    await deliveries

    expected = [f"M{n:02}" for n in range(total)]
    for seen in await asyncio.gather(*watchers):
        assert seen == expected


OF_ANOTHER_FEED = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA6MQ"


@pytest.mark.parametrize("subscription", [MEMBER_CHANGES, LOG_CHANGES], ids=["members", "log"])
async def test_cursor_of_another_feed_asks_to_resync_since_the_database_was_replaced(
    service: Service, subscription: str
) -> None:
    await service.tell(created("Kari"))

    async with service.subscribe(subscription, after=OF_ANOTHER_FEED) as stream:
        message = await anext(stream)

    assert message["__typename"] == "ResyncRequired"
    assert message["reason"] == "CURSOR_EXPIRED"


@pytest.mark.parametrize("subscription", [MEMBER_CHANGES, LOG_CHANGES], ids=["members", "log"])
async def test_what_is_no_cursor_is_refused_by_name(service: Service, subscription: str) -> None:
    await service.tell(created("Kari"))
    own = await place_now(service)
    data = await service.data("{ members { edges { cursor } } }")
    page_cursor = data["members"]["edges"][0]["cursor"]

    for cursor in ("", "x", "æ", "\0", page_cursor, own[: len(own) // 2]):
        async with service.subscribe(subscription, after=cursor) as stream:
            with pytest.raises(TransportQueryError) as caught:
                await anext(stream)

        errors = caught.value.errors or []
        assert [error["extensions"]["code"] for error in errors] == ["BAD_USER_INPUT"], cursor
        assert errors[0]["extensions"]["argument"] == "after"


async def test_refused_subscription_says_why(service: Service) -> None:
    await service.tell(created("Kari"))
    refusals = {
        (MEMBER_CHANGES, "nobody known"): "UNAUTHENTICATED",
        (VIEWER_CHANGES, "nobody known"): "UNAUTHENTICATED",
        (LOG_CHANGES, "nobody known"): "UNAUTHENTICATED",
        (LOG_CHANGES, "Kari"): "FORBIDDEN",
    }

    for (subscription, member), code in refusals.items():
        async with service.subscribe(subscription, member=member) as stream:
            with pytest.raises(TransportQueryError) as caught:
                await anext(stream)

        assert [e["extensions"]["code"] for e in caught.value.errors or []] == [code]


@pytest.mark.parametrize("subscription", [MEMBER_CHANGES, LOG_CHANGES], ids=["members", "log"])
async def test_whoever_is_refused_is_told_nothing_of_their_cursor(
    service: Service, subscription: str
) -> None:
    other_feed = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA6MQ"

    for cursor in ("x", other_feed):
        async with service.subscribe(subscription, member="nobody known", after=cursor) as stream:
            with pytest.raises(TransportQueryError) as caught:
                await anext(stream)

        (error,) = caught.value.errors or []
        assert error["extensions"]["code"] == "UNAUTHENTICATED", cursor
        assert "argument" not in error["extensions"]


async def test_log_tells_of_new_entries_and_of_repeated_deliveries(service: Service) -> None:
    async with service.subscribe(LOG_CHANGES) as stream:
        await started(stream)
        await service.deliver(created("Kari"), "evt_1")
        added = await anext(stream)
        await service.deliver(created("Kari"), "evt_1")
        repeated = await anext(stream)

    assert added["operation"] == "ADDED"
    assert added["entry"] == {
        "eventId": "evt_1",
        "status": "SUCCESS",
        "outcome": "CREATED",
        "deliveries": 1,
        "member": {"givenName": "Kari"},
    }
    assert repeated["operation"] == "UPDATED"
    assert repeated["entryId"] == added["entryId"]
    assert repeated["entry"]["deliveries"] == 2


async def test_log_is_filtered_and_resumed_like_members_are(service: Service) -> None:
    start = await place_now(service)
    await service.deliver(created("Kari"), "evt_1")
    await service.deliver({"type": "membership-celebrated"}, "evt_2")
    await service.deliver(created("Per"), "evt_3")
    skipped = {"status": ["SKIPPED"]}

    async with service.subscribe(LOG_CHANGES, after=start, filter=skipped) as stream:
        await started(stream)
        first = await anext(stream)
        await service.deliver({"type": "membership-celebrated"}, "evt_4")
        second = await anext(stream)
    async with service.subscribe(LOG_CHANGES, after=first["cursor"]) as stream:
        await started(stream)
        rest = [(await anext(stream))["entry"]["eventId"] for _ in range(2)]

    assert [m["entry"]["eventId"] for m in (first, second)] == ["evt_2", "evt_4"]
    assert rest == ["evt_3", "evt_4"]


async def test_administrator_hears_of_the_log_of_their_organizations_alone(
    service: Service,
) -> None:
    admin = [role("organization-administrator")]
    await service.tell(created("Ada", organization=home("Oslo"), roles=admin))

    async with service.subscribe(LOG_CHANGES, member="Ada") as stream:
        await started(stream)
        await service.deliver(created("Mona", organization=home("Bergen")), "evt_bergen")
        await service.deliver(created("Kari", organization=home("Oslo")), "evt_oslo")

        message = await anext(stream)

    assert message["entry"]["eventId"] == "evt_oslo"


async def test_entry_stays_in_the_log_where_it_happened_though_its_member_moved(
    service: Service,
) -> None:
    admin = [role("organization-administrator")]
    await service.tell(created("Ada", organization=home("Oslo"), roles=admin))
    after = await place_now(service)
    await service.deliver(created("Kari", organization=home("Oslo")), "evt_1")
    await service.tell(updated("Kari", 1, organization=home("Bergen")))

    async with service.subscribe(LOG_CHANGES, member="Ada", after=after) as stream:
        await started(stream)
        before = await anext(stream)
    replay = "mutation { replayEvents(input: {filter: {}}) { __typename } }"
    await service.data(replay)
    async with service.subscribe(LOG_CHANGES, member="Ada", after=after) as stream:
        await started(stream)
        after_replay = await anext(stream)

    for message in (before, after_replay):
        assert message["operation"] == "ADDED"
        assert message["entry"]["eventId"] == "evt_1"
        assert message["entry"]["member"] is None


async def coordinator(service: Service) -> None:
    await service.tell(
        created("Mona", organization=home("Oslo"), roles=[role("coordinator", "Oslo")])
    )


async def test_change_of_the_viewers_roles_asks_to_resync(service: Service) -> None:
    await coordinator(service)
    roles = [role("coordinator", "Oslo"), role("coordinator", "Bergen")]

    async with service.subscribe(MEMBER_CHANGES, member="Mona") as stream:
        await started(stream)
        await service.tell(role_updated("Mona", 1, roles=roles))
        message = await stream.next("ResyncRequired")
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    assert message["reason"] == "ACCESS_CHANGED"


async def test_change_of_the_catalogue_asks_everybody_to_resync(service: Service) -> None:
    await coordinator(service)

    async with (
        service.subscribe(MEMBER_CHANGES, member="Mona") as hers,
        service.subscribe(MEMBER_CHANGES) as operators,
    ):
        await started(hers)
        await started(operators)
        await service.data(SET_ACCESS, code="coordinator", level="MEMBER")

        messages = [await anext(hers), await anext(operators)]

    assert [message["reason"] for message in messages] == ["ACCESS_CHANGED"] * 2


async def test_role_that_is_set_to_what_it_gives_already_asks_nobody_to_resync(
    service: Service,
) -> None:
    await coordinator(service)

    async with service.subscribe(MEMBER_CHANGES, member="Mona") as stream:
        await started(stream)
        await service.data(SET_ACCESS, code="coordinator", level="COORDINATOR")
        await service.tell(updated("Mona", 1, profile={"phone": "1"}))

        assert await change(stream) == ("UPDATED", "Mona")


async def test_move_of_a_chapter_under_the_viewers_own_asks_to_resync(service: Service) -> None:
    await coordinator(service)
    await service.tell(created("Kari", organization=home("Frogner")))

    async with service.subscribe(MEMBER_CHANGES, member="Mona") as stream:
        await started(stream)
        await service.tell(updated("Kari", 1, organization=home("Frogner", "Oslo")))
        message = await stream.next("ResyncRequired")

    assert message["reason"] == "ACCESS_CHANGED"


async def test_change_of_the_viewer_that_moves_no_access_lets_the_stream_go_on(
    service: Service,
) -> None:
    await coordinator(service)

    async with service.subscribe(MEMBER_CHANGES, member="Mona") as stream:
        await started(stream)
        await service.tell(updated("Mona", 1, profile={"phone": "1"}))

        assert await change(stream) == ("UPDATED", "Mona")


async def test_roles_gained_while_away_ask_to_resync_on_return(service: Service) -> None:
    """Whoever came into sight by that would otherwise never be told of."""
    await coordinator(service)
    after = await place_now(service, "Mona")
    roles = [role("coordinator", "Oslo"), role("coordinator", "Bergen")]
    await service.tell(created("Kari", organization=home("Bergen")))
    await service.tell(role_updated("Mona", 1, roles=roles))

    async with service.subscribe(MEMBER_CHANGES, member="Mona", after=after) as stream:
        await started(stream)
        message = await stream.next("ResyncRequired")
    again = await place_now(service, "Mona")
    async with service.subscribe(MEMBER_CHANGES, member="Mona", after=again) as stream:
        await started(stream)
        await service.tell(updated("Kari", 2, profile={"phone": "1"}))
        news = await change(stream)

    assert message["reason"] == "ACCESS_CHANGED"
    assert news == ("UPDATED", "Kari")


async def test_chapter_moved_while_a_coordinator_was_away_asks_to_resync(
    service: Service,
) -> None:
    await coordinator(service)
    await service.tell(created("Kari", organization=home("Frogner")))
    after = await place_now(service, "Mona")
    await service.tell(updated("Kari", 1, organization=home("Frogner", "Oslo")))

    async with service.subscribe(MEMBER_CHANGES, member="Mona", after=after) as stream:
        await started(stream)
        message = await anext(stream)

    assert message["reason"] == "ACCESS_CHANGED"


async def test_changes_while_away_that_move_no_sight_are_caught_up_with(
    service: Service,
) -> None:
    await coordinator(service)
    await service.tell(created("Per", organization=home("Oslo")))
    after = await place_now(service)
    await service.tell(
        role_updated("Per", 1, roles=[role("peer-mentor")]),
        created("Ida", organization=home("Bergen")),
        created("Kari", organization=home("Oslo")),
    )

    seen = {}
    for name in ("Mona", "Per"):
        async with service.subscribe(MEMBER_CHANGES, member=name, after=after) as stream:
            await started(stream)
            seen[name] = [await change(stream)]
            if name == "Mona":
                await service.tell(updated("Kari", 1, profile={"phone": "1"}))
                seen[name] += [await change(stream), await change(stream)]

    assert seen["Mona"] == [("UPDATED", "Per"), ("ADDED", "Kari"), ("UPDATED", "Kari")]
    assert seen["Per"] == [("UPDATED", "Per")]


async def test_every_message_shows_the_roles_of_its_own_time(service: Service) -> None:
    await service.tell(created("Kari"))

    async with service.subscribe(MEMBER_CHANGES) as stream:
        await started(stream)
        seen = []
        for when, code in enumerate(["peer-mentor", "coordinator", "member"], start=1):
            await service.tell(role_updated("Kari", when, roles=[role(code)]))
            member = (await anext(stream))["member"]
            seen.append((member["roles"][0]["role"]["code"], member["accessLevel"]))

    assert seen == [
        ("peer-mentor", "PEER_MENTOR"),
        ("coordinator", "COORDINATOR"),
        ("member", "MEMBER"),
    ]


async def test_every_message_shows_the_organization_of_its_own_time(service: Service) -> None:
    await service.tell(created("Kari"))

    async with service.subscribe(MEMBER_CHANGES) as stream:
        await started(stream)
        for when, name in enumerate(["HLF Oslo", "HLF Oslo og omegn", "HLF Stor-Oslo"], start=1):
            renamed = {**organization("HLF Oslo"), "name": name}
            phone = {"phone": str(when)}
            await service.tell(updated("Kari", when, organization=renamed, profile=phone))
            message = await anext(stream)

            assert message["member"]["organization"]["name"] == name


async def test_viewer_is_shown_their_new_access_over_an_old_connection(service: Service) -> None:
    await service.tell(created("Kari"))

    async with service.subscribe(VIEWER_CHANGES, member="Kari") as stream:
        await started(stream)
        await service.tell(role_updated("Kari", 1, roles=[role("coordinator", "Bergen")]))
        first = (await anext(stream))["viewer"]
        await service.tell(role_updated("Kari", 2, roles=[role("peer-mentor")]))
        second = (await anext(stream))["viewer"]
        await service.tell(updated("Kari", 3, profile={"phone": "1"}))
        third = (await anext(stream))["viewer"]
        await service.data(SET_ACCESS, code="peer-mentor", level="ADMIN")
        fourth = (await anext(stream))["viewer"]

    levels = [viewer["accessLevel"] for viewer in (first, second, third, fourth)]
    assert levels == ["COORDINATOR", "PEER_MENTOR", "PEER_MENTOR", "ADMIN"]
    assert first["accesses"] == [{"accessLevel": "COORDINATOR", "organization": {"name": None}}]
    assert third["member"]["phone"] == "1"


async def test_other_members_changes_are_no_news_of_the_viewer(service: Service) -> None:
    await service.tell(created("Kari"), created("Per"))

    async with service.subscribe(VIEWER_CHANGES, member="Kari") as stream:
        await started(stream)
        await service.tell(updated("Per", 1, profile={"phone": "2"}))
        await service.tell(updated("Kari", 1, profile={"phone": "1"}))

        assert (await anext(stream))["viewer"]["member"]["phone"] == "1"


@asynccontextmanager
async def open_socket(service: Service, member: str) -> AsyncIterator[ClientConnection]:
    """A socket past its `connection_ack`."""
    url = service.url.replace("http", "ws", 1) + "/graphql"
    protocol = Subprotocol("graphql-transport-ws")
    async with connect(url, subprotocols=[protocol]) as socket:
        payload = {"authorization": f"Bearer {service.token(member)}"}
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        yield socket


async def test_every_operation_of_a_socket_sees_the_viewer_as_they_are_by_then(
    service: Service,
) -> None:
    await service.tell(created("Kari"))
    seen = []

    async with open_socket(service, "Kari") as socket:
        for when, code in enumerate(["member", "coordinator", "peer-mentor"], start=1):
            await service.tell(role_updated("Kari", when, roles=[role(code)]))
            query = {"query": "{ viewer { accessLevel } }"}
            operation = {"id": str(when), "type": "subscribe", "payload": query}
            await socket.send(json.dumps(operation))
            answer = json.loads(await socket.recv())
            assert json.loads(await socket.recv())["type"] == "complete"
            seen.append(answer["payload"]["data"]["viewer"]["accessLevel"])

    assert seen == ["MEMBER", "COORDINATOR", "PEER_MENTOR"]


async def test_deactivated_viewers_sockets_are_closed_within_a_second(service: Service) -> None:
    await service.tell(created("Kari"), created("Per"))

    async with (
        open_socket(service, "Kari") as idle,
        open_socket(service, "Kari") as watching,
        open_socket(service, "Per") as others,
    ):
        query = {"query": "subscription { memberChanges { __typename } }"}
        await watching.send(json.dumps({"id": "1", "type": "subscribe", "payload": query}))
        assert json.loads(await watching.recv())["type"] == "next"
        await service.tell(deactivated("Kari"))
        async with asyncio.timeout(1):
            await idle.wait_closed()
            await watching.wait_closed()

        assert (idle.close_code, watching.close_code) == (4403, 4403)
        await others.send('{"type": "ping"}')
        assert json.loads(await others.recv())["type"] == "pong"
    answer = await service.ask("{ viewer { accessLevel } }", member="Kari")
    assert answer["errors"][0]["extensions"]["code"] == "MEMBER_INACTIVE"


async def test_inactive_viewer_cannot_open_a_socket_until_reactivated(service: Service) -> None:
    await service.tell(created("Kari"), deactivated("Kari"))
    url = service.url.replace("http", "ws", 1) + "/graphql"
    protocol = Subprotocol("graphql-transport-ws")

    async with connect(url, subprotocols=[protocol]) as socket:
        payload = {"authorization": f"Bearer {service.token('Kari')}"}
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        async with asyncio.timeout(DEADLINE):
            await socket.wait_closed()
    await service.tell(reactivated("Kari"))

    assert socket.close_code == 4403
    async with service.subscribe(VIEWER_CHANGES, member="Kari") as stream:
        await started(stream)


async def test_member_looked_up_by_portal_id_is_the_one_of_the_change(service: Service) -> None:
    async with service.subscribe(MEMBER_CHANGES) as stream:
        await started(stream)
        await service.tell(created("Kari"))
        message = await anext(stream)

    query = "query ($by: MemberLookup!) { member(by: $by) { id } }"
    found = await service.data(query, by={"portalId": guid("Kari")})
    assert message["memberId"] == found["member"]["id"]
