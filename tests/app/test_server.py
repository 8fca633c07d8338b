"""The server of the service, and how it listens."""

import asyncio
import socket
from contextlib import AsyncExitStack

from app.server import LISTENERS, make_server
from app.settings import Settings
from tests.support.service import DEADLINE

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"


async def test_no_part_of_an_answer_waits_for_the_client_to_acknowledge_another(
    settings: Settings,
) -> None:
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = make_server(settings, url.set_result)
    serving = asyncio.create_task(server.serve())
    port = int((await asyncio.wait_for(url, DEADLINE)).rpartition(":")[2])
    async with AsyncExitStack() as stack:
        for _ in range(4 * LISTENERS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            writer.write(REQUEST)
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE)

        options = [
            connection.transport.get_extra_info("socket").getsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY
            )
            for connection in server.server_state.connections
        ]
    server.should_exit = True
    await serving

    assert len(options) == 4 * LISTENERS
    assert all(options)
