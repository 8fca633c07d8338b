"""What the protocol says of a socket, and what the operations on it have to do with each other."""

import asyncio
import gc
import json
from collections import Counter
from typing import Any

import pytest
from starlette.types import Message
from starlette.websockets import WebSocket

from app.graphql.http import MAX_BODY_BYTES
from app.graphql.sse import EventStream
from app.graphql.websocket import MAX_OPERATIONS
from app.graphql.websocket import Socket as ServedSocket
from resolvers.live import streams
from resolvers.live.subscribers import Subscriber
from tests.support.bare_sockets import CHANGES, PROTOCOL, names, socket
from tests.support.builders import created, deactivated, role, updated
from tests.support.service import DEADLINE, Service


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


async def test_operation_that_cannot_be_read_leaves_its_neighbours_alone(
    service: Service,
) -> None:
    async with socket(service) as one:
        await one.subscribe("neighbour")
        await one.values(1)
        await one.subscribe("broken", "subscription {")
        error = await one.received()
        await service.tell(created("Kari"))

        assert (error["type"], error["id"]) == ("error", "broken")
        assert names(await one.values(1)) == [("neighbour", "Kari")]


async def test_socket_that_breaks_the_protocol_takes_no_other_along(service: Service) -> None:
    async with socket(service) as good, socket(service) as bad:
        await good.subscribe()
        await good.values(1)
        await bad.subscribe()
        await bad.values(1)
        await bad.connection.send("[1]")
        async with asyncio.timeout(DEADLINE):
            await bad.connection.wait_closed()
        await service.tell(created("Kari"))

        assert bad.connection.close_code == 4400
        assert names(await good.values(1)) == [("1", "Kari")]


async def test_message_that_is_too_large_closes_the_socket_unread(service: Service) -> None:
    async with socket(service) as one:
        payload = {"query": "{ __typename }", "extensions": {"x": ""}}
        empty = json.dumps({"type": "subscribe", "id": "1", "payload": payload})
        whole = empty.replace('""', f'"{"x" * (MAX_BODY_BYTES - len(empty))}"')

        await one.connection.send(whole)
        answers = [(await one.received())["type"] for _ in range(2)]
        await one.connection.send(whole + " ")
        async with asyncio.timeout(DEADLINE):
            await one.connection.wait_closed()

        assert answers == ["next", "complete"]
        assert one.connection.close_code == 1009


async def test_subscriptions_of_one_socket_have_their_own_ids_and_places(
    service: Service,
) -> None:
    async with socket(service) as one:
        await one.subscribe("a")
        ((_, first),) = await one.values(1)
        await service.tell(created("Kari"))
        await one.values(1)
        await one.subscribe('"b"\n', after=first["cursor"])
        caught_up = await one.values(2)
        await service.tell(created("Per"))
        live = await one.values(2)

    assert [id for id, _ in caught_up] == ['"b"\n'] * 2
    assert names(caught_up[1:]) == [('"b"\n', "Kari")]
    assert sorted(names(live)) == [('"b"\n', "Per"), ("a", "Per")]


async def test_completed_subscription_is_told_nothing_more_and_its_id_can_be_used_again(
    service: Service,
) -> None:
    async with socket(service) as one:
        await one.subscribe("a")
        await one.subscribe("b")
        await one.values(2)
        await one.send(type="complete", id="a")
        await one.send(type="ping")
        assert (await one.received())["type"] == "pong"
        await service.tell(created("Kari"))
        assert names(await one.values(1)) == [("b", "Kari")]
        await one.subscribe("a")
        await one.values(1)
        await service.tell(created("Per"))

        assert sorted(names(await one.values(2))) == [("a", "Per"), ("b", "Per")]


async def test_one_operation_too_many_is_refused_and_the_others_go_on(service: Service) -> None:
    async with socket(service) as one:
        for number in range(MAX_OPERATIONS):
            await one.subscribe(str(number))
        await one.values(MAX_OPERATIONS)
        await one.subscribe("too many")
        error = await one.received()
        await one.send(type="complete", id="0")
        await one.subscribe("now there is room")
        await one.values(1)
        await service.tell(created("Kari"))
        told = {id for id, _ in names(await one.values(MAX_OPERATIONS))}

    assert (error["type"], error["id"]) == ("error", "too many")
    assert error["payload"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert "now there is room" in told


async def test_query_and_mutation_are_answered_beside_subscriptions(service: Service) -> None:
    async with socket(service) as one:
        await one.subscribe("live")
        await one.values(1)
        await one.subscribe("query", "{ viewer { accessLevel } }")
        answer, end = await one.received(), await one.received()
        await service.tell(created("Kari"))

        assert answer["payload"]["data"] == {"viewer": {"accessLevel": "ADMIN"}}
        assert end == {"type": "complete", "id": "query"}
        assert names(await one.values(1)) == [("live", "Kari")]


async def test_messages_of_every_length_of_frame_arrive(service: Service) -> None:
    """A frame says its length in one byte, in three or in nine (RFC 6455, 5.2)."""

    async def answered(id: str, alias: int) -> int:
        await one.subscribe(id, f"{{ roles {{ {'a' * alias}: code }} }}")
        async with asyncio.timeout(DEADLINE):
            answer, end = [await one.connection.recv() for _ in range(2)]
        assert json.loads(end) == {"type": "complete", "id": id}
        assert json.loads(answer)["id"] == id
        return len(answer)

    async with socket(service) as one:
        for length in range(90, 110):
            await answered("i" * length, 1)
        known, rows = await answered("i", 1), len((await service.data("{ roles { id } }"))["roles"])
        for size in range(2**16 - 2, 2**16 + 2):
            longer, more = divmod(size - known, rows)
            assert await answered("i" * (1 + more), 1 + longer) == size


async def test_nothing_is_done_for_a_socket_that_is_being_closed(service: Service) -> None:
    async with socket(service) as one, asyncio.timeout(DEADLINE):
        await one.connection.send("[1]")
        await one.subscribe("1", "{ roles { code } }")
        await one.connection.wait_closed()

    assert 'field="Query.roles"' not in await metrics(service)


@pytest.fixture
def _hasty_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the start on: a stream that has ended is held up to the next of its heartbeats."""
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.2)


@pytest.mark.usefixtures("_hasty_heartbeats")
async def test_nothing_stays_of_connections_that_have_ended(service: Service) -> None:
    await service.tell(created("Kari"))
    url, stream = f"{service.url}/graphql", {"accept": "text/event-stream"}

    async with socket(service) as staying:
        await staying.subscribe(query="subscription { viewerChanges { __typename } }")
        await staying.values(1)
        before = connections()
        for member in ("Kari", None):
            async with socket(service, member) as one:
                await one.subscribe("completed")
                await one.subscribe("left open")
                await one.values(2)
                await one.send(type="complete", id="completed")
            headers = stream | {"authorization": f"Bearer {service.token(member)}"}
            body = {"query": CHANGES}
            async with service.http.stream("POST", url, json=body, headers=headers) as answer:
                assert (await anext(answer.aiter_lines())).startswith("id: ")

        async with asyncio.timeout(DEADLINE):
            while connections() != before:
                await staying.values(1)


def connections() -> Counter[type]:
    """What this process holds of the connections to it."""
    kinds = (ServedSocket, EventStream, Subscriber)
    gc.collect()
    return Counter(type(each) for each in gc.get_objects() if type(each) in kinds)


async def test_client_that_reads_is_never_told_that_it_does_not_keep_up(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often something had to wait for it."""
    monkeypatch.setattr("app.graphql.websocket.MAX_WAITING", 5)
    monkeypatch.setattr(
        "app.graphql.websocket_protocol.WebSocketProtocol.write_texts", lambda *_: False
    )

    async with socket(service) as one:
        await one.subscribe()
        await one.values(1)
        for number in range(12):
            await service.tell(created(f"Kari {number}"))
            assert names(await one.values(1)) == [("1", f"Kari {number}")]


async def test_socket_that_is_cancelled_sends_nothing_more() -> None:
    """Not even the messages that waited for its client to read."""
    messages: list[Message] = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": '{"type":"ping"}'},
    ]
    sending = asyncio.Event()
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        if message["type"] == "websocket.send":
            sending.set()
            # The client does not read.
            await asyncio.Event().wait()
        sent.append(message)

    unused: Any = None
    websocket = WebSocket({"type": "websocket", "subprotocols": [PROTOCOL]}, receive, send)
    socket = ServedSocket(websocket, unused, unused, unused, init_seconds=DEADLINE)
    serving = asyncio.create_task(socket.serve())
    await sending.wait()

    serving.cancel()
    await asyncio.wait([serving])

    (_this_test,) = asyncio.all_tasks()
    assert [message["type"] for message in sent] == ["websocket.accept"]


HELD = " ".join(
    f"{alias}: roles {{ role {{ code name }} organization {{ name }} since }}"
    for alias in "abcdefgh"
)
LONG = CHANGES.replace("givenName phone", f"phone {HELD}")


async def long_to_tell(service: Service, name: str) -> None:
    """A member of whom each message is long: a few dozen are more than the network holds."""
    codes = [f"{number} {'x' * 90}" for number in range(100)]
    await service.tell(created(name, roles=[role(code) for code in codes]))


@pytest.mark.parametrize(
    ("limit", "most"), [("websocket.MAX_WAITING", 5), ("outbox.MAX_QUEUED_BYTES", 100_000)]
)
async def test_client_that_does_not_read_is_told_to_query_again_and_holds_nobody_up(
    service: Service, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    """When it reads again: every change up to some place, in order, and then the end."""
    monkeypatch.setattr(f"app.graphql.{limit}", most)
    total = 60
    await long_to_tell(service, "Kari")

    async with socket(service, max_queue=1, max_size=None) as slow, socket(service) as quick:
        await slow.subscribe(query=LONG)
        await quick.subscribe()
        await quick.values(1)
        places: list[str] = []
        for number in range(1, total + 1):
            await service.tell(updated("Kari", number, profile={"phone": str(number)}))
            while len(places) < number:
                ((_, value),) = await quick.values(1)
                # Heartbeats may come in between, when the machine is slow.
                places += [value["cursor"]] if "member" in value else []
        told: list[dict[str, Any]] = []
        while not told or told[-1]["__typename"] != "ResyncRequired":
            told += [value for _, value in await slow.values(1)]
        end = await slow.received()

    seen = [value["cursor"] for value in told if "member" in value]
    assert 0 < len(seen) < total
    assert seen == places[: len(seen)]
    assert told[-1]["reason"] == "SLOW_CONSUMER"
    assert told[-1]["cursor"] == told[-2]["cursor"]
    assert end["type"] == "complete"


async def test_member_who_does_not_read_is_cut_off_all_the_same(service: Service) -> None:
    await long_to_tell(service, "Kari")
    await service.tell(created("Per"))

    async with (
        socket(service, "Kari", max_queue=1, max_size=None, close_timeout=0.1) as slow,
        socket(service, "Per") as other,
    ):
        await slow.subscribe(query=LONG)
        await other.subscribe()
        await other.values(1)
        for number in range(1, 60):
            await service.tell(updated("Kari", number, profile={"phone": str(number)}))
        # Nothing is read, so nothing can be said: what counts is that nobody waits for it.
        await service.tell(deactivated("Kari", 100), updated("Per", 1, profile={"phone": "1"}))
        while "member" not in (await other.values(1))[0][1]:
            """A heartbeat."""
        async with asyncio.timeout(DEADLINE):
            while "likeperson_open_sockets 1.0" not in await metrics(service):
                pass


async def metrics(service: Service) -> str:
    return (await service.http.get(f"{service.url}/metrics")).text
