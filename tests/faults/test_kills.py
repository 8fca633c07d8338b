"""The service is killed with SIGKILL, again and again, while many senders deliver."""

import asyncio
import random
from pathlib import Path

from tests.faults.evidence import check_promises, figures
from tests.faults.process import ServiceProcess
from tests.faults.senders import Senders


async def test_nothing_that_was_acknowledged_is_lost_or_applied_twice_when_the_service_is_killed(
    database_url: str, tmp_path: Path, long: bool
) -> None:
    kills, count, members = (100, 32, 200) if long else (3, 8, 40)
    chance = random.Random() if long else random.Random(1)  # noqa: S311
    with ServiceProcess(database_url, tmp_path) as service:
        async with Senders(service.url, count, chance, members) as senders:
            for _ in range(kills):
                await start_and_kill(service, senders, chance)
            service.start()
            await service.ready()
            senders.go()
            await senders.acknowledgements(count)
        complaints = service.complaints()

    found = await check_promises(database_url, senders)
    kind = database_url.partition("+")[0]
    print(f"{kind}: {kills} kills under {count} senders: {figures(senders, found)}")  # noqa: T201
    assert set(senders.answers) == {200}
    assert senders.broken > 0
    assert complaints == []


async def start_and_kill(service: ServiceProcess, senders: Senders, chance: random.Random) -> None:
    """At a random moment: of its start, or after some deliveries and a part of the next."""
    service.start()
    if chance.random() < 0.1:
        await asyncio.sleep(chance.uniform(0, 1))
    else:
        await service.ready()
        senders.go()
        await senders.acknowledgements(chance.randint(1, 8 * senders.count))
        await asyncio.sleep(chance.uniform(0, 0.02))
    senders.pause()
    service.kill()
