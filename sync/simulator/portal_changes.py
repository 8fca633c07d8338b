"""The changes that can happen in the portal. Each updates the register and returns its event."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from msgspec import UNSET
from msgspec.structs import replace

from sync.simulator.chapters import Federation
from sync.simulator.event_bodies import (
    Data,
    PortalEvent,
    PortalEventType,
    PortalProfile,
    portal_event,
)
from sync.simulator.names import FAMILY_NAMES, email_address, phone_number
from sync.simulator.newcomers import FIRST_NUMBER, Newcomers, mentor_role
from sync.simulator.register import COORDINATOR, PEER_MENTOR, HeldRole, PortalMember, Register

_MILLISECOND = timedelta(milliseconds=1)
_REASONS = ("eget ønske", "ubetalt kontingent", "flyttet til utlandet", UNSET)


class PortalChanges:
    """The kinds of change. `reactivated` needs an inactive member, the others an active one."""

    def __init__(
        self,
        chance: Random,
        clock: Callable[[], datetime],
        federation: Federation,
        register: Register,
        newcomers: Newcomers,
    ) -> None:
        self._chance = chance
        self._clock = clock
        self._federation = federation
        self._register = register
        self._newcomers = newcomers

    def now(self) -> datetime:
        """Returns the time in whole milliseconds, which is the precision of events."""
        now = self._clock().astimezone(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def joined(self, at: datetime) -> PortalEvent:
        member, persona = self._newcomers.newcomer(len(self._register.members), at)
        self._register.admit(member, persona=persona)
        organization = self._federation.by_id[member.organization_id]
        data = Data(PortalProfile.whole(member), organization, member.roles)
        return portal_event("membership-created", at, data)

    def moved(self) -> PortalEvent:
        member = self._register.drawn(self._chance)
        elsewhere = [each for each in self._federation.locals if each.id != member.organization_id]
        organization = self._chance.choice(elsewhere)
        data = Data(PortalProfile(member.id), organization)
        return self._record(
            "membership-updated", replace(member, organization_id=organization.id), data
        )

    def profile_changed(self) -> PortalEvent:
        member = self._register.drawn(self._chance)
        changed, profile = self._chance.choice(
            (self._other_phone, self._other_phone, self._other_name, self._less_reachable)
        )(member)
        return self._record("membership-updated", changed, Data(profile))

    def roles_changed(self) -> PortalEvent:
        if self._chance.random() < 0.12 and (event := self._coordinator_changed()):
            return event
        # When 12 % are peer mentors, one of five drawn members is one about every other time, so
        # that as many lose the role as get it.
        drawn = [self._register.drawn(self._chance) for _ in range(5)]
        for member in drawn:
            if role := member.role(PEER_MENTOR):
                return self._without_role(member, role)
        return self._with_role(drawn[0], mentor_role(self._chance, drawn[0].organization_id))

    def deactivated(self) -> PortalEvent:
        member = self._register.leaving(self._chance)
        organization = self._federation.by_id[member.organization_id]
        data = Data(PortalProfile(member.id), organization, reason=self._chance.choice(_REASONS))
        return self._record("membership-deactivated", replace(member, active=False), data)

    def reactivated(self) -> PortalEvent:
        member = self._register.returning(self._chance)
        data = Data(PortalProfile(member.id), self._federation.by_id[member.organization_id])
        return self._record("membership-reactivated", replace(member, active=True), data)

    def _record(self, type: PortalEventType, member: PortalMember, data: Data) -> PortalEvent:
        # Two events of one member never have the same timestamp: the receiver would then compare
        # their ids, which do not say which one came last.
        at = max(self.now(), member.changed_at + _MILLISECOND)
        self._register.keep(replace(member, changed_at=at))
        return portal_event(type, at, data)

    def _other_phone(self, member: PortalMember) -> tuple[PortalMember, PortalProfile]:
        phone = phone_number(self._chance)
        return replace(member, phone=phone), PortalProfile(member.id, phone=phone)

    def _other_name(self, member: PortalMember) -> tuple[PortalMember, PortalProfile]:
        name = self._chance.choice([each for each in FAMILY_NAMES if each != member.family_name])
        email = email_address(member.given_name, name, member.number - FIRST_NUMBER + 1)
        changed = replace(member, family_name=name, email=email)
        return changed, PortalProfile(member.id, family_name=name, email=email)

    def _less_reachable(self, member: PortalMember) -> tuple[PortalMember, PortalProfile]:
        if member.phone is not None:
            return replace(member, phone=None), PortalProfile(member.id, phone=None)
        if member.email is not None:
            return replace(member, email=None), PortalProfile(member.id, email=None)
        return self._other_phone(member)

    def _coordinator_changed(self) -> PortalEvent | None:
        """Lets a coordinator step down or a vacant chapter find one; None if nobody was drawn."""
        drawn = [self._register.drawn(self._chance) for _ in range(60)]
        if not self._register.vacancies:
            for member in drawn:
                if role := member.role(COORDINATOR):
                    self._register.vacancies.append(role.organization_id or member.organization_id)
                    return self._without_role(member, role)
            return None
        chapter = self._register.vacancies[0]
        for member in drawn:
            if member.organization_id == chapter and not member.role(COORDINATOR):
                self._register.vacancies.pop(0)
                return self._with_role(member, HeldRole(COORDINATOR, chapter))
        return None

    def _with_role(self, member: PortalMember, role: HeldRole) -> PortalEvent:
        return self._roles_recorded(replace(member, roles=(*member.roles, role)))

    def _without_role(self, member: PortalMember, role: HeldRole) -> PortalEvent:
        roles = tuple(each for each in member.roles if each != role)
        return self._roles_recorded(replace(member, roles=roles))

    def _roles_recorded(self, member: PortalMember) -> PortalEvent:
        organization = self._federation.by_id[member.organization_id]
        data = Data(PortalProfile(member.id), organization, member.roles)
        return self._record("role-updated", member, data)
