"""Events that state any part of a member, and those that are only about people known here."""

from db.database import Database
from db.vocabulary import ActivationState, SyncOutcome, SyncStatus
from tests.support.builders import created, deactivated, event, guid, organization, role, updated
from tests.sync.recorded_events import entry, record, record_all, world_of


async def test_statement_writes_what_it_says_and_nothing_else(database: Database) -> None:
    profile = {"phone": None, "email": "kari@example.no"}
    said = event("membership-stated", "Kari", 1, profile=profile, roles=[role("coordinator")])

    await record_all(database, created("Kari"), said)

    kari = (await world_of(database)).person("Kari")
    assert kari.profile["givenName"] == "Kari"
    assert kari.profile["email"] == "kari@example.no"
    assert kari.state is ActivationState.ACTIVE
    assert kari.home == guid("HLF Oslo")
    assert {code for code, _, _ in kari.roles} == {"coordinator"}


async def test_statement_can_end_a_membership_and_clear_its_home(database: Database) -> None:
    said = event("membership-stated", "Kari", 1, state="INACTIVE", organization=None)

    (_, receipt) = await record_all(database, created("Kari"), said)

    kari = (await world_of(database)).person("Kari")
    assert receipt.outcome is SyncOutcome.DEACTIVATED
    assert kari.state is ActivationState.INACTIVE
    assert kari.home is None
    assert {code for code, _, _ in kari.roles} == {"member"}


async def test_older_statement_of_an_end_does_not_end_what_began_later(database: Database) -> None:
    said = event("membership-stated", "Kari", -1, state="INACTIVE")

    await record_all(database, created("Kari"), said)

    assert (await world_of(database)).person("Kari").state is ActivationState.ACTIVE


async def test_event_about_known_people_only_creates_nobody(database: Database) -> None:
    said = {**deactivated("Kari", 1), "translation": {"onlyIfKnown": True}}

    receipt = await record(database, said, "evt_1")

    assert (receipt.status, receipt.outcome) == (SyncStatus.SKIPPED, SyncOutcome.IGNORED)
    assert (await world_of(database)).people == {}
    recorded = await entry(database, "evt_1")
    assert recorded.member_id is None
    assert recorded.detail is not None
    assert "known here" in recorded.detail


async def test_event_about_known_people_only_counts_for_those_known(database: Database) -> None:
    said = {**deactivated("Kari", 1), "translation": {"onlyIfKnown": True}}

    await record_all(database, created("Kari"), said)

    assert (await world_of(database)).person("Kari").state is ActivationState.INACTIVE


async def test_remarks_of_a_translation_are_in_the_entry(database: Database) -> None:
    said = {**updated("Kari", 1), "translation": {"remarks": ["The roles are not told."]}}

    receipt = await record(database, said, "evt_1")

    assert receipt.detail == "The roles are not told."


async def test_what_could_not_be_translated_is_rejected_with_the_reason(
    database: Database,
) -> None:
    said = {"type": "update-contact", "translation": {"rejected": "It shows no row."}}

    receipt = await record(database, said, "evt_1")

    assert (receipt.status, receipt.detail) == (SyncStatus.REJECTED, "It shows no row.")


async def test_statement_knows_its_organization(database: Database) -> None:
    said = event("membership-stated", "Kari", 1, organization=organization("HLF Bergen"))

    await record(database, said, "evt_1")

    world = await world_of(database)
    assert world.person("Kari").home == guid("HLF Bergen")
    assert world.chapter("HLF Bergen").name == "HLF Bergen"


async def test_field_of_somebody_else_that_is_called_translation_is_ignored(
    database: Database,
) -> None:
    receipt = await record(database, {**created("Kari"), "translation": "bokmål"}, "evt_1")

    assert receipt.outcome is SyncOutcome.CREATED
