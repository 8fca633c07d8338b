"""The health of the sync: what calls for a look, and the figures behind it."""

from typing import Any

import httpx
import pytest

from app.server import running
from app.settings import Settings
from tests.support.builders import created, updated
from tests.support.service import DEADLINE, Service

HEALTH = """
{ syncHealth {
  healthy summary concerns
  lastHour { received succeeded rejected } lastDay { received }
  hours { begins counts { received succeeded rejected } }
  rejections { reason lastHour lastDay } } }
"""


async def health(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = (await service.data(HEALTH))["syncHealth"]
    return found


async def test_nothing_calls_for_a_look_while_all_is_well(service: Service) -> None:
    empty = await health(service)
    await service.tell(created("Kari"), updated("Kari", profile={"phone": "+4790000000"}))

    found = await health(service)

    assert (empty["healthy"], empty["concerns"], empty["rejections"]) == (True, [], [])
    assert (found["healthy"], found["concerns"], found["summary"]) == (True, [], "All is well.")
    assert [hour["counts"]["received"] for hour in found["hours"]] == [0] * 23 + [2]
    begins = [hour["begins"] for hour in found["hours"]]
    assert begins == sorted(begins)


async def test_rejections_are_told_by_reason_without_what_differs_between_them(
    service: Service,
) -> None:
    for event_id, other in (("evt_1", "evt_2"), ("evt_3", "evt_4")):
        await service.deliver(created(event_id), event_id)
        await service.deliver(created("Ola"), event_id)
        await service.deliver(b"{}", other)

    found = await health(service)

    assert found["healthy"] is False
    assert found["concerns"] == ["REJECTIONS"]
    assert found["lastHour"] == {"received": 6, "succeeded": 2, "rejected": 4}
    assert found["hours"][-1]["counts"] == found["lastHour"]
    assert {it["reason"]: (it["lastHour"], it["lastDay"]) for it in found["rejections"]} == {
        "The event id … was used before, for a different body.": (2, 2),
        "`$.type` is missing.": (2, 2),
    }


async def test_a_tenth_of_rejections_is_not_too_many(service: Service) -> None:
    for number in range(9):
        await service.tell(created("Kari", number))
    await service.deliver(b"{}")

    assert (await health(service))["concerns"] == []


@pytest.mark.parametrize(("hours", "concerns"), [(1.0, []), (1e-9, ["SILENCE"])])
async def test_silence_calls_for_a_look_when_it_lasts_longer_than_is_told(
    settings: Settings, hours: float, concerns: list[str]
) -> None:
    settings = settings.model_copy(update={"longest_silence_hours": hours})
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        service = Service(url, http, settings)
        before = await health(service)
        await service.tell(created("Kari"))
        found = await health(service)

    assert before["concerns"] == []
    assert found["concerns"] == concerns
