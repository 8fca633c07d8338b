"""What the service answers, byte for byte, beside what it answered when that was recorded.

A made-up register is filled by webhooks. Then everybody who may look at it sends every operation of
the console, of GraphiQL, of the examples and of the guides, opens every subscription, and makes
mistakes. The answers are the same on both databases. When some are meant to change,

    ./test tests/recorded --record

writes all of them anew to `tests/recorded/answers/`, whose diff is then to be read. Only what
differs from run to run by nature does not count: see `tests/recorded/recording.py`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from graphql import OperationType
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.recorded import cases
from tests.recorded.operations import Operation, named, of_type
from tests.recorded.recording import Recording
from tests.support.service import DEADLINE, Service

GRAPHQL_RESPONSE = "application/graphql-response+json"
PROTOCOL = Subprotocol("graphql-transport-ws")
# A caller may give its own id, so that those in the answers are the same in every run.
REQUEST_ID = {"x-request-id": "recorded"}
TOLD = ("content-type", "allow", "retry-after", "www-authenticate")
NAMED_BY = {"members": "givenName", "organizations": "name", "syncLog": "eventId"}


async def test_answers_are_byte_for_byte_as_recorded(service: Service, record: bool) -> None:
    run = Run(service)

    await run.fill_the_register()
    await run.send_all(OperationType.QUERY)
    await run.subscribe()
    await run.follow()
    await run.send_all(OperationType.MUTATION)
    await run.ask_afterwards()
    await run.make_mistakes()
    await run.converse()
    await run.deliver_every_case()
    await run.measure()
    if record and service.settings.database_url.startswith("sqlite"):
        run.recording.write()

    if differences := run.recording.differences():
        pytest.fail(f"Not as recorded:\n\n{differences}", pytrace=False)


class Run:
    """The walk through everything that is recorded; each step adds to the recording."""

    def __init__(self, service: Service) -> None:
        self.recording = Recording()
        self._service = service
        # Made once, and of different ends: no two of them end in the same second by chance.
        tokens = {
            viewer: service.token(member, timedelta(minutes=100 + place))
            for place, (viewer, member) in enumerate({**cases.VIEWERS, **cases.REFUSED}.items())
        }
        tokens["expired token"] = service.token(None, -timedelta(hours=1))
        self._credentials = {
            viewer: {"authorization": f"Bearer {token}"} for viewer, token in tokens.items()
        }
        self._credentials["nobody"] = {}
        # What "@…" in variables stands for.
        self._places: dict[str, Any] = {"@operator": self._credentials["operator"]}

    async def fill_the_register(self) -> None:
        for number, (event_id, event) in enumerate(cases.REGISTER, 1):
            response = await self._service.deliver(event, event_id, **REQUEST_ID)
            self._add("register", f"{number}. {event_id}", response)
        # Asked first of all, so that the numbers of ids, cursors and times begin here.
        response = await self._post(named("Everything").text, {}, "operator")
        self._add("register", "everything", response)
        data = response.json()["data"]
        self._places["@changes"] = data["members"]["changeCursor"]
        for field, name in NAMED_BY.items():
            for edge in data[field]["edges"]:
                self._places[f"@{edge['node'][name]}"] = edge["node"]["id"]
                self._places[f"@after {edge['node'][name]}"] = edge["cursor"]

    async def send_all(self, type: OperationType) -> None:
        """Every operation of the type, by all who see something; once also by those who do not."""
        for operation in of_type(type):
            for number, variables in enumerate(cases.variables_of(operation.text, operation.name)):
                for viewer in cases.VIEWERS if number else self._credentials:
                    await self._send(operation.sender, operation, variables, viewer)

    async def ask_afterwards(self) -> None:
        """What the mutations changed, and what is recorded of those who sent them."""
        for name, variables in cases.AFTERWARDS.items():
            await self._send("afterwards", named(name), variables, "operator")

    async def subscribe(self) -> None:
        """Every subscription: the first message, and those after a place in the feed."""
        await self._service.tell(*cases.LATER)
        for operation in of_type(OperationType.SUBSCRIPTION):
            for viewer in self._credentials:
                await self._subscribe(operation, {}, viewer, 1)
            if "$after" in operation.text:
                for viewer in cases.VIEWERS:
                    count = 1 + cases.SEEN_LATER.get(viewer, 1)
                    await self._subscribe(operation, {"after": "@changes"}, viewer, count)
        for name, variables, count in cases.SUBSCRIPTIONS:
            await self._subscribe(named(name), variables, "operator", count)
        await self._listen(named("Changes"), {"after": "@changes"}, 2)

    async def follow(self) -> None:
        """Several at once, until the last event ends the membership of one of them."""
        sockets = {}
        async with AsyncExitStack() as stack:
            for viewer, name in cases.FOLLOWERS:
                socket = await stack.enter_async_context(self._socket())
                await _say(socket, self._init(viewer), cases.subscribe(named(name).text))
                sockets[f"{name} as {viewer}, followed"] = socket
            lines = {title: await _heard(socket, 2) for title, socket in sockets.items()}
            for event in cases.LIVE:
                await self._service.tell(event)
                for title, socket in sockets.items():
                    lines[title] += await _heard(socket, 1)
        for title, messages in lines.items():
            self.recording.add("live", title, *messages)

    async def make_mistakes(self) -> None:
        """Documents and requests that are refused, the latter with all of their headers."""
        for text in cases.MISTAKES:
            for accept in (GRAPHQL_RESPONSE, "application/json"):
                response = await self._post(text, {}, "operator", accept)
                self._add("mistakes", f"{text[:80]!r} accepting {accept}", response)
        for method, path, headers, body in cases.REQUESTS:
            response = await self._service.http.request(
                method, self._service.url + path, content=body, headers={**REQUEST_ID, **headers}
            )
            told = [name for name in response.headers if name not in ("date", "content-length")]
            self._add("mistakes", f"{method} {path} {headers} {body[:80]!r}", response, told)

    async def converse(self) -> None:
        for title, messages in cases.CONVERSATIONS.items():
            async with self._socket() as socket:
                await _say(socket, *self._resolved(messages))
                self.recording.add("sockets", title, *await _heard(socket, 3))

    async def deliver_every_case(self) -> None:
        for title, (event_id, event, given) in cases.DELIVERIES.items():
            response = await self._service.deliver(event, event_id, **{**REQUEST_ID, **given})
            self._add("deliveries", title, response)

    async def measure(self) -> None:
        """The names and descriptions of the metrics; their values are not recorded."""
        page = await self._service.http.get(f"{self._service.url}/metrics")
        told = [line for line in page.text.splitlines() if line.startswith("# ")]
        self.recording.add("metrics", "all", page.headers["content-type"], *told)

    def _add(
        self, part: str, title: str, response: httpx.Response, told: Sequence[str] = TOLD
    ) -> None:
        headers = [f"{name}: {response.headers[name]}" for name in told if name in response.headers]
        body = response.content.decode()
        self.recording.add(part, title, str(response.status_code), *headers, body)

    async def _send(
        self, part: str, operation: Operation, variables: cases.Variables, viewer: str
    ) -> None:
        response = await self._post(operation.text, variables, viewer)
        self._add(part, operation.title(variables, viewer), response)

    async def _post(
        self, text: str, variables: cases.Variables, viewer: str, accept: str = GRAPHQL_RESPONSE
    ) -> httpx.Response:
        return await self._service.http.post(
            f"{self._service.url}/graphql",
            json={"query": text, "variables": self._resolved(variables)},
            headers={**REQUEST_ID, **self._credentials[viewer], "accept": accept},
        )

    async def _subscribe(
        self, operation: Operation, variables: cases.Variables, viewer: str, count: int
    ) -> None:
        async with self._socket() as socket:
            message = cases.subscribe(operation.text, **self._resolved(variables))
            await _say(socket, self._init(viewer), message)
            lines = await _heard(socket, 1 + count)
        self.recording.add(
            "live", f"{operation.sender}: {operation.title(variables, viewer)}", *lines
        )

    async def _listen(self, operation: Operation, variables: cases.Variables, count: int) -> None:
        """To so many server-sent events, as an operator."""
        url, text = f"{self._service.url}/graphql", ""
        request = {"query": operation.text, "variables": self._resolved(variables)}
        headers = {**REQUEST_ID, **self._credentials["operator"], "accept": "text/event-stream"}
        async with self._service.http.stream("POST", url, json=request, headers=headers) as answer:
            async for line in answer.aiter_lines():
                text += f"{line}\n"
                if text.count("\n\n") == count:
                    break
        self.recording.add("live", "server-sent events", answer.headers["content-type"], text)

    def _resolved(self, value: Any) -> Any:
        """With ids, cursors and credentials in the place of their names."""
        if isinstance(value, dict):
            return {name: self._resolved(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._resolved(inner) for inner in value]
        return self._places[value] if str(value).startswith("@") else value

    def _init(self, viewer: str) -> dict[str, Any]:
        return {**cases.INIT, "payload": self._credentials[viewer]}

    @asynccontextmanager
    async def _socket(self) -> AsyncIterator[ClientConnection]:
        url = self._service.url.replace("http", "ws", 1) + "/graphql"
        async with (
            asyncio.timeout(DEADLINE),
            connect(url, subprotocols=[PROTOCOL], additional_headers=REQUEST_ID) as socket,
        ):
            yield socket


async def _say(socket: ClientConnection, *messages: dict[str, Any]) -> None:
    for message in messages:
        await socket.send(json.dumps(message))


async def _heard(socket: ClientConnection, count: int) -> list[str]:
    """So many messages, or those up to the last one, or to the end of the connection."""
    lines: list[str] = []
    try:
        while len(lines) < count:
            lines.append(str(await socket.recv()))
            if json.loads(lines[-1])["type"] in ("error", "complete"):
                break
            # One that tells of errors is followed by one that says that it was the last.
            count += '"errors":' in lines[-1]
    except ConnectionClosed:
        lines.append(f"closed: {socket.close_code} {socket.close_reason}")
    return lines
