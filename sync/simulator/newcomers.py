"""New members: first the founders, at least one for each chapter, then people by chance."""

from dataclasses import dataclass
from datetime import datetime
from random import Random

import msgspec

from sync.simulator.chapters import Federation, PortalOrganization, drawn_guid
from sync.simulator.names import FAMILY_NAMES, GIVEN_NAMES, email_address, phone_number
from sync.simulator.register import (
    COORDINATOR,
    MEMBER,
    ORGANIZATION_ADMINISTRATOR,
    PEER_MENTOR,
    HeldRole,
    PortalMember,
)

FIRST_NUMBER = 104_001
PEER_MENTOR_SHARE = 0.12


class Personas(msgspec.Struct, frozen=True):
    """The ids of the three members that the demo's links and the guides name."""

    administrator: str
    coordinator: str
    peer_mentor: str

    @classmethod
    def drawn(cls, chance: Random) -> "Personas":
        return cls(drawn_guid(chance), drawn_guid(chance), drawn_guid(chance))


@dataclass(frozen=True, slots=True)
class _Founder:
    organization: PortalOrganization
    role: str
    persona: str | None = None


class Newcomers:
    """Makes new members. Only `place`, `at` and chance decide who they are."""

    def __init__(self, chance: Random, federation: Federation, personas: Personas) -> None:
        self._chance = chance
        self._federation = federation
        self._founders = _founders(federation, personas)

    def newcomer(self, place: int, at: datetime) -> tuple[PortalMember, bool]:
        """Returns the member at this place in the order of joining, and True for a persona."""
        if place < len(self._founders):
            founder = self._founders[place]
            role = HeldRole(founder.role, founder.organization.id)
            id = founder.persona or drawn_guid(self._chance)
            member = self._person(id, place, founder.organization, (role,), at)
            return member, founder.persona is not None
        home = self._federation.likely_home(self._chance)
        roles = self._ordinary_roles(home)
        return self._person(drawn_guid(self._chance), place, home, roles, at), False

    def _person(
        self,
        id: str,
        place: int,
        home: PortalOrganization,
        roles: tuple[HeldRole, ...],
        at: datetime,
    ) -> PortalMember:
        given_name, family_name = (
            self._chance.choice(GIVEN_NAMES),
            self._chance.choice(FAMILY_NAMES),
        )
        return PortalMember(
            id=id,
            number=FIRST_NUMBER + place,
            given_name=given_name,
            family_name=family_name,
            email=email_address(given_name, family_name, place + 1),
            phone=phone_number(self._chance),
            organization_id=home.id,
            roles=(HeldRole(MEMBER), *roles),
            active=True,
            changed_at=at,
        )

    def _ordinary_roles(self, home: PortalOrganization) -> tuple[HeldRole, ...]:
        if self._chance.random() < PEER_MENTOR_SHARE:
            return (mentor_role(self._chance, home.id),)
        return ()


def mentor_role(chance: Random, organization_id: str) -> HeldRole:
    """Returns a role that is mostly held in a named chapter, and sometimes in the home."""
    return HeldRole(PEER_MENTOR, organization_id if chance.random() < 0.7 else None)


def _founders(federation: Federation, personas: Personas) -> tuple[_Founder, ...]:
    # A chapter is mentioned after its parent, so that the receiver never needs a stub. The peer
    # mentor's chapter is below the coordinator's county, so that the coordinator sees them.
    first_county = federation.counties[0]
    first_local = next(each for each in federation.locals if each.parent_id == first_county.id)
    coordinated = (*federation.counties[1:], *federation.locals)
    return (
        _Founder(federation.national, ORGANIZATION_ADMINISTRATOR, personas.administrator),
        _Founder(first_county, COORDINATOR, personas.coordinator),
        _Founder(first_local, PEER_MENTOR, personas.peer_mentor),
        *(_Founder(chapter, COORDINATOR) for chapter in coordinated),
        *(_Founder(county, ORGANIZATION_ADMINISTRATOR) for county in federation.counties[:2]),
    )
