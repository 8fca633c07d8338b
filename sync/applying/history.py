"""Since when a member's state and roles hold, computed from all recorded statements of the member.

An event about an older time cannot change what holds now, but it can change since when. The result
depends on the statements alone and not on the order in which they arrived.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec import UNSET, UnsetType

from db.queries.members.member_records import MemberRecord, RoleKey
from db.stamp import Stamp
from db.vocabulary import ActivationState, OrganizationId, PortalId, RoleId
from sync.events import Event, OrganizationStatement


@dataclass(frozen=True, slots=True)
class DatedStatement:
    """A statement about a member's state, roles and home; None, or UNSET for the home, where it
    states nothing."""

    stamp: Stamp
    at: datetime
    state: ActivationState | None
    roles: frozenset[RoleKey] | None
    home: OrganizationId | UnsetType | None


def dated_statement(
    event: Event,
    stamp: Stamp,
    at: datetime,
    role_ids: Mapping[str, RoleId],
    organization_ids: Mapping[PortalId, OrganizationId],
) -> DatedStatement:
    roles = None
    if event.roles is not None:
        roles = frozenset(
            (
                role_ids[role.code],
                organization_ids[role.organization_id] if role.organization_id else None,
            )
            for role in event.roles
            if role.code in role_ids
        )
    return DatedStatement(stamp, at, event.state, roles, _home(event, organization_ids))


def _home(
    event: Event, organization_ids: Mapping[PortalId, OrganizationId]
) -> OrganizationId | UnsetType | None:
    stated = event.organization
    return organization_ids[stated.id] if isinstance(stated, OrganizationStatement) else stated


def home_at(stamp: Stamp, statements: Sequence[DatedStatement]) -> OrganizationId | None:
    """Returns the home right after the statement with this stamp; None if none was stated yet."""
    known = [each for each in statements if each.home is not UNSET and each.stamp <= stamp]
    latest = max(known, key=lambda each: each.stamp, default=None)
    return latest.home if latest is not None and latest.home is not UNSET else None


def restate_times(member: MemberRecord, statements: Sequence[DatedStatement]) -> None:
    """Sets `state_changed_at` and the `since` of each role from all statements about the member."""
    ordered = sorted(statements, key=lambda statement: statement.stamp)
    by_state = [statement for statement in ordered if statement.state is not None]
    if by_state:
        member.state_changed_at = _held_since(
            by_state, lambda statement: statement.state is member.state
        )
    by_roles = [statement for statement in ordered if statement.roles is not None]
    for key in member.roles:
        member.roles[key] = _held_since(by_roles, _states_role(key))


def _states_role(key: RoleKey) -> Callable[[DatedStatement], bool]:
    return lambda statement: statement.roles is not None and key in statement.roles


def _held_since(
    ordered: Sequence[DatedStatement], holds: Callable[[DatedStatement], bool]
) -> datetime:
    """Returns the earliest time from which on every statement says that it holds."""
    since = ordered[-1].at
    for statement in reversed(ordered):
        if not holds(statement):
            break
        since = statement.at
    return since
