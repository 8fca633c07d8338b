"""The handlers: one function for each event type, which writes into a draft what the event says.

A handler only writes to its draft. It never reads the database, commits or publishes.
"""

from collections.abc import Callable, Mapping

from msgspec import UNSET

from db.queries.chapters.roles import MAX_UNDECIDED_ROLES
from db.queries.members.member_records import RoleKey
from sync import remarks
from sync.applying.draft import (
    CLOSED,
    NAME,
    ORGANIZATION,
    PARENT,
    ROLES,
    STATE,
    ChapterDraft,
    Draft,
)
from sync.events import ChapterEvent, Event, EventType, OrganizationStatement

EventHandler = Callable[[Event, Draft], None]

NAMED_ROLES = 10
"""The number of unknown role codes that an entry names; it counts the others."""


def membership_created(event: Event, draft: Draft) -> None:
    _state_profile(event, draft)
    _state_organization(event, draft)
    _state_roles(event, draft)
    _state_activation(event, draft)


def membership_updated(event: Event, draft: Draft) -> None:
    _state_profile(event, draft)
    _state_organization(event, draft)


def role_updated(event: Event, draft: Draft) -> None:
    _state_profile(event, draft)
    _state_organization(event, draft)
    _state_roles(event, draft)


def membership_deactivated(event: Event, draft: Draft) -> None:
    _state_profile(event, draft)
    _state_organization(event, draft)
    _state_activation(event, draft)


def membership_reactivated(event: Event, draft: Draft) -> None:
    _state_profile(event, draft)
    _state_organization(event, draft)
    _state_activation(event, draft)


def membership_stated(event: Event, draft: Draft) -> None:
    """Applies a row or a line of a file: it states any part of a member, and nothing of the
    others."""
    _state_profile(event, draft)
    _state_organization(event, draft)
    _state_roles(event, draft)
    _state_activation(event, draft)


def organization_updated(event: ChapterEvent, draft: ChapterDraft) -> None:
    """Writes what is known of a chapter: its name, its place, and whether it is closed."""
    _complete_organization(event.organization, draft)


def membership_merged(event: Event, draft: Draft) -> None:
    """Writes what the event says besides: both ids are of one person before it is called."""
    _state_profile(event, draft)
    _state_organization(event, draft)


HANDLERS: Mapping[EventType, EventHandler] = {
    EventType.MEMBERSHIP_CREATED: membership_created,
    EventType.MEMBERSHIP_MERGED: membership_merged,
    EventType.MEMBERSHIP_UPDATED: membership_updated,
    EventType.ROLE_UPDATED: role_updated,
    EventType.MEMBERSHIP_DEACTIVATED: membership_deactivated,
    EventType.MEMBERSHIP_REACTIVATED: membership_reactivated,
    EventType.MEMBERSHIP_STATED: membership_stated,
}


def _state_profile(event: Event, draft: Draft) -> None:
    known = draft.member.profile
    draft.member.state_profile(
        {
            field: value
            for field, value in event.profile.items()
            if draft.claim(field, differs=value != getattr(known, field))
        }
    )


def _state_organization(event: Event, draft: Draft) -> None:
    stated = event.organization
    if stated is UNSET:
        return
    home = None
    if isinstance(stated, OrganizationStatement):
        _complete_organization(stated, draft)
        home = draft.organization(stated.id).id
    if draft.claim(ORGANIZATION, differs=home != draft.member.organization_id):
        draft.member.organization_id = home


def _complete_organization(stated: OrganizationStatement, draft: ChapterDraft) -> None:
    chapter = draft.organization(stated.id)
    name, closed = stated.name, stated.closed
    if name is not UNSET and draft.claim_organization(chapter, NAME, differs=name != chapter.name):
        chapter.name = name
    if closed is not UNSET and draft.claim_organization(
        chapter, CLOSED, differs=closed is not chapter.closed
    ):
        chapter.closed = closed
    if stated.parent_id is UNSET:
        return
    parent = draft.organization(stated.parent_id).id if stated.parent_id else None
    if draft.claim_organization(chapter, PARENT, differs=parent != chapter.stated_parent_id):
        chapter.stated_parent_id = parent


def _state_roles(event: Event, draft: Draft) -> None:
    if event.roles is None:
        return
    stated = set[RoleKey]()
    unlisted = set[str]()
    for role in event.roles:
        where = draft.organization(role.organization_id) if role.organization_id else None
        listed = draft.catalogue.roles.get(role.code)
        if listed is None:
            unlisted.add(f"{role.code} ({where.label()})" if where else role.code)
        else:
            stated.add((listed.id, where.id if where else None))
    _remark_on_new_roles({role.code for role in event.roles}, draft)
    text = ", ".join(sorted(unlisted)) or None
    member, held = draft.member, draft.member.roles
    if draft.claim(ROLES, differs=stated != held.keys() or text != member.unlisted_roles):
        member.roles = {key: held.get(key, draft.at) for key in sorted(stated, key=_in_order)}
        member.unlisted_roles = text


def _remark_on_new_roles(codes: set[str], draft: Draft) -> None:
    new = sorted(codes & draft.catalogue.new_role_codes)
    draft.remarks += [remarks.new_role(code) for code in new[:NAMED_ROLES]]
    if len(new) > NAMED_ROLES:
        draft.remarks.append(remarks.more_new_roles(len(new) - NAMED_ROLES))
    if unlisted := len(codes - draft.catalogue.roles.keys()):
        draft.remarks.append(remarks.unlisted_roles(unlisted, MAX_UNDECIDED_ROLES))


def _in_order(key: RoleKey) -> tuple[int, int]:
    role_id, organization_id = key
    return role_id, organization_id or 0


def _state_activation(event: Event, draft: Draft) -> None:
    state = event.state
    if state is None:
        return
    differs = draft.member.state is not state
    if draft.claim(STATE, differs=differs) and (differs or draft.member.state_changed_at is None):
        draft.member.state = state
        draft.member.state_changed_at = draft.at
