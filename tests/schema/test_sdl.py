"""The schema as clients get it: committed, described, and with the names of the contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLUnionType,
    build_schema,
    is_introspection_type,
    is_specified_scalar_type,
)

import schema
from schema.build import build_schema as our_schema

COMMITTED = Path(schema.__file__).parent / "schema.graphql"
SDL = our_schema().as_str()
TYPES = build_schema(SDL).type_map

# The contract with clients. A name without a type must exist, whatever its type.
CONTRACT = """
Query.viewer: Viewer
Query.node(id: ID!): Node
Query.nodes(ids: [ID!]!): [Node]!
Query.organization(by: OrganizationLookup!): Organization
Query.organizations(first: Int, after: String, last: Int, \
before: String): OrganizationConnection!
Query.member(by: MemberLookup!): Member
Query.members(organizationId: ID, filter: MemberFilter, orderBy: MemberOrder, first: Int, \
after: String, last: Int, before: String): MemberConnection!
Query.roles: [Role!]!
Query.syncLog(organizationId: ID, filter: SyncLogFilter, first: Int, after: String, last: Int, \
before: String): SyncLogConnection!
Query.syncHealth: SyncHealth!
Query.sources: [Source!]!
Query.reconciliations(source: String, first: Int, after: String, last: Int, \
before: String): ReconciliationConnection!
Subscription.viewerChanges(after: ChangeCursor): ViewerChangeMessage!
Subscription.memberChanges(organizationId: ID, after: ChangeCursor, \
filter: MemberFilter): MemberChangeMessage!
Subscription.syncLogChanges(organizationId: ID, after: ChangeCursor, \
filter: SyncLogFilter): SyncLogChangeMessage!
Mutation.replayEvents(input: ReplayEventsInput!): ReplayEventsResult!
Mutation.startReconciliation(input: StartReconciliationInput!): StartReconciliationResult!
Mutation.releaseHeld(input: ReleaseHeldInput!): ReleaseHeldResult!
Mutation.forgetMember(input: ForgetMemberInput!): ForgetMemberResult!
ForgetMemberInput.portalId: String!
ForgetMemberInput.reason: String!
Mutation.acknowledgeConcern(input: AcknowledgeConcernInput!): AcknowledgeConcernResult!
SyncHealth.healthy: Boolean!
SyncHealth.summary
SyncHealth.concerns: [Concern!]!
Concern.id: ID!
Concern.kind: ConcernKind!
Concern.source
Concern.since
Concern.state: ConcernState!
Concern.detail
Concern.advice
Concern.count
Concern.entries(first: Int, after: String, last: Int, before: String): SyncLogConnection
StartReconciliationInput.source
StartReconciliationInput.full
StartReconciliationInput.dryRun
StartReconciliationInput.reason
ReleaseHeldInput.reconciliationId: ID!
ReleaseHeldInput.release: Boolean!
ReleaseHeldInput.reason: String!
Mutation.setRoleAccess(input: SetRoleAccessInput!): SetRoleAccessResult!
MemberLookup.id: ID
MemberLookup.portalId: String
Viewer.member: Member
Viewer.accessLevel: AccessLevel!
Viewer.accesses: [OrganizationAccess!]!
Viewer.credentialsExpireAt: DateTime
Member.id: ID!
Member.portalId
Member.memberNumber
Member.givenName
Member.familyName
Member.displayName
Member.email
Member.phone
Member.state: ActivationState!
Member.stateChangedAt
Member.accessLevel: AccessLevel!
Member.organization: Organization
Member.roles: [RoleAssignment!]!
Member.updatedAt
Member.syncLog(first: Int, after: String, last: Int, before: String): SyncLogConnection!
RoleAssignment.role: Role!
RoleAssignment.organization: Organization
RoleAssignment.since: DateTime!
Role.id: ID!
Role.code
Role.name
Role.accessLevel
Organization.id: ID!
Organization.portalId
Organization.name
Organization.parent
Organization.children
Organization.members
SyncLogEntry.id: ID!
SyncLogEntry.eventId
SyncLogEntry.source
SyncLogEntry.eventType
SyncLogEntry.occurredAt
SyncLogEntry.receivedAt
SyncLogEntry.processedAt
SyncLogEntry.status: SyncStatus!
SyncLogEntry.outcome: SyncOutcome
SyncLogEntry.detail
SyncLogEntry.attempts
SyncLogEntry.deliveries
SyncLogEntry.nextAttemptAt
SyncLogEntry.lagMs
SyncLogEntry.member
SyncLogEntry.organization
SyncLogEntry.changes: [FieldChange!]!
Source.name
Source.scheme
Source.lastReceivedAt
Source.lastAppliedAt
Source.receivedLastDay
Source.refusedLastDay
Source.missedLastDay
Source.reconciliation: Reconciliation
Reconciliation.id: ID!
Reconciliation.source
Reconciliation.kind: ReconciliationKind!
Reconciliation.status: ReconciliationStatus!
Reconciliation.startedAt
Reconciliation.finishedAt
Reconciliation.compared
Reconciliation.created
Reconciliation.updated
Reconciliation.deactivated
Reconciliation.missing
Reconciliation.held
Reconciliation.drift(first: Int, after: String, last: Int, before: String): DriftConnection!
MemberConnection.edges
MemberConnection.pageInfo
MemberConnection.totalCount
MemberConnection.changeCursor: ChangeCursor!
MemberChange.cursor: ChangeCursor!
MemberChange.operation: ChangeOperation!
MemberChange.memberId: ID!
MemberChange.member: Member
MemberChange.occurredAt: DateTime!
StreamHeartbeat.cursor: ChangeCursor!
StreamHeartbeat.serverTime: DateTime!
ResyncRequired.cursor: ChangeCursor!
ResyncRequired.reason: ResyncReason!
UserError.code
UserError.message
UserError.path
""".strip().splitlines()

ENUMS = {
    "SyncStatus": "PENDING SUCCESS SKIPPED FAILED DEAD REJECTED",
    "SyncOutcome": "CREATED UPDATED UNCHANGED DEACTIVATED REACTIVATED STALE IGNORED",
    "ChangeOperation": "ADDED UPDATED REMOVED",
    "ResyncReason": "CURSOR_EXPIRED SLOW_CONSUMER ACCESS_CHANGED",
    "ReconciliationKind": "DELTA FULL FILE",
    "ReconciliationStatus": "RUNNING SUCCEEDED FAILED HELD",
    "ActivationState": "ACTIVE INACTIVE",
    "AccessLevel": "NONE MEMBER PEER_MENTOR COORDINATOR ADMIN",
}


def test_committed_schema_is_the_one_that_is_served() -> None:
    served = SDL + "\n"

    committed = COMMITTED.read_text(encoding="utf-8")

    assert committed == served, "Run `./run export-schema -o schema/schema.graphql`."


def test_everything_in_the_schema_is_described() -> None:
    described = dict(_described())

    assert [name for name, description in described.items() if not description] == []
    assert len(described) > 200


def _described() -> Iterator[tuple[str, str | None]]:
    for type in TYPES.values():
        if not (is_introspection_type(type) or is_specified_scalar_type(type)):
            yield type.name, type.description
            yield from _parts_described(type)


def _parts_described(type: GraphQLNamedType) -> Iterator[tuple[str, str | None]]:
    if isinstance(type, GraphQLEnumType):
        for name, value in type.values.items():
            yield f"{type.name}.{name}", value.description
    if isinstance(type, GraphQLInputObjectType):
        for name, input_field in type.fields.items():
            yield f"{type.name}.{name}", input_field.description
    if isinstance(type, GraphQLObjectType | GraphQLInterfaceType):
        for name, field in type.fields.items():
            yield f"{type.name}.{name}", field.description
            for argument_name, argument in field.args.items():
                yield f"{type.name}.{name}({argument_name})", argument.description


@pytest.mark.parametrize("line", CONTRACT, ids=lambda line: line.partition("(")[0].split(":")[0])
def test_name_of_the_contract_exists_with_its_type(line: str) -> None:
    coordinate = line.partition("(")[0].partition(":")[0]
    type_name, _, field_name = coordinate.partition(".")
    type = TYPES[type_name]
    assert isinstance(type, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType)

    field = type.fields[field_name]

    arguments = [] if isinstance(type, GraphQLInputObjectType) else type.fields[field_name].args
    stated = f"({', '.join(f'{n}: {arguments[n].type}' for n in arguments)})" if arguments else ""
    assert line in (coordinate, f"{coordinate}{stated}: {field.type}")


@pytest.mark.parametrize("name", ENUMS)
def test_enum_has_the_values_of_the_contract_in_their_order(name: str) -> None:
    type = TYPES[name]

    assert isinstance(type, GraphQLEnumType)
    assert " ".join(type.values) == ENUMS[name]


@pytest.mark.parametrize(
    "name", ["Member", "Role", "Organization", "Reconciliation", "SyncLogEntry"]
)
def test_what_has_an_id_is_a_node(name: str) -> None:
    type = TYPES[name]

    assert isinstance(type, GraphQLObjectType)
    assert [interface.name for interface in type.interfaces] == ["Node"]


@pytest.mark.parametrize("stream", ["Member", "SyncLog", "Viewer"])
def test_message_of_a_stream_is_a_change_a_heartbeat_or_a_resync(stream: str) -> None:
    type = TYPES[f"{stream}ChangeMessage"]

    assert isinstance(type, GraphQLUnionType)
    assert [member.name for member in type.types] == [
        f"{stream}Change",
        "StreamHeartbeat",
        "ResyncRequired",
    ]


def test_member_is_looked_up_by_exactly_one_of_its_ids() -> None:
    type = TYPES["MemberLookup"]

    assert isinstance(type, GraphQLInputObjectType)
    assert "input MemberLookup @oneOf {" in SDL


def test_expected_failures_of_a_mutation_are_user_errors() -> None:
    failures = [
        type
        for name, type in TYPES.items()
        if name.endswith("Error") and isinstance(type, GraphQLObjectType)
    ]

    assert failures
    for failure in failures:
        assert [interface.name for interface in failure.interfaces] == ["UserError"]
