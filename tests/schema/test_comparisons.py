"""Comparisons that people ask for, and what they decide about what is held back."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.services import utc_now
from app.settings import Settings, SourceSettings
from sync.reconcile.leases import leased
from sync.simulator.dataverse.served_api import Fault
from tests.faults.process import until
from tests.support.answers import codes
from tests.support.association import found_association
from tests.support.builders import created, guid
from tests.support.compared import compared_with_a_file
from tests.support.dataverse import TOKEN, Dataverse, simulated_dataverse
from tests.support.opened import opened
from tests.support.service import Service

START = """mutation ($input: StartReconciliationInput!) { startReconciliation(input: $input) {
    __typename ... on StartReconciliationSuccess { source requestedAt }
    ... on UserError { code path } } }"""
DECIDE = """mutation ($input: ReleaseHeldInput!) { releaseHeld(input: $input) { __typename
    ... on ReleaseHeldSuccess { decided reconciliation { status } }
    ... on UserError { code path } } }"""
STATE = """{ sources { name reconciliationRequestedAt }
    reconciliations { edges { node { id kind status dryRun detail created updated
      drift { edges { node { field portal here action } } } } } } }"""
TRAIL = "{ auditTrail { edges { node { actor action detail } } } }"
STATES = "{ members { edges { node { givenName state } } } }"


@pytest.fixture
async def dataverse() -> AsyncIterator[Dataverse]:
    async with simulated_dataverse() as dataverse:
        for name in ("Kari", "Ola"):
            dataverse.member(name)
        yield dataverse


@pytest.fixture
def settings(
    settings: Settings, dataverse: Dataverse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """With a source whose portal is read when somebody asks for it."""
    monkeypatch.setenv("MINSIDE_TOKEN", TOKEN)
    mapping = tmp_path / "min-side.toml"
    mapping.write_text(dataverse.mapping_text(), encoding="utf-8")
    min_side = SourceSettings(scheme="dataverse", secrets=[SecretStr("k" * 20)], mapping=mapping)
    return settings.model_copy(update={"sources": {**settings.sources, "min-side": min_side}})


async def start(service: Service, member: str | None = None, **given: Any) -> dict[str, Any]:
    wanted = {"source": "min-side", "reason": "after the outage", **given}
    found: dict[str, Any] = (await service.data(START, member=member, input=wanted))[
        "startReconciliation"
    ]
    return found


async def newest_run(service: Service) -> dict[str, Any]:
    """Returns the newest run when what was asked for is done."""

    async def done() -> bool:
        sources = (await service.data(STATE))["sources"]
        return [it["reconciliationRequestedAt"] for it in sources] == [None, None]

    await until(done)
    run: dict[str, Any] = (await service.data(STATE))["reconciliations"]["edges"][0]["node"]
    return run


async def states(service: Service) -> dict[str, str]:
    edges = (await service.data(STATES))["members"]["edges"]
    return {edge["node"]["givenName"]: edge["node"]["state"] for edge in edges}


async def trail(service: Service) -> list[dict[str, Any]]:
    return [it["node"] for it in (await service.data(TRAIL))["auditTrail"]["edges"]]


def drift(run: dict[str, Any]) -> list[dict[str, Any]]:
    return [edge["node"] for edge in run["drift"]["edges"]]


async def test_asked_comparison_reads_the_portal_within_seconds(service: Service) -> None:
    asked = await start(service, full=True)
    run = await newest_run(service)

    assert (asked["source"], run["kind"], run["status"]) == ("min-side", "FULL", "SUCCEEDED")
    assert (run["created"], run["dryRun"]) == (2, False)
    assert set(await states(service)) == {"Kari", "Ola"}
    started = (await trail(service))[-1]
    detail = "min-side, whole portal: after the outage"
    assert (started["action"], started["detail"]) == ("RECONCILIATION_STARTED", detail)


async def test_asked_for_changes_only_it_reads_no_more(
    service: Service, dataverse: Dataverse
) -> None:
    await start(service)
    assert (await newest_run(service))["kind"] == "FULL", "Nothing was read before."
    dataverse.member("Kari", firstname="Kåre")

    await start(service)
    changed = await newest_run(service)
    await start(service)
    unchanged = await newest_run(service)

    assert (changed["kind"], changed["updated"]) == ("DELTA", 1)
    assert (unchanged["kind"], unchanged["updated"]) == ("DELTA", 0)
    assert unchanged["id"] != changed["id"]
    assert set(await states(service)) == {"Kåre", "Ola"}


@pytest.mark.parametrize("full", [True, False])
async def test_dry_run_tells_what_differs_and_changes_nothing(
    service: Service, dataverse: Dataverse, full: bool
) -> None:
    await start(service)
    await newest_run(service)
    dataverse.member("Kari", statecode=1)

    await start(service, full=full, dryRun=True)
    tried = await newest_run(service)
    before = await states(service)
    await start(service)
    await newest_run(service)

    assert (tried["dryRun"], tried["status"]) == (True, "SUCCEEDED")
    assert drift(tried) == [
        {"field": "state", "portal": "INACTIVE", "here": "ACTIVE", "action": "FOUND"}
    ]
    assert before == {"Kari": "ACTIVE", "Ola": "ACTIVE"}
    assert await states(service) == {"Kari": "INACTIVE", "Ola": "ACTIVE"}


async def test_comparison_that_fails_leaves_a_run_that_says_why(
    service: Service, dataverse: Dataverse
) -> None:
    dataverse.web.fail_after(0, Fault(HTTPStatus.FORBIDDEN))

    await start(service)
    run = await newest_run(service)

    assert run["status"] == "FAILED"
    assert "403" in run["detail"]


async def test_comparison_waits_while_another_process_compares(service: Service) -> None:
    async with opened(service.settings.database_url) as database:
        async with leased(database, "min-side", utc_now):
            first = await start(service)
            second = await start(service)
            waiting = {it["name"]: it for it in (await service.data(STATE))["sources"]}
        run = await newest_run(service)

    assert second["code"] == "ALREADY_REQUESTED"
    assert waiting["min-side"]["reconciliationRequestedAt"] == first["requestedAt"]
    assert run["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"source": "nobody"}, "SOURCE_NOT_FOUND"),
        ({"source": "portal"}, "SOURCE_NOT_COMPARABLE"),
        ({"reason": " "}, "REASON_MISSING"),
        ({"reason": "x" * 1001}, "REASON_TOO_LONG"),
    ],
)
async def test_comparison_is_refused_with_a_code(
    service: Service, given: dict[str, str], code: str
) -> None:
    refused = await start(service, **given)

    assert refused["code"] == code
    assert refused["path"] == ["input", *given]
    found = await service.data(STATE)
    assert found["reconciliations"]["edges"] == []
    assert [it["reconciliationRequestedAt"] for it in found["sources"]] == [None, None]
    assert await trail(service) == []


async def held(service: Service) -> str:
    """Returns the id of a run that holds the memberships of Kari and Ola."""
    await service.tell(*(created(name, profile={"givenName": name}) for name in ("Kari", "Ola")))
    await compared_with_a_file(service.settings.database_url, "Kari", "Ola")
    id: str = (await service.data(STATE))["reconciliations"]["edges"][0]["node"]["id"]
    return id


async def decide(service: Service, run: str, *, release: bool, reason: str = "asked") -> Any:
    given = {"reconciliationId": run, "release": release, "reason": reason}
    return (await service.data(DECIDE, input=given))["releaseHeld"]


@pytest.mark.parametrize(
    ("release", "state", "action"),
    [(True, "INACTIVE", "HELD_RELEASED"), (False, "ACTIVE", "HELD_DISCARDED")],
)
async def test_what_is_held_is_decided_once(
    service: Service, release: bool, state: str, action: str
) -> None:
    run = await held(service)

    decided = await decide(service, run, release=release)
    again = await decide(service, run, release=not release)

    assert (decided["decided"], decided["reconciliation"]["status"]) == (2, "SUCCEEDED")
    assert again["decided"] == 0
    assert await states(service) == {"Kari": state, "Ola": state}
    (act,) = [it for it in await trail(service) if it["action"] != "VALUES_READ"]
    assert act == {"actor": "operator test", "action": action, "detail": "2 of portal: asked"}


async def test_decision_is_refused_without_a_reason_or_a_run(service: Service) -> None:
    run = await held(service)

    unexplained = await decide(service, run, release=True, reason=" ")
    unknown = await decide(service, "UmVjb25jaWxpYXRpb246OTk5", release=True)

    assert (unexplained["code"], unknown["code"]) == ("REASON_MISSING", "RECONCILIATION_NOT_FOUND")
    assert await states(service) == {"Kari": "ACTIVE", "Ola": "ACTIVE"}


async def test_only_the_national_body_starts_and_decides(service: Service) -> None:
    await found_association(service)
    await compared_with_a_file(service.settings.database_url, "Kari")
    run = (await service.data(STATE))["reconciliations"]["edges"][0]["node"]["id"]
    wish = {"source": "min-side", "reason": "asked"}
    decision = {"reconciliationId": run, "release": True, "reason": "asked"}

    refused = [
        await service.ask(START, member="admin of Oslo", input=wish),
        await service.ask(DECIDE, member="admin of Oslo", input=decision),
    ]

    assert [codes(answer) for answer in refused] == [["FORBIDDEN"], ["FORBIDDEN"]]
    query = "query ($who: MemberLookup!) { member(by: $who) { state } }"
    kari = await service.data(query, who={"portalId": guid("Kari")})
    assert kari["member"]["state"] == "ACTIVE"
    found = await service.data(STATE)
    assert {it["reconciliationRequestedAt"] for it in found["sources"]} == {None}
