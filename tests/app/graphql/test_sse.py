"""Subscriptions over server-sent events, as any HTTP client meets them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.types import Message

from app.graphql.answers import Results
from app.graphql.sse import EventStream
from app.server import GRACE_SECONDS, running
from app.settings import Settings
from resolvers.live import streams
from resolvers.live.subscribers import Rendered
from schema.errors import MemberInactiveError
from tests.app.graphql.test_websocket import LONG, long_to_tell, metrics
from tests.faults.floods import HANDSHAKE
from tests.faults.wire import Connection, json_headers, request
from tests.support.builders import created, deactivated, updated
from tests.support.service import DEADLINE, Service

CHANGES = """subscription ($after: ChangeCursor) { memberChanges(after: $after) { __typename
    ... on StreamHeartbeat { cursor } ... on ResyncRequired { cursor reason }
    ... on MemberChange { cursor operation member { givenName } } } }"""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


@dataclass
class Event:
    name: str = ""
    id: str | None = None
    data: str = ""

    @property
    def message(self) -> dict[str, Any]:
        """The value of the one field that was asked for."""
        (value,) = json.loads(self.data)["data"].values()
        found: dict[str, Any] = value
        return found


class Events:
    """Of one answer, read by the rules of the HTML standard."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    def __aiter__(self) -> "Events":
        return self

    async def __anext__(self) -> Event:
        event = Event()
        async with asyncio.timeout(DEADLINE):
            async for line in self._lines:
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if field == "event":
                    event.name = value
                elif field == "id":
                    event.id = value
                elif field == "data":
                    event.data += value
                elif not line:
                    return event
        raise StopAsyncIteration


@asynccontextmanager
async def events(
    service: Service, query: str, member: str | None = None, *, method: str = "POST", **given: Any
) -> AsyncIterator[Events]:
    headers = {
        "accept": "text/event-stream",
        "authorization": f"Bearer {service.token(member)}",
        **given.pop("headers", {}),
    }
    operation = {"query": query, **given}
    if method == "GET":
        parameters = {k: v if isinstance(v, str) else json.dumps(v) for k, v in operation.items()}
        sent: dict[str, Any] = {"params": parameters}
    else:
        sent = {"json": operation}
    async with service.http.stream(
        method, f"{service.url}/graphql", headers=headers, timeout=DEADLINE, **sent
    ) as response:
        yield Events(response)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_changes_come_as_events_that_are_named_by_their_cursor(
    service: Service, method: str
) -> None:
    async with events(service, CHANGES, method=method) as stream:
        first = await anext(stream)
        await service.tell(created("Kari"))
        change = await anext(stream)

    assert stream.response.headers["content-type"].startswith("text/event-stream")
    assert (first.name, first.message["__typename"]) == ("next", "StreamHeartbeat")
    assert (change.name, change.message["operation"]) == ("next", "ADDED")
    assert [first.id, change.id] == [first.message["cursor"], change.message["cursor"]]


async def test_stream_goes_on_after_the_last_event_and_not_where_its_query_says(
    service: Service,
) -> None:
    async with events(service, CHANGES) as stream:
        start = (await anext(stream)).id
        await service.tell(created("Kari"), created("Per"), created("Mona"))
        seen = [await anext(stream) for _ in range(2)]

    last = {"last-event-id": seen[-1].id}
    async with events(service, CHANGES, variables={"after": start}, headers=last) as stream:
        first, second = await anext(stream), await anext(stream)

    assert first.id == seen[-1].id
    assert second.message["member"] == {"givenName": "Mona"}


async def test_last_event_id_that_is_no_cursor_is_refused_by_name(service: Service) -> None:
    async with events(service, CHANGES, headers={"last-event-id": "7"}) as stream:
        refused, end = [event async for event in stream]

    (error,) = json.loads(refused.data)["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["argument"] == "Last-Event-ID"
    assert (end.name, end.data) == ("complete", "")


@pytest.mark.parametrize("query", ["{ viewer { accessLevel } }", "subscription { x }", "{"])
async def test_answers_that_come_alone_are_followed_by_complete(
    service: Service, query: str
) -> None:
    async with events(service, query) as stream:
        names = [event.name async for event in stream]

    assert stream.response.status_code == 200
    assert names == ["next", "complete"]


async def test_mutation_by_get_is_refused_and_changes_nothing(service: Service) -> None:
    mutation = """mutation { setRoleAccess(input: {code: "member", accessLevel: ADMIN}) {
        __typename } }"""

    async with events(service, mutation, method="GET") as stream:
        answer = json.loads((await anext(stream)).data)

    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    roles = (await service.data("{ roles { code accessLevel } }"))["roles"]
    assert {"code": "member", "accessLevel": "MEMBER"} in roles


async def test_stream_of_a_member_ends_with_the_membership(service: Service) -> None:
    await service.tell(created("Kari"))

    async with events(service, CHANGES, "Kari") as stream:
        await anext(stream)
        await service.tell(updated("Kari", profile={"phone": "1"}), deactivated("Kari", 2))
        rest = [event async for event in stream]

    error = json.loads(rest[-2].data)["errors"][0]
    assert error["extensions"]["code"] == "MEMBER_INACTIVE"
    assert rest[-1].name == "complete"


async def test_member_who_does_not_read_loses_the_stream_all_the_same(service: Service) -> None:
    await long_to_tell(service, "Kari")

    async with events(service, LONG, "Kari") as stream:
        await anext(stream)
        for number in range(1, 60):
            await service.tell(updated("Kari", number, profile={"phone": str(number)}))
        # Nothing is read, so nothing can be said: what counts is that nobody waits for it.
        await service.tell(deactivated("Kari", 100))
        async with asyncio.timeout(DEADLINE):
            while "likeperson_open_event_streams 0.0" not in await metrics(service):
                pass


async def read_late(stream: Events) -> list[dict[str, Any]]:
    """The answers that are still to be read, up to the end."""
    return [json.loads(event.data) async for event in stream if event.name == "next"]


@pytest.mark.parametrize(
    ("limit", "value"), [("sse.MAX_WAITING", 5), ("outbox.MAX_QUEUED_BYTES", 100_000)]
)
async def test_client_that_does_not_read_is_told_to_query_again(
    service: Service, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(f"app.graphql.{limit}", value)
    total = 60
    await long_to_tell(service, "Kari")

    async with events(service, LONG) as stream:
        await anext(stream)
        for number in range(1, total + 1):
            await service.tell(updated("Kari", number, profile={"phone": str(number)}))
        told = [answer["data"]["memberChanges"] for answer in await read_late(stream)]

    phones = [it["member"]["phone"] for it in told if it["__typename"] == "MemberChange"]
    assert phones == [str(number) for number in range(1, len(phones) + 1)]
    assert 0 < len(phones) < total
    assert told[-1]["reason"] == "SLOW_CONSUMER"


async def test_client_that_reads_is_never_told_that_it_does_not_keep_up(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.graphql.sse.MAX_WAITING", 5)

    async with events(service, CHANGES) as stream:
        await anext(stream)
        for number in range(12):
            await service.tell(created(f"Kari {number}"))
            change = (await anext(stream)).message
            assert change["member"] == {"givenName": f"Kari {number}"}


async def test_member_who_reads_again_is_told_nothing_that_waited(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not cut off, however long the reading takes.
    monkeypatch.setattr("app.graphql.sse.CLOSING_SECONDS", DEADLINE)
    total = 60
    await long_to_tell(service, "Kari")

    async with events(service, LONG, "Kari") as stream:
        await anext(stream)
        for number in range(1, total + 1):
            await service.tell(updated("Kari", number, profile={"phone": str(number)}))
        await service.tell(deactivated("Kari", 100))
        told = await read_late(stream)

    assert 0 < len(told) < total
    assert told[-1]["errors"][0]["extensions"]["code"] == "MEMBER_INACTIVE"


class Reader:
    """The client's side of an event stream, which reads when it is told to."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.told = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            await self.reads.wait()
            self.told += message["body"]

    async def receive(self) -> Message:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}


@asynccontextmanager
async def served(reader: Reader) -> AsyncIterator[tuple[EventStream, asyncio.Task[None]]]:
    """A stream with three messages that wait for its client to read."""

    async def no_results() -> Results:
        for result in list[bytes]():
            yield result

    stream = EventStream(reader.send, "a-request")
    stream.opened(lambda: None)
    serving = asyncio.create_task(stream.serve(reader.receive, no_results()))
    for number in range(3):
        stream.next([Rendered(str(number), b'{"data":%d}' % number)])
    await asyncio.sleep(0)
    yield stream, serving
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def nothing_more(stream: EventStream) -> None: ...


def denied(stream: EventStream) -> None:
    stream.fail(b'[{"message":"It may no longer be served."}]')


def blinded(stream: EventStream) -> None:
    stream.finish(Rendered("3", b'{"data":"resync"}'))


@pytest.mark.parametrize("ended", [nothing_more, denied, blinded])
async def test_refusal_is_told_in_place_of_whatever_waits(
    ended: Callable[[EventStream], None],
) -> None:
    """The change that ends a membership is read by the stream and by the open connections, and
    either can be the first."""
    reader = Reader()
    async with served(reader) as (stream, serving):
        ended(stream)
        stream.refuse(MemberInactiveError())
        reader.reads.set()
        async with asyncio.timeout(DEADLINE):
            await serving

    first, last, complete, rest = reader.told.decode().split("\n\n")
    assert first.endswith('data: {"data":0}')
    assert '"code":"MEMBER_INACTIVE"' in last
    assert complete == "event: complete\ndata:"
    assert rest == ""


@pytest.mark.parametrize("ended", [nothing_more, denied, blinded])
async def test_who_is_refused_is_not_waited_for(
    ended: Callable[[EventStream], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.graphql.sse.CLOSING_SECONDS", 0.01)
    reader = Reader()
    async with served(reader) as (stream, serving):
        ended(stream)
        await asyncio.sleep(0)
        stream.refuse(MemberInactiveError())
        async with asyncio.timeout(DEADLINE):
            await serving

    assert reader.told == b""


async def test_stream_that_is_cancelled_sends_nothing_more() -> None:
    reader = Reader()
    async with served(reader) as (_, serving):
        serving.cancel()
        await asyncio.wait([serving])
        (_this_test,) = asyncio.all_tasks()

    assert serving.cancelled()
    assert reader.told == b""


@asynccontextmanager
async def raw_stream(service: Service, behind: bytes) -> AsyncIterator[Connection]:
    """A stream past its first event, with something else sent behind its request."""
    body = json.dumps({"query": CHANGES}).encode()
    headers = [
        *json_headers(body),
        (b"accept", b"text/event-stream"),
        (b"authorization", f"Bearer {service.token()}".encode()),
    ]
    connection = await Connection.opened(urlsplit(service.url).port or 0)
    try:
        await connection.send(request(headers, body, b"/graphql"))
        await connection.received(b"StreamHeartbeat")
        await connection.send(behind)
        yield connection
    finally:
        connection.close()


BEHIND = {
    "nothing": b"",
    "a request": b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n",
    "a part of a request": b"GET /healthz HTTP/1.1\r\nhost: test\r\n",
    "a request with a body": b"POST / HTTP/1.1\r\ncontent-length: 300000\r\n\r\n" + bytes(90_000),
    "a WebSocket": HANDSHAKE,
}


@pytest.fixture
def _hasty_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.2)


@pytest.mark.usefixtures("_hasty_heartbeats")
@pytest.mark.parametrize("behind", BEHIND)
async def test_stream_ends_with_its_connection_whatever_was_sent_behind_it(
    service: Service, behind: str
) -> None:
    """At the next heartbeat at the latest: nothing more is read while a large body waits."""
    async with raw_stream(service, BEHIND[behind]):
        pass

    async with asyncio.timeout(DEADLINE):
        while "likeperson_open_event_streams 0.0" not in await metrics(service):
            pass


async def test_service_that_stops_does_not_wait_for_its_streams(settings: Settings) -> None:
    async with httpx.AsyncClient() as http, AsyncExitStack() as service_stops:
        url = await service_stops.enter_async_context(running(settings))
        async with events(Service(url, http, settings), CHANGES) as stream:
            await anext(stream)
            async with asyncio.timeout(GRACE_SECONDS / 2):
                await service_stops.aclose()
            rest = [event async for event in stream]

    # Not even completed: the client has to come back, elsewhere.
    assert rest == []
