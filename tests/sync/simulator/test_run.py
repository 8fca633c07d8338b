"""Load runs deliver everything and count it; live portals survive their receiver."""

import asyncio
from dataclasses import replace

import httpx
import pytest
from starlette.responses import Response

from sync.simulator.event_bodies import PortalEvent
from sync.simulator.portal import Portal
from sync.simulator.run import Load, Progress, live, simulate
from sync.simulator.sender import Sender, SendResult
from sync.simulator.summary import Tally
from tests.sync.simulator.receiver import SECRET, Receiver, unused_url


async def no_pause(seconds: float) -> None:
    await asyncio.sleep(0)


@pytest.fixture
def sender(receiver: Receiver, client: httpx.AsyncClient) -> Sender:
    return Sender(receiver.url, SECRET, client, pause=no_pause)


async def test_run_delivers_every_event_and_counts_it(
    portal: Portal, sender: Sender, receiver: Receiver
) -> None:
    summary = await simulate(portal, sender, Load(members=60, events=60, concurrency=8))

    assert (summary.sent, summary.accepted, summary.retried) == (120, 120, 0)
    assert summary.refused == {}
    assert summary.outcomes == {"updated": 120}
    assert 0 < summary.ack_p50_ms <= summary.ack_p99_ms
    assert summary.per_second == pytest.approx(120 / summary.seconds)
    assert len(receiver.events) == 120


async def test_repeated_and_shuffled_run_loses_nothing(
    portal: Portal, sender: Sender, receiver: Receiver
) -> None:
    load = Load(members=60, events=60, concurrency=8, duplicates=0.3, shuffle=10)

    summary = await simulate(portal, sender, load)

    assert len(receiver.events) == 120
    assert summary.sent == len(receiver.attempts) > 120
    assert summary.outcomes == {"updated": 120, "unchanged": summary.sent - 120}


async def test_refusals_and_retries_are_counted(
    portal: Portal, sender: Sender, receiver: Receiver
) -> None:
    trouble = [503, 500, 409, 503, 503]
    receiver.answers = [Response(status_code=status) for status in trouble]

    summary = await simulate(portal, sender, Load(members=10, events=0, concurrency=1))

    assert (summary.sent, summary.accepted) == (10, 7)
    assert summary.refused == {500: 1, 409: 1, 503: 1}
    assert summary.retried == 2


async def test_run_against_nobody_ends_with_everything_refused(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    sender = Sender(unused_url(), SECRET, client, pause=no_pause)

    summary = await simulate(portal, sender, Load(members=4, events=0))

    assert (summary.sent, summary.accepted, summary.refused) == (4, 0, {0: 4})
    assert (summary.ack_p50_ms, summary.ack_p99_ms) == (0.0, 0.0)


async def test_progress_ends_at_its_whole(portal: Portal, sender: Sender) -> None:
    seen: list[Progress] = []
    load = Load(members=20, events=10, concurrency=4, duplicates=0.2)

    summary = await simulate(portal, sender, load, seen.append)

    assert [progress.sent for progress in seen] == [*range(1, summary.sent + 1), summary.sent]
    assert seen[0].expected == 36
    assert (seen[-1].sent, seen[-1].expected) == (summary.sent, summary.sent)
    assert seen[-1].accepted == summary.accepted


async def test_no_more_than_the_bound_are_in_flight(
    portal: Portal, sender: Sender, receiver: Receiver
) -> None:
    await simulate(portal, sender, Load(members=60, events=0, concurrency=3))

    assert 1 <= receiver.most_in_flight <= 3


async def test_rate_paces_the_deliveries(portal: Portal, sender: Sender) -> None:
    summary = await simulate(portal, sender, Load(members=30, events=0, rate=200.0))

    # The thirtieth delivery is due 29 periods after the first.
    assert summary.seconds >= 29 / 200


async def test_waiting_for_a_free_connection_counts_as_waiting(
    portal: Portal, sender: Sender
) -> None:
    load = Load(members=40, events=0, rate=100_000.0, concurrency=1)

    summary = await simulate(portal, sender, load)

    # All were due at once: the last one waited for all the others.
    assert summary.ack_p99_ms / 1000 > summary.seconds / 2


def test_run_without_concurrency_is_refused() -> None:
    with pytest.raises(ValueError, match="concurrency"):
        Load(members=1, events=1, concurrency=0)


def test_percentiles_are_times_that_were_measured() -> None:
    tally = Tally()
    result = SendResult("evt_1", 200, "success", None, None, 0.1, 1)

    for milliseconds in range(1, 201):
        tally.count(result, milliseconds / 1000)
    tally.count(replace(result, http_status=503), 9.0)

    summary = tally.summary(2.0)
    assert summary.ack_p50_ms == pytest.approx(100)
    assert summary.ack_p99_ms == pytest.approx(198)
    assert summary.outcomes == {"success": 200}


async def test_live_portal_goes_on_until_cancelled(
    portal: Portal, sender: Sender, receiver: Receiver
) -> None:
    receiver.wanted = 50
    seen: list[tuple[PortalEvent, SendResult]] = []
    list(portal.enrol(40))

    async with asyncio.timeout(20):
        living = asyncio.create_task(
            live(portal, sender, 0, lambda event, result: seen.append((event, result)))
        )
        await receiver.enough.wait()
        living.cancel()
        with pytest.raises(asyncio.CancelledError):
            await living

    assert len(seen) >= 49
    assert all(event.id == result.event_id for event, result in seen)
    assert all(result.accepted for _, result in seen)


async def test_live_portal_survives_an_unreachable_receiver(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    sender = Sender(unused_url(), SECRET, client, pause=no_pause)
    seen: list[SendResult] = []
    enough = asyncio.Event()

    def on_result(event: PortalEvent, result: SendResult) -> None:
        seen.append(result)
        if len(seen) == 5:
            enough.set()

    async with asyncio.timeout(20):
        living = asyncio.create_task(live(portal, sender, 0, on_result))
        await enough.wait()
        living.cancel()
        with pytest.raises(asyncio.CancelledError):
            await living

    assert all(result.http_status is None for result in seen)


async def test_live_portal_keeps_its_interval(portal: Portal, sender: Sender) -> None:
    pauses: list[float] = []

    async def counted(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await live(portal, sender, 2.5, pause=counted)

    assert pauses == [2.5, 2.5, 2.5]
