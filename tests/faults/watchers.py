"""Subscribers who come and go, and what each of them should have been told.

They connect to any of the processes, stay for a while, vanish without a word, and go on after the
last cursor they were given.
"""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from db.tables.facts import MemberFacts
from schema.types.opaque import parse_change_cursor, parse_global_id

CHANGES = """subscription ($after: ChangeCursor, $filter: MemberFilter) {
  memberChanges(after: $after, filter: $filter) { __typename
    ... on StreamHeartbeat { cursor }
    ... on ResyncRequired { cursor reason }
    ... on MemberChange { cursor operation memberId member { givenName } } } }"""
PROTOCOL = Subprotocol("graphql-transport-ws")

Shows = Callable[[int, MemberFacts], bool]
Told = tuple[int, str, int]
"""Position, operation, and which member."""


@dataclass
class Watcher:
    """`shows` says of a member, as it was before or after a change, whether its viewer sees it."""

    urls: Sequence[str]
    token: str
    shows: Shows
    chance: random.Random
    filter: dict[str, Any] | None = None
    stay_seconds: float = 1.5
    after: str | None = None
    told: list[Told] = field(default_factory=list)
    connections: int = 0
    surprises: list[dict[str, Any]] = field(default_factory=list)

    async def watch(self) -> None:
        """Endless."""
        while True:
            try:
                async with asyncio.timeout(self.chance.expovariate(1 / self.stay_seconds)):
                    await self._stay(self.chance.choice(self.urls))
            except (OSError, TimeoutError, WebSocketException):
                # As a client does, rather than as fast as it can while nobody is there.
                await asyncio.sleep(self.chance.uniform(0, 0.1))

    async def begin(self) -> None:
        """Returns when the place is known from which on everything is to be told."""
        while self.after is None:
            try:
                async with self._connection(self.urls[0]) as socket:
                    while self.after is None:
                        self._take(json.loads(await socket.recv()))
            except (OSError, WebSocketException):
                await asyncio.sleep(0.1)

    async def _stay(self, url: str) -> None:
        async with self._connection(url) as socket:
            try:
                async for text in socket:
                    self._take(json.loads(text))
            finally:
                # Nothing is said: the network was cut.
                socket.transport.abort()

    def _connection(self, url: str) -> "_Subscribed":
        return _Subscribed(self, url)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] != "next":
            if message["type"] not in ("connection_ack", "complete"):
                self.surprises.append(message)
            return
        data = message["payload"].get("data")
        if not data or message["payload"].get("errors"):
            self.surprises.append(message)
            return
        found = data["memberChanges"]
        if found["__typename"] == "MemberChange":
            place = parse_change_cursor(found["cursor"], "cursor").position
            _, member_id = parse_global_id(found["memberId"], "memberId")
            self.told.append((place, found["operation"], member_id))
        elif found["__typename"] != "StreamHeartbeat":
            self.surprises.append(message)
        self.after = found["cursor"]

    def expected(self, changes: Sequence[Any], first: int) -> list[Told]:
        """By the facts that stand in the feed, and by nothing that the service says."""
        told = []
        for change in changes:
            if change.position <= first or change.member_id is None:
                continue
            before, after = (
                facts is not None and self.shows(change.member_id, facts)
                for facts in (change.facts.member_before, change.facts.member_after)
            )
            if before or after:
                operation = "UPDATED" if before and after else "ADDED" if after else "REMOVED"
                told.append((change.position, operation, change.member_id))
        return told


class _Subscribed:
    """A socket past its `subscribe`."""

    def __init__(self, watcher: Watcher, url: str) -> None:
        self._watcher = watcher
        self._connect = connect(
            f"{url.replace('http', 'ws', 1)}/graphql",
            subprotocols=[PROTOCOL],
            open_timeout=None,
            close_timeout=1,
            ping_interval=None,
            compression=None,
        )

    async def __aenter__(self) -> ClientConnection:
        watcher = self._watcher
        socket = await self._connect.__aenter__()
        watcher.connections += 1
        payload = {"authorization": f"Bearer {watcher.token}"}
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        variables = {"after": watcher.after, "filter": watcher.filter}
        operation = {"query": CHANGES, "variables": variables}
        await socket.recv()
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": operation}))
        return socket

    async def __aexit__(self, *raised: Any) -> None:
        await self._connect.__aexit__(*raised)
