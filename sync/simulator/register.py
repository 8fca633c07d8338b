"""The register of the portal: who is a member, where, and with which roles."""

from datetime import datetime
from random import Random

import msgspec

MEMBER = "member"
PEER_MENTOR = "peer-mentor"
COORDINATOR = "coordinator"
ORGANIZATION_ADMINISTRATOR = "organization-administrator"


class HeldRole(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A role that a member holds; without an organization it is held in the home organization."""

    code: str
    organization_id: str | None = None


class PortalMember(msgspec.Struct, frozen=True):
    """A member as the portal knows them now."""

    id: str
    number: int
    given_name: str
    family_name: str
    email: str | None
    phone: str | None
    organization_id: str
    roles: tuple[HeldRole, ...]
    active: bool
    # The timestamp of the newest event about this member.
    changed_at: datetime

    @property
    def member_number(self) -> str:
        return str(self.number)

    def role(self, code: str) -> HeldRole | None:
        return next((role for role in self.roles if role.code == code), None)


class Register(msgspec.Struct):
    """All members, in the order in which they joined.

    `active` and `inactive` hold the ids of those that changes may concern; the personas are in
    neither. Their order is part of the state, since draws depend on it.
    """

    members: dict[str, PortalMember] = {}
    active: list[str] = []
    inactive: list[str] = []
    # Chapters whose coordinator stepped down and has no successor yet, longest vacancy first.
    vacancies: list[str] = []

    def admit(self, member: PortalMember, *, persona: bool) -> None:
        self.members[member.id] = member
        if not persona:
            self.active.append(member.id)

    def keep(self, member: PortalMember) -> None:
        """Replaces what is known of the member."""
        self.members[member.id] = member

    def drawn(self, chance: Random) -> PortalMember:
        """Returns an active member; the same one may be drawn again."""
        return self.members[chance.choice(self.active)]

    def leaving(self, chance: Random) -> PortalMember:
        """Returns an active member, who is inactive from now on."""
        return self.members[_transfer(chance, self.active, self.inactive)]

    def returning(self, chance: Random) -> PortalMember:
        """Returns an inactive member, who is active from now on."""
        return self.members[_transfer(chance, self.inactive, self.active)]


def _transfer(chance: Random, source: list[str], target: list[str]) -> str:
    # Swapping with the last one takes constant time: load runs have tens of thousands of members.
    place = chance.randrange(len(source))
    source[place], source[-1] = source[-1], source[place]
    target.append(source.pop())
    return target[-1]
