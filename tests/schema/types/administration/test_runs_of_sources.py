"""Sources, the runs that compared them, what differed and what is held back, as clients see it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings, SourceSettings
from db.queries.log.source_activity import RECONCILED
from tests.support.answers import codes
from tests.support.association import found_association
from tests.support.builders import created, guid, updated
from tests.support.compared import compared_with_a_file
from tests.support.opened import opened
from tests.support.service import Service
from tests.sync.reconcile.test_run import AT, row, run

NAMES = [f"member {number}" for number in range(30)]
GONE = NAMES[9:]
SOURCES = """{ sources { name scheme comparable lastReceivedAt lastAppliedAt receivedLastDay
    refusedLastDay missedLastDay reconciliation { id status } } }"""
RUNS = """query ($source: String, $first: Int, $after: String) {
    reconciliations(source: $source, first: $first, after: $after) {
    pageInfo { endCursor hasNextPage } edges { node { id source kind status startedAt finishedAt
      compared created updated deactivated missing missed held } } } }"""
LINES = """query ($id: ID!, $after: String) { node(id: $id) { ... on Reconciliation {
    drift(first: 100, after: $after) { pageInfo { endCursor hasNextPage }
      edges { node { portalId field portal here action member { displayName } } } }
    heldRemovals(first: 100) { edges { node { portalId part portal heldSince
      member { displayName state } } } } } } }"""
TRAIL = "{ auditTrail { edges { node { action detail } } } }"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    min_side = SourceSettings(scheme="shared-key", header="X-Key", secrets=["k" * 32])  # type: ignore[list-item]  # pydantic reads it
    return settings.model_copy(update={"sources": {**settings.sources, "min-side": min_side}})


def nodes(connection: dict[str, Any]) -> list[dict[str, Any]]:
    return [edge["node"] for edge in connection["edges"]]


async def held_run(service: Service, folder: Path) -> None:
    """Compares `min-side` twice: of 30 members, 21 are missing in the second file."""
    async with opened(service.settings.database_url) as database:
        await run(database, folder, [row(name) for name in NAMES])
        await run(database, folder, [row(name) for name in NAMES[:9]], at=AT + timedelta(days=1))


async def test_source_tells_what_came_and_what_was_refused(service: Service) -> None:
    await service.tell(created("Kari"), updated("Kari", 1))
    refused = await service.deliver(created("Ola"), secret="whsec_" + "A" * 32)
    await compared_with_a_file(service.settings.database_url, "Kari")

    min_side, portal = (await service.data(SOURCES))["sources"]

    assert refused.status_code == 401
    assert (portal["name"], portal["scheme"]) == ("portal", "standard-webhooks")
    assert (portal["receivedLastDay"], portal["missedLastDay"]) == (2, 1)
    assert portal["lastReceivedAt"] <= portal["lastAppliedAt"]
    assert portal["reconciliation"]["status"] == "HELD"
    assert portal["comparable"] is False
    assert min_side == {
        **dict.fromkeys(portal),
        "name": "min-side",
        "scheme": "shared-key",
        "comparable": False,
        "receivedLastDay": 0,
        "refusedLastDay": 0,
        "missedLastDay": 0,
    }


async def test_what_a_comparison_found_does_not_count_as_received(
    service: Service, tmp_path: Path
) -> None:
    await held_run(service, tmp_path)

    min_side, _ = (await service.data(SOURCES))["sources"]

    log = await service.data("{ syncLog { edges { node { eventId } } } }")
    assert all(node["eventId"].startswith(RECONCILED) for node in nodes(log["syncLog"]))
    assert (min_side["receivedLastDay"], min_side["lastReceivedAt"]) == (0, None)
    assert min_side["lastAppliedAt"] is not None


async def test_runs_come_newest_first_page_by_page(service: Service, tmp_path: Path) -> None:
    await held_run(service, tmp_path)
    await service.tell(created("Kari"))
    await compared_with_a_file(service.settings.database_url, "Kari")

    first = (await service.data(RUNS, first=2))["reconciliations"]
    rest = (await service.data(RUNS, after=first["pageInfo"]["endCursor"]))["reconciliations"]
    of_source = (await service.data(RUNS, source="min-side"))["reconciliations"]

    assert [node["source"] for node in nodes(first)] == ["portal", "min-side"]
    assert [node["status"] for node in nodes(rest)] == ["SUCCEEDED"]
    assert nodes(of_source) == [nodes(first)[1], *nodes(rest)]
    second, loaded = nodes(of_source)
    assert (loaded["kind"], loaded["compared"], loaded["created"]) == ("FILE", 30, 30)
    assert (second["status"], second["held"], second["deactivated"]) == ("HELD", len(GONE), 0)


async def test_run_names_whom_it_holds_back_and_what_differed(
    service: Service, tmp_path: Path
) -> None:
    await held_run(service, tmp_path)
    (newest, _) = nodes((await service.data(RUNS))["reconciliations"])

    found = (await service.data(LINES, id=newest["id"]))["node"]

    held, drift = nodes(found["heldRemovals"]), nodes(found["drift"])
    assert {line["portalId"] for line in held} == {guid(name) for name in GONE}
    assert all(line.pop("heldSince") for line in held)
    for name in GONE:
        (line,) = (line for line in held if line["portalId"] == guid(name))
        member = {"displayName": name, "state": "ACTIVE"}
        part = {"part": "state", "portal": "INACTIVE", "member": member}
        assert line == {"portalId": guid(name), **part}
    assert [line["portalId"] for line in drift] == sorted(guid(name) for name in GONE)
    assert {(it["field"], it["portal"], it["here"], it["action"]) for it in drift} == {
        ("state", "INACTIVE", "ACTIVE", "HELD")
    }


async def test_reading_what_differed_is_recorded(service: Service) -> None:
    await service.tell(created("Kari"))
    await compared_with_a_file(service.settings.database_url, "Kari")
    (newest,) = nodes((await service.data(RUNS))["reconciliations"])

    fields = LINES.replace("field portal here", "field")
    await service.data(fields, id=newest["id"])
    assert nodes((await service.data(TRAIL))["auditTrail"]) == []
    await service.data(LINES, id=newest["id"])

    (read,) = nodes((await service.data(TRAIL))["auditTrail"])
    assert read == {
        "action": "VALUES_READ",
        "detail": "what differed in the comparison 1 of portal",
    }


async def test_run_is_there_for_the_national_body_alone(service: Service) -> None:
    await found_association(service)
    await compared_with_a_file(service.settings.database_url, "Kari")
    (newest,) = nodes((await service.data(RUNS))["reconciliations"])
    query = "query ($id: ID!) { node(id: $id) { id } }"

    seen = await service.data(query, id=newest["id"], member="admin of HLF")
    hidden = await service.data(query, id=newest["id"], member="admin of Oslo")
    refused = await service.ask(RUNS, member="admin of Oslo")

    assert (seen["node"], hidden["node"]) == ({"id": newest["id"]}, None)
    assert codes(refused) == ["FORBIDDEN"]


async def test_member_who_is_not_known_here_has_a_line_without_a_name(service: Service) -> None:
    await compared_with_a_file(service.settings.database_url, "nobody")
    (newest,) = nodes((await service.data(RUNS))["reconciliations"])

    (line,) = nodes((await service.data(LINES, id=newest["id"]))["node"]["heldRemovals"])

    assert (line["portalId"], line["member"]) == (guid("nobody"), None)
