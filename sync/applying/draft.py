"""The draft: a copy of a member, and of the chapters an event mentions, while the event is applied.

Nothing here reads the database or the clock. Each part of a member carries the stamp of the
statement it came from, and a statement writes a part only if its own stamp is higher. Therefore
every order of the same events ends in the same members.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from db.queries.chapters.organizations import OrganizationRecord
from db.queries.chapters.roles import RoleRow
from db.queries.members.member_records import MemberRecord, RoleKey
from db.stamp import NEVER, Stamp, are_tied
from db.tables.facts import FieldChange, MemberFacts
from db.tables.profile import PROFILE_FIELDS
from db.vocabulary import (
    AccessLevel,
    ActivationState,
    OrganizationId,
    PortalId,
    RoleId,
    SyncOutcome,
    SyncStatus,
)

STATE = "state"
ROLES = "roles"
ORGANIZATION = "organization"
NAME = "name"
PARENT = "parent"
CLOSED = "closed"


@dataclass(slots=True)
class Catalogue:
    """The chapters and roles that the events of a transaction touch."""

    organizations: dict[PortalId, OrganizationRecord]
    roles: dict[str, RoleRow]
    new_role_codes: frozenset[str]
    organization_labels: dict[OrganizationId, str]
    roles_by_id: dict[RoleId, RoleRow] = field(init=False)

    def __post_init__(self) -> None:
        self.roles_by_id = {role.id: role for role in self.roles.values()}

    def label(self, organization_id: OrganizationId | None) -> str | None:
        if organization_id is None:
            return None
        return self.organization_labels.get(organization_id, str(organization_id))

    def role_label(self, key: RoleKey) -> str:
        role_id, organization_id = key
        code = self.roles_by_id[role_id].code
        return f"{code} ({self.label(organization_id)})" if organization_id else code


@dataclass(slots=True, kw_only=True)
class ChapterDraft:
    """The working copies of the chapters that an event mentions, which its handler writes to.

    `stated` holds what the event wrote of chapters, `older_of_chapters` what it stated of them that
    is older than what is known. `tied` names the parts of which another event of the same time and
    sequence states something else.
    """

    stamp: Stamp
    at: datetime
    catalogue: Catalogue
    remarks: list[str] = field(default_factory=list)
    tied: dict[str, None] = field(default_factory=dict)
    stated: set[tuple[PortalId, str]] = field(default_factory=set)
    older_of_chapters: dict[str, Stamp] = field(default_factory=dict)
    organizations: dict[PortalId, OrganizationRecord] = field(default_factory=dict)

    def organization(self, portal_id: PortalId) -> OrganizationRecord:
        """Returns the draft's copy of a chapter that the event mentions."""
        if portal_id not in self.organizations:
            known = self.catalogue.organizations[portal_id]
            self.organizations[portal_id] = known.copy()
        return self.organizations[portal_id]

    def claim_organization(
        self, organization: OrganizationRecord, part: str, *, differs: bool
    ) -> bool:
        """Returns True if the event may write the part, which then carries the event's stamp.

        `differs`: what the event states of the part is not what is known.
        """
        known = organization.as_of.get(part, NEVER)
        if differs and are_tied(self.stamp, known):
            self.tied[f"{ORGANIZATION}.{part}"] = None
        if self.stamp > known:
            organization.as_of[part] = self.stamp
            self.stated.add((organization.portal_id, part))
            return True
        if self.stamp < known:
            self.older_of_chapters[part] = known
        return False


@dataclass(slots=True, kw_only=True)
class Draft(ChapterDraft):
    """The working copy of a member besides; a handler that fails leaves nothing behind.

    `written` names the parts that the event wrote. `older` holds those of which something newer is
    known, with the stamps of that.
    """

    member: MemberRecord
    written: set[str] = field(default_factory=set)
    older: dict[str, Stamp] = field(default_factory=dict)

    def claim(self, part: str, *, differs: bool) -> bool:
        """Does the same for a part of the member."""
        known = self.member.as_of.get(part, NEVER)
        if differs and are_tied(self.stamp, known):
            self.tied[part] = None
        if self.stamp > known:
            self.member.as_of[part] = self.stamp
            self.written.add(part)
            return True
        if self.stamp < known:
            self.older[part] = known
        return False


def draft_of(
    member: MemberRecord | None,
    portal_id: PortalId,
    stamp: Stamp,
    at: datetime,
    catalogue: Catalogue,
) -> Draft:
    """Returns a draft of the member, or of a new one where the portal id is unknown."""
    own = MemberRecord(portal_id) if member is None else member.copy()
    return Draft(member=own, stamp=stamp, at=at, catalogue=catalogue)


def outcome_of(
    before: MemberRecord | None, draft: Draft, changes: Sequence[FieldChange]
) -> tuple[SyncStatus, SyncOutcome]:
    """Returns status and outcome of an event whose handler succeeded."""
    after = draft.member
    if before is None:
        return SyncStatus.SUCCESS, SyncOutcome.CREATED
    if draft.older and not (draft.written or draft.stated):
        return SyncStatus.SKIPPED, SyncOutcome.STALE
    if before.state is not after.state:
        deactivated = after.state is ActivationState.INACTIVE
        outcome = SyncOutcome.DEACTIVATED if deactivated else SyncOutcome.REACTIVATED
        return SyncStatus.SUCCESS, outcome
    return SyncStatus.SUCCESS, SyncOutcome.UPDATED if changes else SyncOutcome.UNCHANGED


_NOBODY = MemberRecord(PortalId(""))


def field_changes(
    before: MemberRecord | None, after: MemberRecord, catalogue: Catalogue
) -> list[FieldChange]:
    """Returns the fields that changed, with both values in words."""
    old = _NOBODY if before is None else before
    changes = [
        FieldChange(label, known, stated)
        for field, label in PROFILE_FIELDS.items()
        if (known := getattr(old.profile, field)) != (stated := getattr(after.profile, field))
    ]
    # Two chapters can have the same name, so the ids are compared.
    if old.organization_id != after.organization_id:
        homes = catalogue.label(old.organization_id), catalogue.label(after.organization_id)
        changes.append(FieldChange("organization", *homes))
    if (old.roles.keys(), old.unlisted_roles) != (after.roles.keys(), after.unlisted_roles):
        held = _roles_in_words(old, catalogue), _roles_in_words(after, catalogue)
        changes.append(FieldChange("roles", *held))
    if before is None or before.state is not after.state:
        state = None if before is None else before.state.value
        changes.append(FieldChange("state", state, after.state.value))
    return changes


def _roles_in_words(member: MemberRecord, catalogue: Catalogue) -> str | None:
    listed = sorted(catalogue.role_label(key) for key in member.roles)
    unlisted = [member.unlisted_roles] if member.unlisted_roles else []
    return ", ".join([*listed, *unlisted]) or None


def chapter_changes(draft: ChapterDraft, *, first: bool) -> list[FieldChange]:
    """Returns what the event changed of chapters, in words.

    `first`: also what it was the first one to state.
    """
    changes = []
    for portal_id, part in sorted(draft.stated):
        known = draft.catalogue.organizations[portal_id]
        if part in known.as_of or first:
            old, new = (
                _chapter_part(chapter, part, draft.catalogue)
                for chapter in (known, draft.organizations[portal_id])
            )
            if old != new:
                changes.append(FieldChange(f"{ORGANIZATION}.{part}", old, new))
    return changes


def _chapter_part(chapter: OrganizationRecord, part: str, catalogue: Catalogue) -> str | None:
    if part == NAME:
        return chapter.name
    if part == PARENT:
        return catalogue.label(chapter.stated_parent_id)
    return str(chapter.closed).lower()


def facts_of(member: MemberRecord, catalogue: Catalogue) -> MemberFacts:
    """Returns the facts of a member for the change feed."""
    if member.updated_at is None:
        raise ValueError("The member has no facts yet: `updated_at` is not set.")
    held = [catalogue.roles_by_id[role_id] for role_id, _ in member.roles]
    active = member.state is ActivationState.ACTIVE
    places = {where for _, where in member.roles} | {member.organization_id}
    return MemberFacts(
        state=member.state,
        access_level=max((role.access_level for role in held), default=AccessLevel.NONE)
        if active
        else AccessLevel.NONE,
        organization_ids=tuple(sorted(place for place in places if place is not None)),
        role_codes=tuple(sorted({role.code for role in held})),
        search_text=member.search_text,
        updated_at=member.updated_at,
    )
