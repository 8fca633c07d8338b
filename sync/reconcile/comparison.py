"""Compares a statement of a source with what is known here, and says why they differ."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from msgspec import UNSET

from db.queries.members.known_members import HeldRole, KnownMember, KnownOrganization
from db.stamp import NEVER, stamped_at
from db.tables.profile import PROFILE_FIELDS
from db.vocabulary import ActivationState, PortalId
from sync.applying.draft import ORGANIZATION, ROLES, STATE
from sync.applying.overruled import in_words, is_overruled
from sync.events import Event, OrganizationStatement


class Why(StrEnum):
    """The reason for a difference. Only a difference that counts is applied."""

    COUNTS = "counts"
    BEATEN = "beaten"
    CORRECTED = "corrected"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """`there` is what the source says, `here` what is known; both in words."""

    field: str
    there: str | None
    here: str | None
    why: Why


@dataclass(frozen=True, slots=True)
class Difference:
    """The differences of one person, or of the chapter that the statement names."""

    portal_id: PortalId
    known: bool
    home: PortalId | None
    fields: list[FieldDifference]
    deactivates: bool = False
    lost_roles: frozenset[HeldRole] = frozenset()

    @property
    def counts(self) -> bool:
        return any(field.why is Why.COUNTS for field in self.fields)

    def removals(self) -> dict[str, str | None]:
        """Returns the parts that would be taken away, with what the source says of them."""
        parts = {STATE: self.deactivates, ROLES: bool(self.lost_roles)}
        return {one.field: one.there for one in self.fields if parts.get(one.field)}

    def without(self, parts: Collection[str]) -> "Difference":
        """Returns the difference without these removals, which a person has discarded."""
        return replace(
            self,
            fields=[
                replace(one, why=Why.DISCARDED) if one.field in parts else one
                for one in self.fields
            ],
            deactivates=self.deactivates and STATE not in parts,
            lost_roles=frozenset() if ROLES in parts else self.lost_roles,
        )


def compare(
    event: Event,
    known: KnownMember | None,
    organizations: Mapping[PortalId, KnownOrganization],
    *,
    dated: bool,
) -> Difference | None:
    """Returns None if both sides say the same. `dated`: the statement has a time of its own, so
    that the order of statements decides against a correction as well."""
    if known is None:
        there = event.state or ActivationState.ACTIVE
        field = FieldDifference(STATE, there.value, None, Why.COUNTS)
        return Difference(event.member_id, known=False, home=_home(event), fields=[field])
    fields = [
        FieldDifference(name, there, here, _why(event, known, part, there, dated=dated))
        for part, name, there, here in _unequal(event, known)
    ]
    fields += [
        FieldDifference(f"{name} of {id}", there, here, Why.COUNTS)
        for id, name, there, here in _unequal_organization(event, organizations)
    ]
    if not fields:
        return None
    counting = {field.field for field in fields if field.why is Why.COUNTS}
    deactivates = STATE in counting and event.state is ActivationState.INACTIVE
    lost = known.roles - _roles(event) if ROLES in counting else frozenset()
    return Difference(
        event.member_id,
        known=True,
        home=known.home,
        fields=fields,
        deactivates=deactivates,
        lost_roles=lost,
    )


def _why(event: Event, known: KnownMember, part: str, there: str | None, *, dated: bool) -> Why:
    stamp = known.as_of.get(part, NEVER)
    if stamp == NEVER:
        return Why.COUNTS
    if not dated and is_overruled(known, part, there):
        return Why.CORRECTED
    return Why.BEATEN if stamped_at(stamp) >= event.occurred_at else Why.COUNTS


def _home(event: Event) -> PortalId | None:
    stated = event.organization
    return stated.id if isinstance(stated, OrganizationStatement) else None


def _roles(event: Event) -> frozenset[HeldRole]:
    return frozenset((role.code, role.organization_id) for role in event.roles or ())


def _unequal(event: Event, known: KnownMember) -> Iterator[tuple[str, str, str | None, str | None]]:
    """Yields each part that differs, its name in words, and both values."""
    for part, there in event.profile.items():
        here = known.profile[part]
        if there != here:
            yield part, PROFILE_FIELDS[part], there, here
    if event.organization is not UNSET and _home(event) != known.home:
        yield ORGANIZATION, ORGANIZATION, _home(event), known.home
    if event.roles is not None and _roles(event) != known.roles:
        yield ROLES, ROLES, in_words(_roles(event)), in_words(known.roles)
    if event.state is not None and event.state is not known.state:
        yield STATE, STATE, event.state.value, known.state.value


def _unequal_organization(
    event: Event, organizations: Mapping[PortalId, KnownOrganization]
) -> Iterator[tuple[PortalId, str, str | None, str | None]]:
    stated = event.organization
    if not isinstance(stated, OrganizationStatement):
        return
    known = organizations.get(stated.id, KnownOrganization(None, None))
    if isinstance(stated.name, str) and stated.name != known.name:
        yield stated.id, "name", stated.name, known.name
    if stated.parent_id is not UNSET and stated.parent_id != known.parent:
        yield stated.id, "parent", stated.parent_id, known.parent
