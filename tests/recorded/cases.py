"""What is sent to the service whose answers are recorded: register, variables and mistakes.

"@Kari" in variables stands for the id of Kari, or of the chapter or the event that is named so;
"@after Kari" for the cursor at which Kari stands in the list; "@changes" for a place in the feed;
"@operator" for the credentials of an operator.
"""

from typing import Any

from tests.support.builders import (
    body_of,
    created,
    deactivated,
    event,
    guid,
    organization,
    reactivated,
    role,
    role_updated,
    updated,
)

Variables = dict[str, Any]

# Whom the members of the register are; None is an operator.
VIEWERS = {
    "operator": None,
    "national administrator": "Berit",
    "administrator": "Anders",
    "coordinator": "Kåre",
    "peer mentor": "Per",
    "member": "Kari",
}
REFUSED = {"inactive member": "Ola", "person not known": "Nobody"}

COUNTY = organization("HLF Oslo fylke", "HLF")
OSLO = organization("HLF Oslo", "HLF Oslo fylke")
ALESUND = organization("HLF Ålesund", "HLF Møre og Romsdal")


def _joined(name: str, at: float, home: dict[str, Any], *codes: str, **more: Any) -> dict[str, Any]:
    profile = {"givenName": name, "familyName": "Æresdal", "memberNumber": str(1000 + int(at))}
    profile |= {"email": f"{name.lower()}@example.no".replace("å", "a"), **more}
    return created(
        name, at, organization=home, roles=[role(code) for code in codes], profile=profile
    )


# Each is an event id and what is delivered under it, signed. Why events are rejected differs in how
# often it comes: reasons that are equally frequent come in an order that is not promised.
REGISTER: list[tuple[str, dict[str, Any] | bytes]] = [
    ("evt_berit", _joined("Berit", 1, organization("HLF"), "organization-administrator")),
    ("evt_anders", _joined("Anders", 2, COUNTY, "organization-administrator")),
    ("evt_kare", _joined("Kåre", 3, OSLO, "coordinator", "member")),
    ("evt_per", _joined("Per", 4, OSLO, "peer-mentor", phone="+47 900 00 000")),
    ("evt_kari", _joined("Kari", 5, OSLO, "member", familyName='Nord"mann\\')),
    ("evt_ola", _joined("Ola", 6, OSLO, "member")),
    ("evt_ase", _joined("Åse", 7, ALESUND, "member", "storyteller")),
    ("evt_place", updated("Åse", 8, organization=organization("HLF Møre og Romsdal", "HLF"))),
    ("evt_back", updated("Åse", 9, organization=ALESUND, profile={"email": None})),
    ("evt_ola_left", deactivated("Ola", 10, reason="Flyttet til utlandet")),
    ("evt_unseen", role_updated("Unni", 11, roles=[role("peer-mentor", "HLF Oslo")])),
    ("evt_unseen_left", deactivated("Nils", 12)),
    ("evt_kari_left", deactivated("Kari", 13)),
    ("evt_kari_back", reactivated("Kari", 14)),
    ("evt_stale", updated("Kari", 0, profile={"givenName": "Karen"})),
    ("evt_unchanged", updated("Kari", 15, profile={"givenName": "Kari"})),
    ("evt_unknown_type", event("newsletter-opened", "Kari", 16)),
    ("evt_kari", _joined("Kari", 5, OSLO, "member", familyName='Nord"mann\\')),
    ("evt_kari", deactivated("Kari", 17)),
    *((f"evt_not_json_{number}", b"{") for number in range(2)),
    *((f"evt_no_event_{number}", b'{"type": "role-updated", "data": 7}') for number in range(3)),
]
# Told after the place "@changes", and while subscribers listen.
LATER = [updated("Kari", 20, profile={"phone": "20"}), updated("Åse", 21, profile={"phone": "21"})]
SEEN_LATER = {"operator": 2, "national administrator": 2, "peer mentor": 0}
"""How many of these a viewer is told of; the others, of one."""

LIVE = [role_updated("Kari", 30, roles=[role("peer-mentor")]), deactivated("Kari", 31)]

# Operation, variables, and how many messages come at the least; for an operator.
SUBSCRIPTIONS: list[tuple[str, Variables, int]] = [
    ("MemberChanges", {"after": "@changes", "organizationId": "@HLF Ålesund"}, 2),
    ("MemberChanges", {"after": "@changes", "filter": {"search": "kari"}}, 2),
    ("MemberChanges", {"organizationId": "@Kari"}, 1),
    ("MemberChanges", {"after": "@Kari"}, 1),
    ("MemberChanges", {"after": "MDAwMDAwMDA6NQ"}, 1),
    ("SyncLogChanges", {"after": "@changes", "filter": {"memberId": "@Åse"}}, 2),
]
FOLLOWERS = [
    ("operator", "MemberChanges"),
    ("administrator", "SyncLogChanges"),
    ("coordinator", "MemberChanges"),
    ("member", "ViewerChanges"),
]
"""Each is told of every event of LIVE, or is told why not."""

OSLO_ONLY = {"organizationId": "@HLF Oslo"}
NOT_APPLIED = {"filter": {"status": ["REJECTED"]}}
# By operation; one that is not here has no variables. All who see something send all of them, and
# those who see nothing send the first.
CASES: dict[str, list[Variables]] = {
    "Organizations": [{}, {"after": "@after HLF Oslo"}, {"after": "@after Kari"}],
    "SyncLog": [
        {"first": 3},
        {**OSLO_ONLY, "filter": {"outcome": ["CREATED", "STALE"]}},
        {"first": 2, "after": "@after evt_no_event_1", **NOT_APPLIED},
        {"first": 101},
        {"filter": {"status": ["NEVER"]}},
    ],
    "EntryCount": [{}, NOT_APPLIED, {"filter": {"memberId": "@Kari"}}, {"organizationId": "@Kari"}],
    "Entry": [{"id": "@evt_per"}, {"id": "@evt_stale"}, {"id": "@HLF Oslo"}, {"id": "x"}],
    "EntryPayload": [{"id": "@evt_ola_left"}, {"id": "@evt_not_json_0"}],
    "Member": [
        {"id": "@Kari", "history": 9, "withHistory": True},
        {"id": "@Åse", "history": 0, "withHistory": True},
        {"id": "@evt_per", "history": 1, "withHistory": False},
        {"id": "@Kari", "history": 1},
    ],
    "Members": [
        {},
        {"first": 2},
        {"first": 2, "after": "@after Anders"},
        {"last": 2, "before": "@after Per", **OSLO_ONLY},
        {"filter": {"search": "å", "state": ["ACTIVE"]}, "orderBy": {"field": "MEMBER_NUMBER"}},
        {"orderBy": {"field": "UPDATED_AT", "direction": "DESC"}},
        {"first": 101},
        {"first": 1, "last": 1},
        {"after": "nonsense"},
    ],
    "MemberCount": [
        {},
        {"filter": {"role": ["storyteller"]}},
        {"filter": {"changedSince": "soon"}},
    ],
    "Page": [{}, {"after": "@after Kari"}],
    "Organization": [{"id": "@HLF Ålesund"}, {"id": "@Kari"}],
    "Nodes": [{"ids": ["@Åse", "@HLF", "@evt_per", "TWVtYmVyOjk5OTk5"]}],
    "ByPortalId": [{"id": guid("Kari")}, {"id": guid("Nobody")}],
    "Replay": [
        {"input": {"filter": {"outcome": ["STALE"]}, "dryRun": True}},
        {"input": {"ids": ["@evt_per"], "reason": "Because"}},
        {"input": {}},
        {"input": {"ids": ["@Kari"]}},
    ],
    "SetRoleAccess": [
        {"input": {"code": "storyteller", "accessLevel": "COORDINATOR"}},
        {"input": {"code": "nobody's", "accessLevel": "NONE"}},
    ],
}


def variables_of(text: str, name: str) -> list[Variables]:
    """Those of the operation that this document takes: another one may have the same name."""
    given = CASES.get(name, [])
    return [case for case in given if all(f"${variable}" in text for variable in case)] or [{}]


# Asked by an operator after what the mutations changed.
AFTERWARDS = {"Roles": {}, "Entry": {"id": "@evt_per"}, "AuditTrail": {}}

NAMES = "query Names { members { edges { node { displayName } } } }"
SET = 'mutation { setRoleAccess(input: {code: "member", accessLevel: ADMIN}) { __typename } }'
MISTAKES = [
    "",
    "{",
    "{ nothing }",
    "{ members(first: -1, size: 2) { totalCount } }",
    "query ($n: Int!) { members(first: $n) { totalCount } }",
    "query A { viewer { accessLevel } } query B { viewer { accessLevel } }",
    "subscription { memberChanges { __typename } }",
    "{ members(first: 100) { edges { node { syncLog(first: 100) { edges { cursor } } } } } }",
    "{ " + " ".join(f"a{number}: viewer {{ accessLevel }}" for number in range(60)) + " }",
    "{ roles { " + " ".join(f"a{number}: code" for number in range(60)) + " } }",
    "{ organizations { edges { node " + "{ parent " * 14 + "{ id " + "} " * 18,
    "{ roles { " + "code " * 900 + "} }",
]
JSON = {"content-type": "application/json"}
# Method, path, headers and body of what is no proper request.
REQUESTS: list[tuple[str, str, dict[str, str], bytes]] = [
    ("GET", "/graphql?query={viewer{accessLevel}}", {}, b""),
    ("GET", "/graphql", {}, b""),
    ("GET", f"/graphql?query={SET}", {}, b""),
    ("PUT", "/graphql", JSON, b"{}"),
    *(("POST", "/graphql", JSON, body) for body in (b"", b"{", b"[]", b"{}", b'{"query": 7}')),
    ("POST", "/graphql", JSON, b'{"query": "{ viewer { accessLevel } }", "variables": 7}'),
    ("POST", "/graphql", JSON, b'{"query": "{ viewer { accessLevel } }", "operationName": "B"}'),
    ("POST", "/graphql", JSON, b'{"documentId": "' + b"0" * 64 + b'"}'),
    ("POST", "/graphql", JSON, b'{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "'
        + b"0" * 64 + b'"}}}'),
    ("POST", "/graphql", JSON, b" " * 131073),
    ("POST", "/graphql", {"content-type": "text/plain"}, b"{}"),
    ("POST", "/graphql", {**JSON, "accept": "text/html"}, b'{"query": "{ nothing }"}'),
    ("POST", "/graphql", {**JSON, "accept": "text/event-stream"}, b'{"query": "{ nothing }"}'),
    ("POST", "/graphql", {**JSON, "authorization": "Basic eA=="}, b'{"query": "{ nothing }"}'),
    *(("GET", path, {}, b"") for path in ("/healthz", "/readyz", "/sign-in", "/nothing")),
    *(("GET", path, {}, b"") for path in ("/graphql/", "/webhooks/", "/webhooks/portal")),
    ("OPTIONS", "/webhooks/portal", {"webhook-request-origin": "example.no"}, b""),
    ("POST", "/healthz", JSON, b"{}"),
]  # fmt: skip

PIA = created("Pia", 40, organization=OSLO)
# An event id, what is delivered under it, and what the delivery has in the place of what is right:
# a header, with _ for -, or `secret` or `source`.
DELIVERIES: dict[str, tuple[str, dict[str, Any] | bytes, dict[str, str]]] = {
    "created": ("evt_pia", PIA, {}),
    "repeated": ("evt_pia", PIA, {}),
    "the same in other bytes": ("evt_pia", body_of(PIA) + b" ", {}),
    "a conflict": ("evt_pia", deactivated("Pia", 41), {}),
    "a conflict, repeated": ("evt_pia", deactivated("Pia", 41), {}),
    "updated": ("evt_d1", updated("Pia", 41, profile={"phone": "4", "email": None}), {}),
    "nothing left to do": ("evt_d2", updated("Pia", 41, profile={"phone": "4"}), {}),
    "stale": ("evt_d3", updated("Pia", 39, profile={"phone": "5"}), {}),
    "an unknown role": ("evt_d4", role_updated("Pia", 42, roles=[role("juggler")]), {}),
    "deactivated": ("evt_d5", deactivated("Pia", 43), {}),
    "reactivated": ("evt_d6", reactivated("Pia", 44), {}),
    "an unknown person": ("evt_d7", deactivated("Quentin", 45), {}),
    "an unknown type": ("evt_d8", event("membership-frozen", "Pia", 46), {}),
    "a type like a known one": ("evt_d9", event("Membership_Updated", "Pia", 46), {}),
    "a blank person": ("evt_d10", {**PIA, "data": {**PIA["data"], "member": {"id": " "}}}, {}),
    "not JSON": ("evt_d11", b"{", {}),
    "an empty body": ("evt_d12", b"", {}),
    "no object": ("evt_d13", b"[]", {}),
    "no time": ("evt_d14", {**PIA, "timestamp": "today"}, {}),
    "no roles": ("evt_d15", event("role-updated", "Pia", 47), {}),
    "no organization": ("evt_d16", event("membership-created", "Pia", 47), {}),
    "a control character": ("evt_d17", updated("Pia", 47, profile={"phone": "4\x00"}), {}),
    "a long text": ("evt_d18", updated("Pia", 47, profile={"givenName": "x" * 5000}), {}),
    "a time to come": ("evt_d19", {**PIA, "timestamp": "9024-01-01T00:00:00Z"}, {}),
    "no signature": ("evt_d20", PIA, {"webhook_signature": ""}),
    "a wrong signature": ("evt_d21", PIA, {"webhook_signature": "v1,AAAA"}),
    "a stale signature": ("evt_d22", PIA, {"webhook_timestamp": "1000000000"}),
    "a time in words": ("evt_d23", PIA, {"webhook_timestamp": "yesterday"}),
    "another secret": ("evt_d24", PIA, {"secret": "whsec_" + "QUFB" * 8}),
    "an unknown source": ("evt_d25", PIA, {"source": "nobody"}),
    "a source with a slash": ("evt_d26", PIA, {"source": "portal/"}),
    "another content type": ("evt_d27", PIA, {"content_type": "text/plain"}),
    "a content type of JSON": ("evt_d28", PIA, {"content_type": "application/cloudevents+json"}),
    "a compressed body": ("evt_d29", PIA, {"content_encoding": "gzip"}),
    "too large": ("evt_d30", b" " * (1024 * 1024 + 1), {}),
}  # fmt: skip

INIT = {"type": "connection_init"}
OPERATOR = {**INIT, "payload": "@operator"}
PING: Variables = {"type": "ping"}


def subscribe(query: str, **variables: Any) -> Variables:
    payload = {"query": query, "variables": variables}
    return {"type": "subscribe", "id": "1", "payload": payload}


# What is sent over a socket. Each conversation ends by itself or with the third message that comes.
CONVERSATIONS: dict[str, list[Variables]] = {
    "no initialisation": [subscribe(NAMES)],
    "two initialisations": [INIT, INIT],
    "a wrong payload": [{**INIT, "payload": 7}],
    "other credentials": [{**INIT, "payload": {"authorization": "Bearer nonsense"}}],
    "nobody asks": [INIT, subscribe(NAMES)],
    "nobody listens": [INIT, subscribe("subscription { memberChanges { __typename } }")],
    "an unknown type": [INIT, {"type": "start"}],
    "no id": [INIT, {**subscribe(NAMES), "id": None}],
    "a ping": [PING, INIT, PING],
    "a document that cannot be read": [INIT, subscribe("subscription {")],
    "an unknown field": [INIT, subscribe("subscription { nothing }")],
    "a query": [OPERATOR, subscribe(NAMES)],
}
