"""A portal's client opens few connections, keeps them, and closes them all."""

import pytest

from sync.simulator.keep_alive import portal_client
from sync.simulator.portal import Portal
from sync.simulator.sender import Sender
from tests.sync.simulator.receiver import SECRET, Receiver


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_connections_are_kept(portal: Portal, receiver: Receiver, concurrency: int) -> None:
    async with portal_client(concurrency) as client:
        sender = Sender(receiver.url, SECRET, client)
        for event in portal.enrol(12):
            await sender.send(event)

    assert len(receiver.events) == 12
    assert len(receiver.peers) == concurrency


async def test_closed_client_sends_nothing_more(portal: Portal, receiver: Receiver) -> None:
    client = portal_client(2)
    await client.aclose()

    with pytest.raises(RuntimeError, match="closed"):
        await Sender(receiver.url, SECRET, client).send(next(portal.enrol(1)))

    assert receiver.events == {}


async def test_proxies_of_the_environment_are_not_used(
    portal: Portal, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    async with portal_client() as client:
        result = await Sender(receiver.url, SECRET, client).send(next(portal.enrol(1)))

    assert result.accepted
