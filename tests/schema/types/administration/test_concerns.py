"""Concerns: what is wrong is told, with what it is about, until it is put right or taken on."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from app import storage
from app.server import running
from app.settings import Settings, SourceSettings
from db.queries.log.refusal_counts import RefusalCount, add_refusals
from db.tables.models import ReconciliationRow, SyncLogEntry
from db.vocabulary import ConcernKind, ReconciliationStatus, SyncStatus
from tests.support.association import chapter, found_association
from tests.support.builders import (
    created,
    deactivated,
    organization,
    organization_updated,
    role,
    role_updated,
    updated,
)
from tests.support.compared import compared_with_a_file
from tests.support.opened import opened
from tests.support.service import DEADLINE, Service
from tests.sync.reconcile.test_run import row, run

CONCERNS = """{ syncHealth { healthy summary concerns { id kind source since state detail advice
    count acknowledgedAt acknowledgedBy
    entries { totalCount edges { node { id eventType status } } } } } }"""
ACKNOWLEDGE = """mutation ($id: ID!, $reason: String) {
    acknowledgeConcern(input: {concernId: $id, reason: $reason}) { __typename
      ... on AcknowledgeConcernSuccess { concern { state count acknowledgedBy } }
      ... on AcknowledgeConcernError { code path } } }"""
REPLAY = """mutation ($id: ID!) { replayEvents(input: {concernId: $id}) { __typename
    ... on ReplayEventsSuccess { matched changed }
    ... on ReplaySelectionError { path } } }"""
UNREADABLE: dict[str, Any] = {"type": "membership-deactivated", "timestamp": "?", "data": {}}
UNKNOWN = {**updated("Kari"), "type": "course-completed"}


async def concerns(service: Service, **given: Any) -> list[dict[str, Any]]:
    health = (await service.data(CONCERNS, **given))["syncHealth"]
    assert health["healthy"] is (health["concerns"] == [])
    for concern in health["concerns"]:
        assert concern["detail"] in health["summary"]
        assert concern["advice"].endswith(".")
        assert concern["since"] is not None
    found: list[dict[str, Any]] = health["concerns"]
    return found


async def kinds(service: Service, **given: Any) -> list[str]:
    return [concern["kind"] for concern in await concerns(service, **given)]


async def concern(service: Service, kind: ConcernKind) -> dict[str, Any]:
    """The concern of this kind, which must be the only one."""
    (found,) = await concerns(service)
    assert found["kind"] == kind
    return found


async def acknowledge(service: Service, id: str, **given: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await service.data(ACKNOWLEDGE, id=id, **given))["acknowledgeConcern"]
    return found


async def test_refused_deactivation_is_told_first_until_somebody_has_looked(
    service: Service,
) -> None:
    await service.deliver({"type": "role-updated", "timestamp": "?"})
    await service.deliver(UNREADABLE)
    await service.deliver({**deactivated(), "type": "board-deactivation"})

    first, second = await concerns(service)
    entries = [edge["node"] for edge in first["entries"]["edges"]]

    assert (first["kind"], first["source"]) == ("REFUSED_DEACTIVATION", "portal")
    assert (first["count"], first["entries"]["totalCount"], first["state"]) == (2, 2, "OPEN")
    assert [entry["eventType"] for entry in entries] == [
        "board-deactivation",
        "membership-deactivated",
    ]
    assert (second["kind"], second["count"]) == ("REJECTIONS", 1)

    over = await acknowledge(service, first["id"], reason="The board knows.")
    assert over["concern"] == {"state": "OVER", "count": 0, "acknowledgedBy": None}
    assert await kinds(service) == ["REJECTIONS"]

    await service.deliver(UNREADABLE)
    again, _ = await concerns(service)
    assert (again["id"], again["count"]) == (first["id"], 1)


async def test_unknown_types_are_named(service: Service) -> None:
    await service.tell(created("Kari"), UNKNOWN, UNKNOWN)

    found = await concern(service, ConcernKind.UNKNOWN_TYPES)

    assert found["count"] == 2
    assert "course-completed" in found["detail"]


async def test_what_a_concern_is_about_is_replayed_as_a_whole(service: Service) -> None:
    await service.tell(created("Kari"), created("Ola"), deactivated("Ola"))
    await set_entries(service, "membership-deactivated", SyncStatus.DEAD)
    before = await concern(service, ConcernKind.DEAD)

    replayed = (await service.data(REPLAY, id=before["id"]))["replayEvents"]
    again = (await service.data(REPLAY, id=before["id"]))["replayEvents"]

    assert before["count"] == before["entries"]["totalCount"] == 1
    assert replayed == {"__typename": "ReplayEventsSuccess", "matched": 1, "changed": 0}
    assert await concerns(service) == []
    assert again == {"__typename": "ReplaySelectionError", "path": ["input", "concernId"]}


async def test_event_that_waits_for_long_is_told_with_how_long(service: Service) -> None:
    await service.tell(created("Kari"))
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    await set_entries(service, "membership-created", SyncStatus.FAILED, received_at=long_ago)

    found = await concern(service, ConcernKind.WAITING)

    assert datetime.fromisoformat(found["since"]) == long_ago


async def set_entries(service: Service, type: str, status: SyncStatus, **values: Any) -> None:
    """Makes entries of this type look as if they had failed."""
    async with opened(service.settings.database_url) as database, database.write() as session:
        of_type = SyncLogEntry.event_type == type
        await session.run(update(SyncLogEntry).where(of_type).values(status=status, **values))


async def test_acknowledged_concern_stays_so_until_it_grows(service: Service) -> None:
    await service.tell(created("Kari", roles=[role("treasurer")]))
    before = await concern(service, ConcernKind.UNDECIDED_ROLES)

    taken = await acknowledge(service, before["id"])
    kept = await concern(service, ConcernKind.UNDECIDED_ROLES)
    trail = await service.data("{ auditTrail { edges { node { action actor detail } } } }")

    assert taken["concern"]["state"] == kept["state"] == "ACKNOWLEDGED"
    assert kept["acknowledgedBy"] == "operator test"
    assert kept["acknowledgedAt"] is not None
    assert trail["auditTrail"]["edges"][0]["node"] == {
        "action": "CONCERN_ACKNOWLEDGED",
        "actor": "operator test",
        "detail": "UNDECIDED_ROLES",
    }


async def test_dead_events_that_somebody_has_taken_on_stand_until_there_are_more(
    service: Service,
) -> None:
    await service.tell(created("Kari"), deactivated("Kari"))
    await set_entries(service, "membership-deactivated", SyncStatus.DEAD)
    before = await concern(service, ConcernKind.DEAD)

    taken = await acknowledge(service, before["id"])
    kept = await concern(service, ConcernKind.DEAD)
    await set_entries(service, "membership-created", SyncStatus.DEAD)
    grown = await concern(service, ConcernKind.DEAD)

    assert taken["concern"]["state"] == kept["state"] == "ACKNOWLEDGED"
    assert kept["count"] == kept["entries"]["totalCount"] == 1
    assert (grown["state"], grown["count"], grown["acknowledgedBy"]) == ("OPEN", 2, None)


async def test_concern_that_is_gone_cannot_be_acknowledged(service: Service) -> None:
    await service.tell(UNKNOWN)
    (found,) = await concerns(service)
    await acknowledge(service, found["id"])

    refused = await acknowledge(service, found["id"])
    node = await service.data("query ($id: ID!) { node(id: $id) { id } }", id=found["id"])

    assert (refused["code"], refused["path"]) == ("CONCERN_NOT_FOUND", ["input", "concernId"])
    assert node == {"node": None}


async def test_concern_is_a_node_for_those_who_read_the_log(service: Service) -> None:
    await found_association(service)
    await service.deliver(UNREADABLE)
    (found,) = await concerns(service)
    query = "query ($id: ID!) { node(id: $id) { ... on Concern { kind } } }"

    seen = await service.data(query, id=found["id"], member="admin of Oslo")
    unseen = await service.data(query, id=found["id"], member="coordinator of Oslo")
    refused = await service.ask(ACKNOWLEDGE, id=found["id"], member="admin of Oslo")
    (of_oslo,) = await concerns(service, member="admin of Oslo")

    assert seen == {"node": {"kind": "REFUSED_DEACTIVATION"}}
    assert unseen == {"node": None}
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    # Nobody knows whose chapter it was.
    assert of_oslo["entries"]["totalCount"] == 0


async def test_refused_signatures_are_told_until_a_delivery_is_accepted(
    settings: Settings,
) -> None:
    # Refusals are counted together, and stored at the latest when the process ends.
    async with started(settings) as refusing:
        for _ in range(3):
            refused = await refusing.deliver(created("Kari"), secret="whsec_" + "A" * 32)
            assert refused.status_code == 401
    async with started(settings) as service:
        found = await concern(service, ConcernKind.REFUSALS)
        await service.tell(created("Kari"))
        after = await concerns(service)

    assert (found["source"], found["count"]) == ("portal", 3)
    assert "signature_wrong 3" in found["detail"]
    assert after == []


async def test_refusals_tell_by_how_much_the_clock_of_the_sender_is_off(
    service: Service,
) -> None:
    refused = RefusalCount("portal", "timestamp_stale", 3, datetime.now(UTC), -360)
    async with opened(service.settings.database_url) as database, database.write() as session:
        await add_refusals(session, [refused])

    found = await concern(service, ConcernKind.REFUSALS)

    assert "timestamp_stale 3" in found["detail"]
    assert "360 s behind ours" in found["detail"]


async def test_burst_of_deactivations_is_told(service: Service) -> None:
    names = [f"member {number}" for number in range(12)]
    await service.tell(*(created(name) for name in names))
    await service.tell(*(deactivated(name) for name in names[:10]))
    assert await concerns(service) == []

    await service.tell(deactivated(names[10]))

    found = await concern(service, ConcernKind.MASS_DEACTIVATION)
    assert found["count"] == found["entries"]["totalCount"] == 11


async def test_many_events_that_come_late_are_told(service: Service) -> None:
    await service.tell(created("Kari", 100))
    await service.tell(*(updated("Kari", minute, profile={"phone": "1"}) for minute in range(10)))
    assert await concerns(service) == []

    await service.tell(updated("Kari", 11, profile={"phone": "2"}))

    assert (await concern(service, ConcernKind.OVERTAKEN))["count"] == 11


async def test_chapters_and_members_that_belong_to_nobody_are_told(service: Service) -> None:
    await found_association(service)
    assert await concerns(service) == []
    await service.tell(
        created("Eva", organization=organization("HLF Spania", "HLF Utland")),
        organization_updated("Nord", name="Nord", parentId=None),
        organization_updated("Ring A", name="Ring A", parentId=chapter("Oslo")["id"]),
    )

    found = {it["kind"]: it for it in await concerns(service)}

    assert {kind: it["count"] for kind, it in found.items()} == {"HOMELESS": 1, "SECOND_ROOT": 1}


async def test_circle_of_chapters_and_shared_member_numbers_are_told(service: Service) -> None:
    await found_association(service)
    number = {"memberNumber": "104233"}
    await service.tell(
        organization_updated("Oslo county", 50, parentId=chapter("Oslo")["id"]),
        updated("Kari", 50, profile=number),
        updated("Mona", 50, profile=number),
    )

    async with restarted(service) as later:
        found = {it["kind"]: it["count"] for it in await concerns(later)}

    assert found == {"CYCLE": 2, "SHARED_MEMBER_NUMBER": 1}


def restarted(service: Service) -> AbstractAsyncContextManager[Service]:
    """Another process on the same database, which has not counted the member numbers yet."""
    return started(service.settings)


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[Service]:
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        yield Service(url, http, settings)


@pytest.mark.parametrize(("hours", "told"), [(1.0, []), (1e-9, ["SILENCE"])])
async def test_silence_is_told_when_it_lasts_longer_than_the_settings_allow(
    settings: Settings, hours: float, told: list[str]
) -> None:
    settings = settings.model_copy(update={"longest_silence_hours": hours})
    async with started(settings) as service:
        await service.tell(created("Kari"))
        found = await concerns(service)

    assert [it["kind"] for it in found] == told
    assert all(it["source"] == "portal" for it in found)


async def test_source_that_never_sent_anything_is_told(settings: Settings) -> None:
    min_side = SourceSettings(scheme="shared-key", header="X-Key", secrets=["k" * 32])  # type: ignore[list-item]  # pydantic reads it
    sources = {**settings.sources, "min-side": min_side}
    settings = settings.model_copy(update={"sources": sources, "longest_silence_hours": 1e-9})
    async with started(settings) as service:
        await concerns(service)  # From now on it is known to be silent.

        found = {(it["kind"], it["source"]) for it in await concerns(service)}

    assert found == {("NEVER_RECEIVED", "min-side"), ("NEVER_RECEIVED", "portal")}


async def test_what_a_comparison_holds_and_what_no_webhook_told_are_concerns(
    service: Service,
) -> None:
    await service.tell(created("Kari"))
    url = service.settings.database_url
    await compared_with_a_file(url, "Kari")

    found = {it["kind"]: (it["source"], it["count"]) for it in await concerns(service)}

    assert set(found) == {"HELD", "MISSED_WEBHOOKS"}
    assert found["MISSED_WEBHOOKS"] == ("portal", 1)


async def test_comparison_that_failed_is_told_with_its_reason(
    service: Service, tmp_path: Path
) -> None:
    async with opened(service.settings.database_url) as database:
        await run(database, tmp_path, [row("Kari")])
        async with database.write() as session:
            failed = {"status": ReconciliationStatus.FAILED, "detail": "The token was refused."}
            await session.run(update(ReconciliationRow).values(source="portal", **failed))

    found = {it["kind"]: it for it in await concerns(service)}

    assert "The token was refused." in found["DRIFT"]["detail"]


async def test_full_disk_is_told(
    sqlite_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "NEEDED_FREE", 2**62)

    async with started(settings.model_copy(update={"database_url": sqlite_url})) as service:
        found = await concern(service, ConcernKind.STORAGE)

    assert "GiB" in found["detail"]
    assert found["entries"] is None


async def test_role_that_is_decided_is_no_concern_any_more(service: Service) -> None:
    await service.tell(role_updated("Kari", roles=[role("treasurer")]))
    (found,) = await concerns(service)
    await service.data(
        """mutation { setRoleAccess(input: {code: "treasurer", accessLevel: MEMBER}) {
           __typename } }"""
    )

    assert found["kind"] == "UNDECIDED_ROLES"
    assert await concerns(service) == []
