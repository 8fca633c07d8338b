"""Sockets as a client of graphql-transport-ws sees them, message by message."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.support.service import DEADLINE


@dataclass
class Socket:
    connection: ClientConnection

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def next(self) -> dict[str, Any]:
        """The next message; pings are answered and passed over. {} when the socket is closed."""
        try:
            while True:
                async with asyncio.timeout(DEADLINE):
                    message: dict[str, Any] = json.loads(await self.connection.recv())
                if message["type"] != "ping":
                    return message
                await self.send(type="pong")
        except ConnectionClosed:
            return {}

    async def subscribe(self, id: str, query: str) -> None:
        await self.send(id=id, type="subscribe", payload={"query": query})

    async def closed(self) -> int | None:
        """The code it is closed with; what comes before is passed over."""
        while await self.next():
            pass
        return self.connection.close_code


@asynccontextmanager
async def opened(url: str, token: str | None, **headers: str) -> AsyncIterator[Socket]:
    """`connection_init` is sent; whether it is accepted is for the test to see."""
    address = url.replace("http", "ws", 1) + "/graphql"
    protocols = [Subprotocol("graphql-transport-ws")]
    async with connect(address, subprotocols=protocols, additional_headers=headers) as connection:
        socket = Socket(connection)
        payload = {} if token is None else {"authorization": f"Bearer {token}"}
        await socket.send(type="connection_init", payload=payload)
        yield socket
