"""Looking viewers up together: nobody gets another's answer, an old one, or none."""

import asyncio

import pytest

from db.database import Database
from db.errors import DatabaseUnavailableError
from db.queries.chapters.national_body import NationalBody
from db.queries.chapters.organizations import organization_ids
from db.queries.members import viewers
from db.queries.members.viewers import ViewerLookups
from db.queries.members.visibility import Sight
from db.vocabulary import AccessLevel, PortalId
from tests.support.association import PEOPLE, found_association
from tests.support.builders import created, deactivated, guid, organization, role, role_updated
from tests.support.opened import opened
from tests.support.service import Service
from tests.support.statements import recorded
from tests.sync.recorded_events import record

GUESSED = NationalBody(guessed=True)
SET_ACCESS = """mutation ($code: String!, $level: AccessLevel!) {
    setRoleAccess(input: {code: $code, accessLevel: $level}) { __typename } }"""


async def test_those_who_ask_together_share_statements_and_each_gets_their_own_answer(
    service: Service, database_url: str
) -> None:
    await found_association(service)
    names = [*PEOPLE, "nobody"]
    async with opened(database_url) as database:
        lookups = ViewerLookups(database, GUESSED)
        with recorded() as statements:
            alone = await lookups.find(PortalId(guid("Kari")))
            for_one = len(statements)
            found = await asyncio.gather(*(lookups.find(PortalId(guid(n))) for n in names * 3))
            for_all = len(statements) - for_one

        assert for_all <= 2 * for_one
        assert found[0] == alone
        for name, viewer in zip(names * 3, found, strict=True):
            known = None if viewer is None or viewer.member is None else viewer.member.given_name
            assert known == (None if name == "nobody" else name)
        by_name = dict(zip(names, found, strict=False))
        admin, coordinator, inactive = (
            by_name[name] for name in ("admin of HLF", "coordinator of Oslo county", "inactive")
        )
        assert admin is not None
        assert coordinator is not None
        assert inactive is not None
        assert admin.is_national
        assert admin.sight == Sight(
            all_members=True, all_entries=True, member_id=admin.sight.member_id
        )
        assert not coordinator.is_national
        assert (len(coordinator.sight.administered), len(coordinator.sight.coordinated)) == (0, 2)
        assert not inactive.is_active
        assert inactive.sight.coordinated == frozenset()


async def test_one_who_goes_away_takes_the_answer_from_nobody(
    service: Service, database_url: str
) -> None:
    await found_association(service)
    async with opened(database_url) as database:
        lookups = ViewerLookups(database, GUESSED)
        going, staying = (lookups.find(PortalId(guid("Kari"))) for _ in range(2))
        await asyncio.sleep(0)

        going.cancel()

        assert await staying is not None


async def test_failure_is_told_to_all_who_asked_and_the_next_one_asks_anew(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(sqlite_url) as database:
        lookups = ViewerLookups(database, GUESSED)
        with monkeypatch.context() as broken:

            def away(_database: Database) -> None:
                raise DatabaseUnavailableError("It is away.")

            broken.setattr(Database, "read", away)
            asked = [lookups.find(PortalId(guid(name))) for name in ("Kari", "Per", "Kari")]
            answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [DatabaseUnavailableError] * 3

        assert await lookups.find(PortalId(guid("Kari"))) is None


async def test_what_somebody_may_do_is_told_as_it_is_now_however_often_they_asked_before(
    service: Service, database_url: str
) -> None:
    await found_association(service)
    name = "coordinator of Oslo county"
    async with opened(database_url) as database:
        lookups = ViewerLookups(database, GUESSED)

        async def now() -> tuple[AccessLevel, int]:
            viewer = await lookups.find(PortalId(guid(name)))
            assert viewer is not None
            return viewer.access_level, len(viewer.sight.coordinated)

        assert await now() == await now() == (AccessLevel.COORDINATOR, 2)
        # A chapter comes to be below theirs; the catalogue changes; then their roles, and the rest.
        new = organization("HLF Sagene", "Oslo county")
        await service.tell(created("Somebody", organization=new))
        assert await now() == (AccessLevel.COORDINATOR, 3)
        await service.data(SET_ACCESS, code="coordinator", level="PEER_MENTOR")
        assert await now() == (AccessLevel.PEER_MENTOR, 0)
        await service.data(SET_ACCESS, code="coordinator", level="ADMIN")
        assert await now() == (AccessLevel.ADMIN, 3)
        await service.tell(role_updated(name, 50, roles=[role("member")]))
        assert await now() == (AccessLevel.MEMBER, 0)
        await service.tell(deactivated(name, 60))
        assert await now() == (AccessLevel.NONE, 0)


async def test_only_so_many_are_remembered_and_all_are_known(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewers, "REMEMBERED_VIEWERS", 2)
    await found_association(service)
    async with opened(database_url) as database:
        lookups = ViewerLookups(database, GUESSED)
        for _ in range(2):
            for name in PEOPLE:
                viewer = await lookups.find(PortalId(guid(name)))
                assert viewer is not None
                assert viewer.member is not None
                assert viewer.member.given_name == name


async def test_of_several_roles_in_one_chapter_the_highest_tells_the_access_there(
    database: Database,
) -> None:
    held = [role("coordinator"), role("member"), role("peer-mentor", "HLF Bodø")]
    await record(database, created("Kari", roles=held), "evt_1")

    async with database.read() as session:
        viewer = await ViewerLookups(database, NationalBody()).find_in(
            session, PortalId(guid("Kari"))
        )
        names = ("HLF Oslo", "HLF Bodø")
        places = await session.find(organization_ids([PortalId(guid(name)) for name in names]))

    assert viewer is not None
    assert viewer.access_level is AccessLevel.COORDINATOR
    assert dict(viewer.accesses) == {
        places[PortalId(guid("HLF Oslo"))]: AccessLevel.COORDINATOR,
        places[PortalId(guid("HLF Bodø"))]: AccessLevel.PEER_MENTOR,
    }
    assert viewer.sight.coordinated == {places[PortalId(guid("HLF Oslo"))]}


NAMED = NationalBody(PortalId(guid("HLF")), guessed=True)
ADMIN = role("organization-administrator")
HLF, SECOND_ROOT = organization("HLF", None), organization("Splinter", None)


async def national_viewers(database: Database, body: NationalBody, *names: str) -> set[str]:
    """Returns those of them who are administrators of the national body."""
    async with database.read() as session:
        lookups = ViewerLookups(database, body)
        found = {name: await lookups.find_in(session, PortalId(guid(name))) for name in names}
    return {name for name, viewer in found.items() if viewer is not None and viewer.is_national}


async def test_named_body_is_national_whatever_other_roots_there_are(database: Database) -> None:
    await record(database, created("Ida", organization=HLF, roles=[ADMIN]), "1")
    await record(database, created("Siv", organization=SECOND_ROOT, roles=[ADMIN]), "2")
    await record(database, created("Kari", organization=organization("X", "Splinter")), "3")

    assert await national_viewers(database, NAMED, "Ida", "Siv", "Kari") == {"Ida"}
    assert await national_viewers(database, NationalBody(), "Ida", "Siv") == set()


async def test_named_body_that_is_not_known_yet_leaves_nobody_national(database: Database) -> None:
    await record(database, created("Siv", organization=SECOND_ROOT, roles=[ADMIN]), "1")
    await record(database, created("Kari", organization=organization("X", "Splinter")), "2")

    assert await national_viewers(database, NAMED, "Siv") == set()


async def test_the_only_root_with_children_is_guessed_to_be_national(database: Database) -> None:
    await record(database, created("Ida", organization=HLF, roles=[ADMIN]), "1")
    await record(database, created("Siv", organization=SECOND_ROOT, roles=[ADMIN]), "2")
    without_children = await national_viewers(database, GUESSED, "Ida", "Siv")
    await record(database, created("Kari", organization=organization("Oslo", "HLF")), "3")
    with_one = await national_viewers(database, GUESSED, "Ida", "Siv")
    await record(database, created("Per", organization=organization("X", "Splinter")), "4")
    with_two = await national_viewers(database, GUESSED, "Ida", "Siv")

    assert (without_children, with_one, with_two) == (set(), {"Ida"}, set())


async def test_chapter_whose_parent_is_not_known_is_not_guessed_to_be_national(
    database: Database,
) -> None:
    unknown_parent = {"id": guid("HLF"), "name": "HLF"}
    await record(database, created("Ida", organization=unknown_parent, roles=[ADMIN]), "1")
    await record(database, created("Kari", organization=organization("Oslo", "HLF")), "2")

    assert await national_viewers(database, GUESSED, "Ida") == set()
    assert await national_viewers(database, NAMED, "Ida") == {"Ida"}


@pytest.mark.parametrize("code", ["member", "peer-mentor"])
async def test_members_of_the_national_body_see_themselves_alone(
    database: Database, code: str
) -> None:
    await record(database, created("Ida", organization=HLF, roles=[role(code)]), "1")

    async with database.read() as session:
        viewer = await ViewerLookups(database, NAMED).find_in(session, PortalId(guid("Ida")))

    assert viewer is not None
    assert viewer.member is not None
    assert viewer.sight == Sight(member_id=viewer.member.id)


async def test_coordinator_of_the_national_body_sees_all_members_and_no_log(
    database: Database,
) -> None:
    await record(database, created("Ida", organization=HLF, roles=[role("coordinator")]), "1")
    await record(database, created("Kari", organization=organization("Oslo", "HLF")), "2")

    async with database.read() as session:
        viewer = await ViewerLookups(database, NAMED).find_in(session, PortalId(guid("Ida")))

    assert viewer is not None
    assert viewer.member is not None
    assert viewer.sight == Sight(all_members=True, member_id=viewer.member.id)
    assert not viewer.is_national
