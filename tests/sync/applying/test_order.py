"""Which of two statements counts, and what the log says where that may be wrong. Over HTTP."""

import asyncio
from itertools import permutations
from typing import Any

import pytest

from db.vocabulary import EntryMark
from tests.support.builders import (
    created,
    deactivated,
    guid,
    organization,
    reactivated,
    role,
    role_updated,
    updated,
)
from tests.support.service import Service
from tests.sync.recorded_events import marks

LOG = """query { syncLog { edges { node { eventId status outcome detail } } } }"""
MEMBER = """query ($id: String!) { member(by: {portalId: $id}) { state phone } }"""


def with_sequence(event: dict[str, Any], sequence: object) -> dict[str, Any]:
    return {**event, "sequence": sequence}


def phone(number: str, when: float = 1) -> dict[str, Any]:
    return updated("Kari", when, profile={"phone": number})


async def entry(service: Service, event_id: str) -> dict[str, Any]:
    log = (await service.data(LOG))["syncLog"]["edges"]
    (found,) = [edge["node"] for edge in log if edge["node"]["eventId"] == event_id]
    return dict(found)


async def kari(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = (await service.data(MEMBER, id=guid("Kari")))["member"]
    return found


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_at_equal_times_the_larger_sequence_counts(
    service: Service, order: tuple[int, ...]
) -> None:
    # Were they compared as texts, or by event id, another one would count.
    sent = [("evt_c", phone("none")), ("evt_b", phone("9")), ("evt_a", phone("10"))]
    sequences = [None, 9, "10"]

    for index in order:
        id, event = sent[index]
        await service.deliver(with_sequence(event, sequences[index]), id)

    assert (await kari(service))["phone"] == "10"


@pytest.mark.parametrize("turned", [False, True])
async def test_later_time_counts_whatever_the_sequence(service: Service, turned: bool) -> None:
    events = [with_sequence(phone("old", 1), 2**63 - 1), with_sequence(phone("new", 2), 1)]

    await service.tell(*(reversed(events) if turned else events))

    assert (await kari(service))["phone"] == "new"


@pytest.mark.parametrize("turned", [False, True])
async def test_larger_sequence_counts_more_than_a_deactivation(
    service: Service, turned: bool
) -> None:
    events = [with_sequence(deactivated("Kari"), 5), with_sequence(reactivated("Kari", 1), 6)]

    await service.tell(*(reversed(events) if turned else events))

    assert (await kari(service))["state"] == "ACTIVE"


@pytest.mark.parametrize("turned", [False, True])
async def test_deactivation_counts_more_than_event_ids(service: Service, turned: bool) -> None:
    events = [("evt_1", deactivated("Kari")), ("evt_2", reactivated("Kari", 1))]

    for id, event in reversed(events) if turned else events:
        await service.deliver(event, id)

    assert (await kari(service))["state"] == "INACTIVE"


@pytest.mark.parametrize("sequence", [-1, 2**63, "12a", "", 1.5, True, [], "٧", "9" * 40])
async def test_sequence_that_cannot_be_read_is_ignored_with_a_remark(
    service: Service, sequence: object
) -> None:
    response = await service.deliver(with_sequence(phone("1"), sequence), "evt_1")

    assert response.status_code == 200
    assert "`$.sequence` must be a whole number" in response.json()["detail"]
    assert (await kari(service))["phone"] == "1"


async def test_tie_of_different_statements_is_remarked_on_and_counted(service: Service) -> None:
    await service.deliver(created("Kari", 0, roles=[role("member")]), "evt_1")
    await service.deliver(role_updated("Kari", 0, roles=[role("coordinator")]), "evt_2")
    await service.deliver(deactivated("Kari", 0), "evt_0")

    tied = [await entry(service, id) for id in ("evt_2", "evt_0")]

    assert "states something else of: roles." in tied[0]["detail"]
    assert "states something else of: state." in tied[1]["detail"]
    assert await marks(service.settings.database_url) == {
        "evt_2": EntryMark.TIED,
        "evt_0": EntryMark.TIED,
    }


async def test_tie_about_a_chapter_is_remarked_on(service: Service) -> None:
    await service.deliver(created("Kari", organization=organization("HLF Oslo")), "evt_1")
    renamed = {**organization("HLF Oslo"), "name": "Oslo og omegn"}

    response = await service.deliver(created("Ola", organization=renamed), "evt_2")

    assert "states something else of: organization.name." in response.json()["detail"]


@pytest.mark.parametrize(
    "second",
    [
        phone("1"),
        with_sequence(phone("2"), 1),
        phone("2", 1.001),
        updated("Kari", profile={"givenName": "Kari"}),
        updated("Ola", profile={"phone": "2"}),
    ],
    ids=["equal content", "sequence", "time", "another part", "another person"],
)
async def test_what_is_decided_or_equal_is_no_tie(service: Service, second: dict[str, Any]) -> None:
    await service.deliver(phone("1"), "evt_1")

    response = await service.deliver(second, "evt_2")

    assert "detail" not in response.json()
    assert await marks(service.settings.database_url) == {}


async def test_event_overtaken_by_a_newer_one_is_remarked_on_and_counted(
    service: Service,
) -> None:
    await service.deliver(phone("new", 5), "evt_new")

    response = await service.deliver(phone("old", 1), "evt_old")

    assert response.json()["outcome"] == "stale"
    assert response.json()["detail"].startswith(
        "A statement of 2024-11-01T09:05:00+00:00, which is newer, was received before this one."
    )
    assert await marks(service.settings.database_url) == {"evt_old": EntryMark.OVERTAKEN}


async def test_replay_of_what_is_stale_by_now_was_not_overtaken(service: Service) -> None:
    await service.deliver(phone("old", 1), "evt_old")
    await service.deliver(phone("new", 5), "evt_new")

    await service.data('mutation { replayEvents(input: {filter: {}, reason: "x"}) { __typename } }')

    assert (await entry(service, "evt_old"))["detail"] is None
    assert await marks(service.settings.database_url) == {}


async def test_same_events_at_once_rank_the_same(service: Service) -> None:
    events = [(f"evt_{number}", with_sequence(phone(str(number)), number)) for number in range(12)]

    await asyncio.gather(*(service.deliver(event, id) for id, event in events))

    assert (await kari(service))["phone"] == "11"
