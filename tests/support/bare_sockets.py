"""A bare graphql-transport-ws client, which can also do what a good one never does."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.support.service import DEADLINE, Service

PROTOCOL = Subprotocol("graphql-transport-ws")
CHANGES = """subscription ($after: ChangeCursor, $organizationId: ID) {
  memberChanges(after: $after, organizationId: $organizationId) { __typename
    ... on StreamHeartbeat { cursor } ... on ResyncRequired { cursor reason }
    ... on MemberChange { cursor operation member { givenName phone } } } }"""


class Socket:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def subscribe(self, id: str = "1", query: str = CHANGES, **variables: Any) -> None:
        payload = {"query": query, "variables": variables}
        await self.send(type="subscribe", id=id, payload=payload)

    async def received(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE):
            message: dict[str, Any] = json.loads(await self.connection.recv())
        return message

    async def values(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        """Id and value of the one field, of so many `next` messages."""
        found = []
        for _ in range(count):
            message = await self.received()
            assert message["type"] == "next", message
            (value,) = message["payload"]["data"].values()
            found.append((message["id"], value))
        return found


@asynccontextmanager
async def socket(
    service: Service, member: str | None = None, **options: Any
) -> AsyncIterator[Socket]:
    """Past its `connection_ack`."""
    url = service.url.replace("http", "ws", 1) + "/graphql"
    async with connect(url, subprotocols=[PROTOCOL], **options) as connection:
        found = Socket(connection)
        payload = {"authorization": f"Bearer {service.token(member)}"}
        await found.send(type="connection_init", payload=payload)
        assert (await found.received())["type"] == "connection_ack"
        yield found


def names(values: Sequence[tuple[str, dict[str, Any]]]) -> list[tuple[str, str]]:
    """Which subscription was told of whom."""
    return [(id, value["member"]["givenName"]) for id, value in values]
