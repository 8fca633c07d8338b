"""The portal's memory: who is a member, where, with which roles. It decides nothing."""

from datetime import datetime
from random import Random

import msgspec

MEMBER = "member"
PEER_MENTOR = "peer-mentor"
COORDINATOR = "coordinator"
ORGANIZATION_ADMINISTRATOR = "organization-administrator"


class HeldRole(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A role somebody holds; without an organization it is held in the home organization."""

    code: str
    organization_id: str | None = None


class Member(msgspec.Struct, frozen=True):
    """A person as the portal knows them now."""

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
    """Everybody, in the order in which they joined.

    `active` and `inactive` name those whom live changes may touch; the personas are in neither.
    Their order is part of the state: draws depend on it.
    """

    members: dict[str, Member] = {}
    active: list[str] = []
    inactive: list[str] = []
    # Chapters whose coordinator stepped down and has no successor yet, longest vacancy first.
    vacancies: list[str] = []

    def admit(self, member: Member, *, persona: bool) -> None:
        self.members[member.id] = member
        if not persona:
            self.active.append(member.id)

    def keep(self, member: Member) -> None:
        """Replace what is known of the member."""
        self.members[member.id] = member

    def drawn(self, chance: Random) -> Member:
        """An active member; the same one may be drawn again."""
        return self.members[chance.choice(self.active)]

    def leaving(self, chance: Random) -> Member:
        """An active member, who counts as inactive from now on."""
        return self.members[_transfer(chance, self.active, self.inactive)]

    def returning(self, chance: Random) -> Member:
        """An inactive member, who counts as active from now on."""
        return self.members[_transfer(chance, self.inactive, self.active)]


def _transfer(chance: Random, source: list[str], target: list[str]) -> str:
    # Swapping with the last keeps this O(1): load runs hold tens of thousands of members.
    place = chance.randrange(len(source))
    source[place], source[-1] = source[-1], source[place]
    target.append(source.pop())
    return target[-1]
