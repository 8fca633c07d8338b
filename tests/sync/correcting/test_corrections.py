"""Corrections: what a person states because the portal has it wrong, through the API and by the
command."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from app.commands.cli import cli
from app.settings import Settings
from tests.support.answers import codes
from tests.support.association import chapter, found_association
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

CORRECT = """mutation ($input: CorrectMembershipInput!) { correctMembership(input: $input) {
    __typename
    ... on CorrectMembershipSuccess { dryRun status outcome detail
        changes { field before after } member { state }
        entry { source eventType attemptHistory { trigger actor reason } } }
    ... on UserError { code message path } } }"""
MEMBER = """query ($id: String!) { member(by: {portalId: $id}) { givenName phone state accessLevel
    organization { name } roles { role { code } organization { name } } updatedAt
    syncLog { totalCount } } }"""
TRAIL = "{ auditTrail { edges { node { actor action entryCount detail } } } }"


async def correct(
    service: Service, name: str = "Kari", *, member: str | None = None, **input: Any
) -> dict[str, Any]:
    given = {"portalId": guid(name), "reason": "It is wrong in Min side.", **input}
    answer: dict[str, Any] = (await service.data(CORRECT, member=member, input=given))[
        "correctMembership"
    ]
    return answer


async def kari(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = (await service.data(MEMBER, id=guid("Kari")))["member"]
    return found


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def test_correction_counts_at_once_and_says_who_made_it_and_why(service: Service) -> None:
    await found_association(service)

    answer = await correct(
        service,
        member="admin of HLF",
        state="INACTIVE",
        organizationPortalId=guid("Bergen"),
        roles=[{"code": "coordinator", "organizationPortalId": guid("Oslo")}, {"code": "member"}],
        profile={"phone": "+4791111111", "givenName": None},
    )

    assert answer["__typename"] == "CorrectMembershipSuccess"
    assert {change["field"]: change["after"] for change in answer["changes"]} == {
        "givenName": None,
        "phone": "+4791111111",
        "organization": "Bergen",
        "roles": "coordinator (Oslo), member",
        "state": "INACTIVE",
    }
    actor = f"member {guid('admin of HLF')}"
    assert answer["entry"] == {
        "source": "correction",
        "eventType": "membership-stated",
        "attemptHistory": [
            {"trigger": "CORRECTION", "actor": actor, "reason": "It is wrong in Min side."}
        ],
    }
    member = await kari(service)
    assert (member["state"], member["phone"], member["givenName"]) == (
        "INACTIVE",
        "+4791111111",
        None,
    )
    assert member["organization"] == {"name": "Bergen"}
    held = [(held["role"]["code"], held["organization"]["name"]) for held in member["roles"]]
    assert sorted(held) == [("coordinator", "Oslo"), ("member", "Bergen")]
    (record,) = [edge["node"] for edge in (await service.data(TRAIL))["auditTrail"]["edges"]]
    assert record == {
        "actor": actor,
        "action": "MEMBERSHIP_CORRECTED",
        "entryCount": 1,
        "detail": f"{guid('Kari')}: It is wrong in Min side.",
    }


async def test_dry_run_tells_the_same_changes_and_keeps_nothing(service: Service) -> None:
    await service.tell(created("Kari"))
    before = await kari(service)

    tried = await correct(service, state="INACTIVE", profile={"phone": "1"}, dryRun=True)

    assert (tried["dryRun"], tried["entry"], tried["member"]) == (True, None, {"state": "ACTIVE"})
    assert await kari(service) == before
    assert (await service.data(TRAIL))["auditTrail"]["edges"] == []
    done = await correct(service, state="INACTIVE", profile={"phone": "1"})
    assert done["changes"] == tried["changes"] != []


async def test_correction_stands_until_the_portal_states_something_new_of_that_part(
    service: Service,
) -> None:
    await service.tell(created("Kari", 0, profile={"givenName": "Kari", "phone": "1"}))
    await correct(service, profile={"phone": "2"})

    # What the portal said before is older, whenever it comes; of other parts it may say anything.
    await service.tell(updated("Kari", 5, profile={"phone": "3", "givenName": "Kåre"}))
    late = await kari(service)
    newer = updated("Kari", profile={"phone": "4"}) | {"timestamp": soon(1)}
    await service.tell(newer)

    assert (late["phone"], late["givenName"]) == ("2", "Kåre")
    assert (await kari(service))["phone"] == "4"


async def test_correction_counts_although_the_clock_of_the_portal_is_ahead(
    service: Service,
) -> None:
    ahead = updated("Kari", profile={"phone": "1"}) | {"timestamp": soon(200)}
    await service.tell(created("Kari"), ahead)

    answer = await correct(service, profile={"phone": "2"})
    again = await correct(service, profile={"phone": "3"})

    assert (answer["outcome"], again["outcome"]) == ("UPDATED", "UPDATED")
    assert (await kari(service))["phone"] == "3"


async def test_replay_of_everything_leaves_a_correction_standing(service: Service) -> None:
    await service.tell(created("Kari"), role_updated("Kari", roles=[role("coordinator")]))
    await correct(service, roles=[], state="INACTIVE")
    before = await kari(service)

    await service.data("mutation { replayEvents(input: {filter: {}}) { __typename } }")

    assert await kari(service) == before
    assert (before["state"], before["roles"]) == ("INACTIVE", [])


@pytest.mark.parametrize(
    ("error", "code", "path", "given"),
    [
        ("MemberNotFoundError", "MEMBER_NOT_FOUND", "portalId", {"portalId": guid("nobody")}),
        ("MemberNotFoundError", "MEMBER_NOT_FOUND", "portalId", {"portalId": "no id at all"}),
        ("CorrectionError", "REASON_MISSING", "reason", {"reason": " \n"}),
        ("CorrectionError", "NOTHING_TO_CORRECT", "portalId", {"state": None}),
        ("CorrectionError", "NOTHING_TO_CORRECT", "portalId", {"state": "ACTIVE"}),
        ("CorrectionError", "VALUE_REFUSED", "profile", {"profile": {"phone": "1" * 300}}),
        ("CorrectionError", "VALUE_REFUSED", "reason", {"reason": "x" * 1001}),
        (
            "OrganizationNotFoundError",
            "ORGANIZATION_NOT_FOUND",
            "organizationPortalId",
            {"organizationPortalId": guid("nowhere")},
        ),
        (
            "OrganizationNotFoundError",
            "ORGANIZATION_NOT_FOUND",
            "roles",
            {"roles": [{"code": "member", "organizationPortalId": "Oslo"}]},
        ),
        ("RoleNotFoundError", "ROLE_NOT_FOUND", "roles", {"roles": [{"code": "king"}]}),
    ],
)
async def test_what_cannot_be_corrected_is_said_and_nothing_is_changed(
    error: str, code: str, path: str, given: dict[str, Any], service: Service
) -> None:
    await service.tell(created("Kari"))
    before = await kari(service)

    answer = await correct(service, **{"state": "INACTIVE", **given})

    assert (answer["__typename"], answer["code"]) == (error, code)
    assert answer["path"] == ["input", path]
    assert answer["message"].endswith(".")
    assert await kari(service) == before
    assert (await service.data(TRAIL))["auditTrail"]["edges"] == []
    assert len((await service.data("{ roles { code } }"))["roles"]) == 4


async def test_administrators_of_a_chapter_correct_nobody(service: Service) -> None:
    await found_association(service)
    before = await kari(service)
    given = {"portalId": guid("Kari"), "reason": "Because.", "state": "INACTIVE"}

    for member in ("admin of Oslo", "coordinator of Oslo", "Kari"):
        assert codes(await service.ask(CORRECT, member=member, input=given)) == ["FORBIDDEN"]

    assert await kari(service) == before


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"state": "INACTIVE"}, id="no member"),
        pytest.param({"roles": []}, id="without the role"),
        pytest.param({"organizationPortalId": guid("Oslo")}, id="elsewhere"),
    ],
)
async def test_last_administrator_of_the_national_body_stays_one(
    service: Service, given: dict[str, Any]
) -> None:
    await found_association(service)
    name = "admin of HLF"

    for dry_run in (True, False):
        refused = await correct(service, name, member=name, dryRun=dry_run, **given)

        assert (refused["__typename"], refused["code"]) == (
            "LastAdministratorError",
            "LAST_ADMINISTRATOR",
        )
        assert refused["path"] == ["input", "portalId"]
    viewer = await service.data("{ viewer { accessLevel } }", member=name)
    assert viewer["viewer"]["accessLevel"] == "ADMIN"
    assert (await service.data(TRAIL))["auditTrail"]["edges"] == []


async def test_of_two_administrators_one_may_go_and_not_both_at_once(service: Service) -> None:
    await found_association(service)
    administrator = role("organization-administrator")
    await service.tell(created("Liv", organization=chapter("HLF"), roles=[administrator]))

    answers = await asyncio.gather(
        *(correct(service, name, state="INACTIVE") for name in ("admin of HLF", "Liv"))
    )

    assert {answer["__typename"] for answer in answers} == {
        "CorrectMembershipSuccess",
        "LastAdministratorError",
    }


@pytest.mark.child_process
async def test_command_keeps_the_last_administrator_as_well(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await found_association(service)
    monkeypatch.setenv("LIKEPERSON_NATIONAL_BODY", guid("HLF"))
    id = guid("admin of HLF")

    corrected = await run(service, monkeypatch, id, "--reason", "x", "--no-roles", "--yes")
    await service.tell(role_updated("Liv", 3, roles=[], organization=chapter("HLF")))
    raised = await correct(
        service, "Liv", roles=[{"code": "organization-administrator"}], state="ACTIVE"
    )
    gone = await correct(service, "admin of HLF", state="INACTIVE")
    undone = await run(
        service,
        monkeypatch,
        *(await entry_ids(service, "membership-stated"))[2:],
        *("--reason", "x", "--yes"),
    )

    assert corrected[0] == 1
    assert f"PORTAL_ID: {id} is the last administrator of the national body" in corrected[1]
    assert raised["outcome"] in ("CREATED", "UPDATED")
    assert gone["__typename"] == "CorrectMembershipSuccess"
    assert undone[0] == 1
    assert f"{guid('Liv')} is the last administrator of the national body" in undone[1]


async def test_who_is_corrected_away_can_no_longer_use_the_app(service: Service) -> None:
    await found_association(service)

    await correct(service, state="INACTIVE")

    answer = await service.ask("{ viewer { accessLevel } }", member="Kari")
    assert codes(answer) == ["MEMBER_INACTIVE"]


async def test_corrections_at_the_same_time_are_made_one_after_the_other(service: Service) -> None:
    await service.tell(created("Kari"), created("Ola", organization=chapter("Bergen")))

    answers = await asyncio.gather(
        *(correct(service, profile={"phone": str(number)}) for number in range(8)),
        *(service.deliver(deactivated("Kari", number)) for number in range(1, 9)),
    )

    assert {answer["outcome"] for answer in answers[:8] if isinstance(answer, dict)} == {"UPDATED"}
    assert (await kari(service))["state"] == "INACTIVE"
    assert (await kari(service))["phone"] in set("01234567")


@pytest.mark.parametrize("name", ["correction", "Correction"])
def test_no_source_may_be_named_like_that_of_corrections(name: str) -> None:
    source = {"scheme": "standard-webhooks", "secrets": []}

    with pytest.raises(ValidationError, match="kept for what people state here"):
        Settings.model_validate({"sources": {name: source}})


async def test_webhook_cannot_bring_a_correction(service: Service) -> None:
    response = await service.deliver(created("Kari"), source="correction")

    assert response.status_code == 404
    assert (await service.data("{ syncLog { totalCount } }"))["syncLog"]["totalCount"] == 0


async def run(service: Service, monkeypatch: pytest.MonkeyPatch, *given: str) -> tuple[int, str]:
    monkeypatch.setenv("LIKEPERSON_DATABASE_URL", service.settings.database_url)
    done = await asyncio.to_thread(CliRunner().invoke, cli, ["correct", *given])
    error = f" {done.exception}" if done.exception else ""
    return done.exit_code, done.output + error


@pytest.mark.child_process
async def test_command_tries_it_out_first_and_then_does_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.tell(
        created("Kari"), created("Ola", organization=organization("HLF Bergen"), roles=[])
    )
    given = [
        guid("Kari"),
        *("--reason", "Moved", "--organization", guid("HLF Bergen"), "--phone", "4711"),
        *("--role", f"coordinator@{guid('HLF Oslo')}", "--role", "member"),
    ]

    tried = await run(service, monkeypatch, *given, "--dry-run")
    untouched = await kari(service)
    done = await run(service, monkeypatch, *given, "--yes")

    assert tried[0] == 0, tried
    assert "organization: HLF Oslo -> HLF Bergen" in tried[1]
    assert untouched["phone"] is None
    assert done[0] == 0, done
    assert (await kari(service))["phone"] == "4711"
    assert (await kari(service))["organization"] == {"name": "HLF Bergen"}
    (record,) = [edge["node"] for edge in (await service.data(TRAIL))["auditTrail"]["edges"]]
    assert record["actor"].startswith("command line")


@pytest.mark.child_process
async def test_command_says_what_is_wrong(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.tell(created("Kari"))

    code, output = await run(
        service, monkeypatch, guid("nobody"), "--reason", "x", "--state", "INACTIVE"
    )

    assert code == 1
    assert f"PORTAL_ID: No member with the portal id '{guid('nobody')}' is known." in output


async def entry_ids(service: Service, *event_types: str) -> list[str]:
    """The ids of these entries, as `log --json` prints them."""
    log = await service.data(
        "query ($types: [String!]) { syncLog(filter: {eventType: $types}) "
        "{ edges { node { id } } } }",
        types=list(event_types),
    )
    ids = [base64.b64decode(edge["node"]["id"] + "==") for edge in log["syncLog"]["edges"]]
    return [text for id in ids for text in ("--undo", id.decode().partition(":")[2])]


@pytest.mark.child_process
async def test_mass_mistake_is_undone_except_for_what_was_stated_since(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator = [role("coordinator", "HLF Bergen"), role("member")]
    moved = organization("HLF Bergen")
    await service.tell(
        created("Kari", 0, profile={"phone": "1"}, roles=coordinator),
        created("Ola", 0, organization=moved),
        updated("Kari", 1, profile={"phone": "2"}),
    )
    before = await kari(service)
    await service.tell(
        deactivated("Kari", 5, profile={"phone": "3"}),
        deactivated("Ola", 5),
        role_updated("Kari", 5, roles=[], organization=moved),
        updated("Kari", 6, profile={"givenName": "Kåre"}),
        reactivated("Ola", 7),
    )
    mistake = await entry_ids(service, "membership-deactivated", "role-updated")

    tried = await run(service, monkeypatch, *mistake, "--reason", "A wrong run", "--dry-run")
    untouched = await kari(service)
    done = await run(service, monkeypatch, *mistake, "--reason", "A wrong run", "--yes")
    again = await run(service, monkeypatch, *mistake, "--reason", "A wrong run", "--yes")

    assert tried[0] == 0, tried
    assert "state: INACTIVE -> ACTIVE" in tried[1]
    assert tried[1].count("would be corrected") == 1
    assert (untouched["state"], untouched["roles"]) == ("INACTIVE", [])
    assert done[0] == 0, done
    assert "1 member(s) are restored." in done[1]
    after = await kari(service)
    changing = ("updatedAt", "syncLog", "givenName")
    assert {k: v for k, v in after.items() if k not in changing} == {
        k: v for k, v in before.items() if k not in changing
    }
    assert after["givenName"] == "Kåre"
    assert "nothing to restore" in again[1]


@pytest.mark.child_process
async def test_undo_of_a_correction_brings_back_what_the_portal_said(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.tell(created("Kari", profile={"phone": "1"}))
    await correct(service, profile={"phone": "2", "email": "kari@example.no"}, roles=[])

    done = await run(
        service,
        monkeypatch,
        *await entry_ids(service, "membership-stated"),
        *("--reason", "It was right", "--yes"),
    )

    assert done[0] == 0, done
    member = await kari(service)
    assert (member["phone"], member["roles"][0]["role"]) == ("1", {"code": "member"})


@pytest.mark.child_process
async def test_command_asks_for_a_member_or_entries(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, output = await run(service, monkeypatch, "--reason", "x")

    assert code == 2
    assert "Give either PORTAL_ID or --undo." in " ".join(output.split())
