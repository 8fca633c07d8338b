"""The table of who may do what: a line for every field of the schema, a column for every kind of
viewer. A field that has no line yet fails the suite, so nothing is ever opened by accident.

The fields are asked for about Kari, a member of Oslo. In the columns:

  +  given, and the same as an operator is given
  =  given, but another to each viewer or at each moment
  0  what it belongs to is there, but it is empty or null
  -  not given; just what is answered about somebody who does not exist
  U  UNAUTHENTICATED    I  MEMBER_INACTIVE    F  FORBIDDEN
  !  the request or the connection is refused as a whole: 401 or 4403
"""

from collections.abc import Sequence
from typing import Any

from tests.support.association import chapter, found_association
from tests.support.builders import created, guid, organization, role, updated
from tests.support.compared import compared_with_a_file
from tests.support.service import Service

VIEWERS = {
    "anonymous": None,
    "expired token": "admin of HLF",
    "unknown person": "nobody ever heard of",
    "inactive": "inactive",
    "Kari herself": "Kari",
    "another member": "Ola",
    "peer mentor": "Per",
    "coordinator": "coordinator of Oslo",
    "coordinator elsewhere": "coordinator of Bergen",
    "coordinator above": "coordinator of Oslo county",
    "admin": "admin of Oslo",
    "admin elsewhere": "admin of Bergen",
    "admin above": "admin of Oslo county",
    "admin of another root": "admin of Splinter",
    "admin of the national body": "admin of HLF",
    "operator": None,
}

RIGHTS = {
    # anonymous, expired, unknown, inactive | Kari, another, mentor | coordinator: here, elsewhere,
    # above | admin: here, elsewhere, above, of another root, national | operator
    "asking who one is": "-!UI  ===  ===  =====  =",
    "own access": "-!UI  ===  ===  =====  =",
    "known to all": "U!UI  +++  +++  +++++  +",
    "to each by their sight": "U!UI  ===  ===  =====  =",
    "a person": "U!UI  +--  +-+  +-+-+  +",
    "log of a person": "U!UI  F--  F-F  +-+-+  +",
    "origin of a person": "U!UI  0--  0-0  +-+-+  +",
    "log": "U!UI  FFF  FFF  +-+-+  +",
    "body of an event": "U!UI  FFF  FFF  0-0-+  +",
    "anything of the log": "U!UI  FFF  FFF  +++++  +",
    "anything of the last hours": "U!UI  FFF  FFF  =====  =",
    "audit trail": "U!UI  FFF  FFF  FFFFF  +",
    "role catalogue": "U!UI  FFF  FFF  FFFF+  +",
    "live: own access": "U!U!  ===  ===  =====  =",
    "live: a person": "U!U!  +--  +-+  +-+-+  +",
    "live: log": "U!U!  FFF  FFF  +-+-+  +",
}

_CONNECTION = "edges pageInfo totalCount changeCursor"
_FIELDS = {
    "Query": {
        "asking who one is": "viewer",
        "known to all": "organization organizations roles",
        "a person": "node nodes member members",
        "log": "syncLog",
        "anything of the log": "syncHealth",
        "audit trail": "auditTrail",
        "role catalogue": "sources reconciliations",
        "live: a person": "changes",
    },
    "Mutation": {
        "log": "replayEvents",
        "role catalogue": "setRoleAccess correctMembership startReconciliation releaseHeld "
        "acknowledgeConcern forgetMember",
    },
    "Subscription": {
        "live: own access": "viewerChanges",
        "live: a person": "memberChanges",
        "live: log": "syncLogChanges",
    },
    "Node": {"a person": "id"},
    "Viewer": {"own access": "id member accessLevel accesses national credentialsExpireAt"},
    "OrganizationAccess": {"own access": "id organization accessLevel"},
    "Member": {
        "a person": "id portalId memberNumber givenName familyName displayName email phone state "
        "stateChangedAt accessLevel organization roles updatedAt",
        "log of a person": "syncLog",
        "origin of a person": "provenance",
    },
    "PartProvenance": {"origin of a person": "part statedAt entry"},
    "RoleAssignment": {"a person": "id role organization since"},
    "MemberConnection": {"a person": _CONNECTION},
    "MemberEdge": {"a person": "cursor node"},
    "PageInfo": {"a person": "hasNextPage hasPreviousPage startCursor endCursor"},
    "Role": {"known to all": "id code name accessLevel decided holderCount"},
    "Organization": {
        "known to all": "id portalId name closed path parent children",
        "a person": "members",
        "to each by their sight": "viewerAccessLevel memberCount",
    },
    "OrganizationConnection": {"known to all": "edges pageInfo totalCount"},
    "OrganizationEdge": {"known to all": "cursor node"},
    "SyncLogConnection": {"log": _CONNECTION},
    "SyncLogEdge": {"log": "cursor node"},
    "SyncLogEntry": {
        "log": "id eventId source eventType occurredAt receivedAt processedAt status outcome "
        "detail attempts deliveries nextAttemptAt lagMs member organization changes attemptHistory",
        "body of an event": "payload",
    },
    "FieldChange": {"log": "field before after"},
    "SyncAttempt": {"log": "attemptedAt trigger status outcome detail actor reason"},
    "SyncHealth": {
        "anything of the log": "healthy summary lastReceivedAt waiting oldestWaitingSince dead "
        "lagP95Ms lastHour lastDay concerns hours rejections"
    },
    "Concern": {
        "anything of the log": "id kind source since state detail advice count acknowledgedAt "
        "acknowledgedBy entries",
    },
    "HourlyDeliveries": {"anything of the last hours": "begins counts"},
    "Rejections": {"anything of the log": "reason lastHour lastDay"},
    "DeliveryCounts": {
        "anything of the log": "received succeeded skipped waiting dead rejected",
    },
    "Source": {
        "role catalogue": "name scheme comparable lastReceivedAt lastAppliedAt receivedLastDay "
        "refusedLastDay missedLastDay reconciliation reconciliationRequestedAt"
    },
    "ReconciliationConnection": {"role catalogue": "edges pageInfo"},
    "ReconciliationEdge": {"role catalogue": "cursor node"},
    "Reconciliation": {
        "role catalogue": "id source kind status startedAt finishedAt detail compared created "
        "updated deactivated missing missed held unlisted dryRun drift heldRemovals"
    },
    "DriftConnection": {"role catalogue": "edges pageInfo"},
    "DriftEdge": {"role catalogue": "cursor node"},
    "DriftLine": {"role catalogue": "id portalId member field portal here action"},
    "HeldRemovalConnection": {"role catalogue": "edges pageInfo"},
    "HeldRemovalEdge": {"role catalogue": "cursor node"},
    "HeldRemoval": {"role catalogue": "id portalId member part portal heldSince"},
    "AuditTrailConnection": {"audit trail": "edges pageInfo"},
    "AuditTrailEdge": {"audit trail": "cursor node"},
    "AuditRecord": {
        "audit trail": "id recordedAt actor action entryCount entryIds roleCode detail",
    },
    "ReplayEventsSuccess": {"log": "dryRun matched changed outcomes statuses"},
    "OutcomeCount": {"log": "outcome count"},
    "StatusCount": {"log": "status count"},
    "ReplaySelectionError": {"anything of the log": "code message path"},
    "SetRoleAccessSuccess": {"role catalogue": "role holderCount"},
    "RoleNotFoundError": {"role catalogue": "code message path"},
    "LastAdministratorError": {"role catalogue": "code message path"},
    "CorrectMembershipSuccess": {
        "role catalogue": "dryRun status outcome detail changes member entry"
    },
    "MemberNotFoundError": {"role catalogue": "code message path"},
    "OrganizationNotFoundError": {"role catalogue": "code message path"},
    "CorrectionError": {"role catalogue": "code message path"},
    "StartReconciliationSuccess": {"role catalogue": "source requestedAt"},
    "StartReconciliationError": {"role catalogue": "code message path"},
    "ReleaseHeldSuccess": {"role catalogue": "reconciliation decided"},
    "ReleaseHeldError": {"role catalogue": "code message path"},
    "ForgetMemberSuccess": {"role catalogue": "report"},
    "ForgetMemberError": {"role catalogue": "code message path"},
    "AcknowledgeConcernSuccess": {"role catalogue": "concern"},
    "AcknowledgeConcernError": {"role catalogue": "code message path"},
    "UserError": {"role catalogue": "code message path"},
    "StreamHeartbeat": {"live: own access": "cursor serverTime"},
    "ResyncRequired": {"live: own access": "cursor reason"},
    "ViewerChange": {"live: own access": "cursor viewer occurredAt"},
    "MemberChangePage": {"live: own access": "changes cursor hasMore resync"},
    "MemberChange": {
        "live: a person": "cursor operation memberId removedMemberId member occurredAt"
    },
    "SyncLogChange": {"live: log": "cursor operation entryId entry occurredAt"},
}

LINES = {
    (type_name, field): right
    for type_name, rights in _FIELDS.items()
    for right, fields in rights.items()
    for field in fields.split()
}


def cells(right: str) -> dict[str, str]:
    """The sign of each viewer."""
    signs = RIGHTS[right].replace(" ", "")
    return dict(zip(VIEWERS, signs, strict=True))


_BY_MEMBER = "{ member(by: $who) { %s } }"
_MEMBERS = "{ members(filter: {search: $name}) { %s } }"
_LOG = "{ syncLog(filter: {memberId: $id}) { %s } }"
_ENTRIES = _LOG % "edges { node { %s } }"
_REPLAY = """mutation { replayEvents(input: {filter: {memberId: $id}, dryRun: true}) {
    ... on ReplayEventsSuccess { %s } } }"""
_SET_ACCESS = """mutation { setRoleAccess(input: {code: "%s", accessLevel: PEER_MENTOR}) {
    ... on %s { %s } } }"""
_CORRECT = """mutation { correctMembership(input: {portalId: "%s", dryRun: true, reason: "%s",
    %s}) { ... on %s { %s } } }"""
_RUNS = '{ reconciliations(source: "portal") { %s } }'
_RUN = _RUNS % "edges { node { %s } }"
_START = """mutation { startReconciliation(input: {source: "portal", reason: "asked"}) {
    ... on %s { %s } } }"""
_RELEASE = """mutation { releaseHeld(input: {reconciliationId: $run, release: true, reason: "%s"}) {
    ... on %s { %s } } }"""
_FORGET = """mutation { forgetMember(input: {portalId: "%s", reason: "%s"}) {
    ... on %s { %s } } }"""
_ACKNOWLEDGE = """mutation { acknowledgeConcern(input: {concernId: %s}) { ... on %s { %s } } }"""
_NO_CONCERN = '"Q29uY2Vybjox"'  # Concern:1
_KARI = guid("Kari")

WAYS = {
    "Query": "{ %s }",
    "Mutation": "mutation { %s }",
    "Node": "{ node(id: $id) { %s } }",
    "Viewer": "{ viewer { %s } }",
    "OrganizationAccess": "{ viewer { accesses { %s } } }",
    "Member": _BY_MEMBER,
    "PartProvenance": _BY_MEMBER % "provenance { %s }",
    "RoleAssignment": _BY_MEMBER % "roles { %s }",
    "MemberConnection": _MEMBERS,
    "MemberEdge": _MEMBERS % "edges { %s }",
    "PageInfo": _MEMBERS % "pageInfo { %s }",
    "Role": "{ roles { %s } }",
    "Organization": "{ organization(by: {id: $oslo}) { %s } }",
    "OrganizationConnection": "{ organizations { %s } }",
    "OrganizationEdge": "{ organizations { edges { %s } } }",
    "SyncLogConnection": _LOG,
    "SyncLogEdge": _LOG % "edges { %s }",
    "SyncLogEntry": _ENTRIES,
    "FieldChange": _ENTRIES % "changes { %s }",
    "SyncAttempt": _ENTRIES % "attemptHistory { %s }",
    "SyncHealth": "{ syncHealth { %s } }",
    "Concern": "{ syncHealth { concerns { %s } } }",
    "DeliveryCounts": "{ syncHealth { lastHour { %s } lastDay { %s } } }",
    "HourlyDeliveries": "{ syncHealth { hours { %s } } }",
    "Rejections": "{ syncHealth { rejections { %s } } }",
    "Source": "{ sources { %s } }",
    "ReconciliationConnection": _RUNS,
    "ReconciliationEdge": _RUNS % "edges { %s }",
    "Reconciliation": _RUN,
    "DriftConnection": _RUN % "drift { %s }",
    "DriftEdge": _RUN % "drift { edges { %s } }",
    "DriftLine": _RUN % "drift { edges { node { %s } } }",
    "HeldRemovalConnection": _RUN % "heldRemovals { %s }",
    "HeldRemovalEdge": _RUN % "heldRemovals { edges { %s } }",
    "HeldRemoval": _RUN % "heldRemovals { edges { node { %s } } }",
    "AuditTrailConnection": "{ auditTrail { %s } }",
    "AuditTrailEdge": "{ auditTrail { edges { %s } } }",
    "AuditRecord": "{ auditTrail { edges { node { %s } } } }",
    "ReplayEventsSuccess": _REPLAY,
    "OutcomeCount": _REPLAY % "outcomes { %s }",
    "StatusCount": _REPLAY % "statuses { %s }",
    "ReplaySelectionError": "mutation { replayEvents(input: {}) { ... on UserError { %s } } }",
    "SetRoleAccessSuccess": _SET_ACCESS % ("peer-mentor", "SetRoleAccessSuccess", "%s"),
    "RoleNotFoundError": _SET_ACCESS % ("no such role", "RoleNotFoundError", "%s"),
    "LastAdministratorError": _SET_ACCESS
    % ("organization-administrator", "LastAdministratorError", "%s"),
    "CorrectMembershipSuccess": _CORRECT
    % (_KARI, "Moved", 'profile: {phone: "1"}', "CorrectMembershipSuccess", "%s"),
    "MemberNotFoundError": _CORRECT
    % (guid("nobody"), "Moved", "state: INACTIVE", "MemberNotFoundError", "%s"),
    "OrganizationNotFoundError": _CORRECT
    % (_KARI, "Moved", 'organizationPortalId: "x"', "OrganizationNotFoundError", "%s"),
    "CorrectionError": _CORRECT % (_KARI, "", "state: INACTIVE", "CorrectionError", "%s"),
    "StartReconciliationSuccess": _START % ("StartReconciliationSuccess", "%s"),
    "StartReconciliationError": _START % ("StartReconciliationError", "%s"),
    "ReleaseHeldSuccess": _RELEASE % ("asked", "ReleaseHeldSuccess", "%s"),
    "ReleaseHeldError": _RELEASE % ("", "ReleaseHeldError", "%s"),
    "ForgetMemberSuccess": _FORGET % (guid("forgotten"), "asked", "ForgetMemberSuccess", "%s"),
    "ForgetMemberError": _FORGET % (_KARI, "", "ForgetMemberError", "%s"),
    "AcknowledgeConcernSuccess": _ACKNOWLEDGE % ("$concern", "AcknowledgeConcernSuccess", "%s"),
    "AcknowledgeConcernError": _ACKNOWLEDGE % (_NO_CONCERN, "AcknowledgeConcernError", "%s"),
    "UserError": _SET_ACCESS % ("no such role", "UserError", "%s"),
}
"""How something of each type is reached, by a query or mutation."""

_SELECTED = {
    ("Member", "syncLog"): "syncLog { totalCount edges { node { id } } }",
    ("Organization", "members"): "members(filter: {search: $name}) { edges { node { id } } }",
    ("Query", "node"): "node(id: $id) { id }",
    ("Query", "nodes"): "nodes(ids: [$id]) { id }",
    ("Query", "member"): "member(by: $who) { id }",
    ("Query", "members"): "members(filter: {search: $name}) { edges { node { id } } }",
    ("Query", "organization"): "organization(by: {id: $oslo}) { id }",
    ("Query", "syncLog"): "syncLog(filter: {memberId: $id}) { edges { node { id } } }",
    ("Mutation", "replayEvents"): "replayEvents(input: {filter: {memberId: $id}, dryRun: true}) "
    "{ ... on ReplayEventsSuccess { matched } }",
    ("Mutation", "setRoleAccess"): 'setRoleAccess(input: {code: "peer-mentor", '
    "accessLevel: PEER_MENTOR}) { __typename }",
    ("Mutation", "correctMembership"): f'correctMembership(input: {{portalId: "{_KARI}", '
    'reason: "Moved", state: INACTIVE, dryRun: true}) { __typename }',
    ("Mutation", "startReconciliation"): 'startReconciliation(input: {source: "portal", '
    'reason: "asked"}) { __typename }',
    ("Mutation", "releaseHeld"): "releaseHeld(input: {reconciliationId: $run, release: true, "
    'reason: "asked"}) { __typename }',
    ("Mutation", "forgetMember"): f'forgetMember(input: {{portalId: "{guid("forgotten")}", '
    'reason: "asked"}) { __typename }',
    ("Mutation", "acknowledgeConcern"): f"acknowledgeConcern(input: {{concernId: {_NO_CONCERN}}}) "
    "{ __typename }",
}
"""Fields that take arguments, or of which more must be asked to see anything."""

_VARIABLES = {
    **dict.fromkeys(("id", "oslo", "run", "concern"), "ID!"),
    "who": "MemberLookup!",
    "name": "String!",
}


def document(type_name: str, selections: Sequence[str]) -> str:
    """The query or mutation that asks for these fields of the type."""
    text = WAYS[type_name].replace("%s", " ".join(selections))
    used = [f"${name}: {kind}" for name, kind in _VARIABLES.items() if f"${name}" in text]
    if not used:
        return text
    operation = "mutation" if text.startswith("mutation") else "query"
    return f"{operation} ({', '.join(used)}) {text.removeprefix('mutation ')}"


def selection(type_name: str, field: str, *, composite: bool) -> str:
    """`composite`: the field has fields of its own."""
    plain = f"{field} {{ __typename }}" if composite else field
    return _SELECTED.get((type_name, field), plain)


def variables(text: str, person: str, ids: dict[str, str]) -> dict[str, Any]:
    """Those that the document takes, when it is about this person."""
    given = {
        "id": ids[person],
        "who": {"portalId": guid(person)},
        "name": person,
        "oslo": ids["Oslo"],
        "run": ids["decided run"],
        "concern": ids["concern"],
    }
    return {name: value for name, value in given.items() if f"${name}:" in text}


BELONGING_TO_NOBODY = {
    "homeless": None,
    "of a chapter without a known parent": {"id": guid("Stub"), "name": "Stub"},
    "of another root": organization("Splinter", None),
    "below another root": organization("Splinter Oslo", "Splinter"),
    "in a cycle": organization("Circle", "Ring"),
}
"""Members whose place is not below the national body, with their chapters."""
WITHIN_ANOTHER_ROOT = {"of another root", "below another root"}


def cells_about(person: str, right: str) -> dict[str, str]:
    """The sign of each viewer where somebody who belongs to nobody is asked for."""
    about_kari = cells(right)
    seen_by = {"admin of the national body", "operator"}
    # Who does not see a person does not get as far as to their log.
    stays = "U!I" if right == "log of a person" else "U!IF"
    found = {
        viewer: sign if sign in stays or viewer in seen_by else "-"
        for viewer, sign in about_kari.items()
    }
    if person in WITHIN_ANOTHER_ROOT:
        found["admin of another root"] = about_kari["admin"]
    return found


async def found_larger_association(service: Service) -> dict[str, str]:
    """Founds the association of the other tests with more people around it.

    Returns the ids of Kari, of nobody, of those who belong to nobody, and of Oslo.
    """
    await found_association(service)
    admin = role("organization-administrator")
    await service.tell(
        created("admin of Splinter", organization=organization("Splinter", None), roles=[admin]),
        *(
            created(name, 1, organization=place, profile={"givenName": name})
            for name, place in BELONGING_TO_NOBODY.items()
            if place is not None
        ),
        updated("homeless", profile={"givenName": "homeless"}),
        updated("in a cycle", 2, organization=organization("Ring", "Circle")),
    )
    oslo_county = organization("Oslo county", "HLF")
    await service.tell(
        created("Ola", organization=chapter("Oslo"), profile={"givenName": "Ola"}),
        created("admin of Oslo county", organization=oslo_county, roles=[admin]),
        # So that every field of hers holds something.
        created(
            "Kari",
            1,
            organization=chapter("Oslo"),
            profile={
                "givenName": "Kari",
                "familyName": "Nordmann",
                "memberNumber": "104233",
                "email": "kari@example.no",
                "phone": "+4790000000",
            },
        ),
    )
    await compared_with_a_file(service.settings.database_url, "Kari")
    await compared_with_a_file(service.settings.database_url, "Per", source="decided")
    found = await service.data(
        "query ($who: MemberLookup!) { member(by: $who) { id organization { id } } }",
        who={"portalId": guid("Kari")},
    )
    runs = await service.data('{ reconciliations(source: "decided") { edges { node { id } } } }')
    decided = runs["reconciliations"]["edges"][0]["node"]["id"]
    # Nothing is left to decide there, so that everybody is answered the same.
    await service.data(
        """mutation ($run: ID!) { releaseHeld(input: {reconciliationId: $run, release: false,
        reason: "asked"}) { __typename } }""",
        run=decided,
    )
    health = await service.data("{ syncHealth { concerns { id kind } } }")
    concerns = {it["kind"]: it["id"] for it in health["syncHealth"]["concerns"]}
    nobody = "TWVtYmVyOjk5OTk5OQ"  # Member:999999
    everybody = await service.data("{ members(first: 100) { edges { node { id givenName } } } }")
    ids = {edge["node"]["givenName"]: edge["node"]["id"] for edge in everybody["members"]["edges"]}
    return {
        **{name: ids[name] for name in BELONGING_TO_NOBODY},
        "Kari": found["member"]["id"],
        "nobody": nobody,
        "Oslo": found["member"]["organization"]["id"],
        "decided run": decided,
        "concern": concerns["HELD"],
    }
