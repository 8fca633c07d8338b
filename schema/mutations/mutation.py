"""The root type of mutations."""

import strawberry

from schema.mutations.acknowledge_concern import AcknowledgeConcernResult, acknowledge_concern
from schema.mutations.correct_membership import CorrectMembershipResult, correct_membership_of
from schema.mutations.forget_member import ForgetMemberResult, forget_member
from schema.mutations.release_held import ReleaseHeldResult, release_held
from schema.mutations.replay_events import ReplayEventsResult, replay_events
from schema.mutations.set_role_access import SetRoleAccessResult, set_access_of_role
from schema.mutations.start_reconciliation import StartReconciliationResult, start_reconciliation
from schema.types.costs import WRITING, cost


@strawberry.type(description="All mutations.")
class Mutation:
    replay_events: ReplayEventsResult = strawberry.mutation(
        resolver=replay_events,
        description="Applies recorded events again. Newer statements still win, so a replay is "
        "always safe. For administrators, who can replay the entries they see.",
        directives=[cost(WRITING)],
    )
    set_role_access: SetRoleAccessResult = strawberry.mutation(
        resolver=set_access_of_role,
        description="Sets the access level that a role gives to all its holders. For "
        "administrators of the national body.",
        directives=[cost(WRITING)],
    )
    correct_membership: CorrectMembershipResult = strawberry.mutation(
        resolver=correct_membership_of,
        description="Puts right what the portal has wrong of a member. It stands until the portal "
        "states something new of that part. For administrators of the national body.",
        directives=[cost(WRITING)],
    )
    start_reconciliation: StartReconciliationResult = strawberry.mutation(
        resolver=start_reconciliation,
        description="Asks for a comparison of a source with what is known here. For administrators "
        "of the national body.",
        directives=[cost(WRITING)],
    )
    release_held: ReleaseHeldResult = strawberry.mutation(
        resolver=release_held,
        description="Decides what the deletion guard holds back since a run: it is applied, or "
        "what is here stays. For administrators of the national body.",
        directives=[cost(WRITING)],
    )
    forget_member: ForgetMemberResult = strawberry.mutation(
        resolver=forget_member,
        description="Removes everything about a person, known or not. It cannot be undone, and "
        "older events do not bring the person back. For administrators of the national body.",
        directives=[cost(WRITING)],
    )
    acknowledge_concern: AcknowledgeConcernResult = strawberry.mutation(
        resolver=acknowledge_concern,
        description="Takes a concern on, until it grows. For administrators of the national body.",
        directives=[cost(WRITING)],
    )
