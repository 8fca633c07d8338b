"""The health of the sync: what calls for a look, and the figures behind it."""

from typing import Any

from tests.support.builders import created, updated
from tests.support.service import Service

HEALTH = """
{ syncHealth {
  healthy summary concerns { kind }
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
    assert [concern["kind"] for concern in found["concerns"]] == ["REJECTIONS"]
    assert found["lastHour"] == {"received": 6, "succeeded": 2, "rejected": 4}
    assert found["hours"][-1]["counts"] == found["lastHour"]
    assert {it["reason"]: (it["lastHour"], it["lastDay"]) for it in found["rejections"]} == {
        "The event id … was used before, for a different body.": (2, 2),
        "`$.type` is missing.": (2, 2),
    }
