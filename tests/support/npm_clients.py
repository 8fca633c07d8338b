"""The clients that apps use, published on npm, each as a process of its own."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.javascript import NODE, PACKAGES, install_packages
from tests.support.service import DEADLINE, Service

PROTOCOLS = ("graphql-ws", "graphql-sse")


class Client:
    """What one says, line by line."""

    def __init__(self, output: asyncio.StreamReader) -> None:
        self._output = output

    async def said(self) -> dict[str, Any]:
        """The next thing it says, except that it has connected."""
        while True:
            async with asyncio.timeout(DEADLINE):
                line = await self._output.readline()
            assert line, "The client has ended."
            event: dict[str, Any] = json.loads(line)
            if "connected" not in event:
                return event

    async def message(self) -> dict[str, Any]:
        """The value of the field, in the next result; being cut off is passed over."""
        while "cut" in (event := await self.said()):
            pass
        assert "result" in event, event
        (value,) = event["result"]["data"].values()
        found: dict[str, Any] = value
        return found


@asynccontextmanager
async def client(
    protocol: str,
    service: Service,
    query: str,
    member: str | None = None,
    *,
    reconnect: bool = False,
    **variables: Any,
) -> AsyncIterator[Client]:
    """With `reconnect`, it goes on after the last cursor whenever it is cut off."""
    await asyncio.to_thread(install_packages)
    order = {
        "protocol": protocol,
        "url": f"{service.url}/graphql",
        "token": service.token(member),
        "query": query,
        "variables": variables,
        "reconnect": reconnect,
    }
    process = await asyncio.create_subprocess_exec(
        NODE, PACKAGES / "subscriber.mjs", json.dumps(order), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield Client(process.stdout)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()
