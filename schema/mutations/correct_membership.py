"""The mutation `correctMembership`, which states what the portal has wrong of a member."""

from collections.abc import Mapping
from typing import Annotated

import strawberry
from msgspec import UNSET, UnsetType

from db.tables.profile import PROFILE_FIELDS
from db.vocabulary import ActivationState, SyncOutcome, SyncStatus
from resolvers.members import member_views
from resolvers.sync_log import entry_views
from schema.access import require_corrector, require_viewer
from schema.context import Context, Info
from schema.mutations.set_role_access import LastAdministratorError, RoleNotFoundError
from schema.types.costs import list_size
from schema.types.loading import entry_fields, member_fields
from schema.types.nodes import FieldChangeType, MemberType, SyncLogEntryType
from schema.types.opaque import storable
from schema.types.user_errors import UserError
from sync.correcting.corrections import Corrected, CorrectedRole, Correction, correct_membership
from sync.errors import CorrectionFault, CorrectionRefusedError


@strawberry.input(description="A role that the member holds.")
class CorrectedRoleInput:
    code: str = strawberry.field(description="The portal's role code.")
    organization_portal_id: str | None = strawberry.field(
        default=None,
        description="The portal id of the organization where it is held; null for the home "
        "organization.",
    )


@strawberry.input(
    description="Fields of the profile. What is not given stays as it is, and null clears a field."
)
class CorrectedProfileInput:
    member_number: str | None = strawberry.field(
        default=strawberry.UNSET, description="The member number."
    )
    given_name: str | None = strawberry.field(
        default=strawberry.UNSET, description="The given name."
    )
    family_name: str | None = strawberry.field(
        default=strawberry.UNSET, description="The family name."
    )
    email: str | None = strawberry.field(
        default=strawberry.UNSET, description="The e-mail address."
    )
    phone: str | None = strawberry.field(
        default=strawberry.UNSET, description="The telephone number."
    )

    def stated(self) -> Mapping[str, str | None]:
        """Returns the fields that are given, by their names in events."""
        return {
            name: None if value is None else storable(value, f"profile.{name}")
            for field, name in PROFILE_FIELDS.items()
            if (value := getattr(self, field)) is not strawberry.UNSET
        }


@strawberry.input(
    description="What is right of a member. What is not given stays as it is; at least one of "
    "`state`, `organizationPortalId`, `roles` and `profile` is needed."
)
class CorrectMembershipInput:
    portal_id: str = strawberry.field(description="The portal id of the member.")
    reason: str = strawberry.field(
        description="The reason, which is kept in the log and in the audit trail; at most 1000 "
        "characters."
    )
    state: ActivationState | None = strawberry.field(
        default=None, description="The state of the membership."
    )
    organization_portal_id: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The portal id of the home organization; null for none.",
    )
    roles: list[CorrectedRoleInput] | None = strawberry.field(
        default=None, description="The complete set of roles."
    )
    profile: CorrectedProfileInput | None = strawberry.field(
        default=None, description="Fields of the profile."
    )
    dry_run: bool = strawberry.field(default=False, description="Only tells what would change.")

    def to_correction(self) -> Correction:
        """Raises BadUserInputError."""
        home: str | UnsetType | None = UNSET
        if self.organization_portal_id is not strawberry.UNSET:
            home = self.organization_portal_id
        return Correction(
            portal_id=storable(self.portal_id, "portalId"),
            reason=storable(self.reason, "reason"),
            state=self.state,
            organization_id=home
            if not isinstance(home, str)
            else storable(home, "organizationPortalId"),
            roles=None
            if self.roles is None
            else [
                CorrectedRole(
                    storable(role.code, "roles"),
                    storable(role.organization_portal_id, "roles")
                    if role.organization_portal_id
                    else None,
                )
                for role in self.roles
            ],
            profile={} if self.profile is None else self.profile.stated(),
        )


@strawberry.type(description="The correction was made, or tried out in a dry run.")
class CorrectMembershipSuccess:
    dry_run: bool = strawberry.field(description="True when nothing was changed.")
    status: SyncStatus = strawberry.field(description="The status of the correction's log entry.")
    outcome: SyncOutcome | None = strawberry.field(description="What became of it.")
    detail: str | None = strawberry.field(description="Remarks on it.")
    changes: list[FieldChangeType] = strawberry.field(
        description="The fields that were changed, or would be.", directives=[list_size(5)]
    )
    member: MemberType | None = strawberry.field(
        description="The member, as they are after the mutation."
    )
    entry: SyncLogEntryType | None = strawberry.field(
        description="The correction in the sync log; null in a dry run."
    )


@strawberry.type(description="No member with this portal id is known.")
class MemberNotFoundError(UserError):
    pass


@strawberry.type(description="No organization with this portal id is known.")
class OrganizationNotFoundError(UserError):
    pass


@strawberry.type(
    description="The correction cannot be made as it is: REASON_MISSING, NOTHING_TO_CORRECT or "
    "VALUE_REFUSED."
)
class CorrectionError(UserError):
    pass


CorrectMembershipResult = Annotated[
    CorrectMembershipSuccess
    | MemberNotFoundError
    | OrganizationNotFoundError
    | RoleNotFoundError
    | LastAdministratorError
    | CorrectionError,
    strawberry.union("CorrectMembershipResult", description="The result of `correctMembership`."),
]

_ERRORS: Mapping[
    CorrectionFault,
    type[
        MemberNotFoundError
        | OrganizationNotFoundError
        | RoleNotFoundError
        | LastAdministratorError
        | CorrectionError
    ],
] = {
    CorrectionFault.MEMBER_NOT_FOUND: MemberNotFoundError,
    CorrectionFault.ORGANIZATION_NOT_FOUND: OrganizationNotFoundError,
    CorrectionFault.ROLE_NOT_FOUND: RoleNotFoundError,
    CorrectionFault.LAST_ADMINISTRATOR: LastAdministratorError,
}


async def correct_membership_of(
    info: Info,
    input: Annotated[
        CorrectMembershipInput,
        strawberry.argument(description="The member, what is right, and the reason."),
    ],
) -> CorrectMembershipResult:
    await require_corrector(info)
    context = info.context
    try:
        corrected = await correct_membership(
            context.database,
            input.to_correction(),
            context.actor,
            context.clock,
            national_body=context.viewers.national_body,
            dry_run=input.dry_run,
        )
    except CorrectionRefusedError as error:
        refused = _ERRORS.get(error.fault, CorrectionError)
        return refused(code=error.fault.value, message=str(error), path=["input", error.field])
    return await _success(info, context, corrected)


async def _success(info: Info, context: Context, corrected: Corrected) -> CorrectMembershipSuccess:
    sight = (await require_viewer(context)).sight
    entry_id = corrected.entry_id
    async with context.database.read() as session:
        members = await member_views(
            session, sight, [corrected.member_id], member_fields(info, "member")
        )
        wanted = [entry_id] if entry_id else []
        entries = await entry_views(session, sight, wanted, entry_fields(info, "entry"))
    member = members.get(corrected.member_id)
    entry = entries.get(entry_id) if entry_id else None
    return CorrectMembershipSuccess(
        dry_run=entry_id is None,
        status=corrected.status,
        outcome=corrected.outcome,
        detail=corrected.detail,
        changes=[FieldChangeType(change) for change in corrected.changes],
        member=None if member is None else MemberType(member),
        entry=None if entry is None else SyncLogEntryType(entry),
    )
