"""Every field × every kind of viewer, over real HTTP and real sockets, as the table says."""

import itertools
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    get_named_type,
    is_composite_type,
)

from app.settings import Settings
from schema.build import build_schema
from tests.access.matrix import (
    BELONGING_TO_NOBODY,
    LINES,
    VIEWERS,
    cells,
    cells_about,
    document,
    found_larger_association,
    selection,
    variables,
)
from tests.support.builders import guid, updated
from tests.support.service import Service
from tests.support.sockets import Socket, opened
from tests.support.statements import of_requests, recorded

_LIVE = "live: "
_ABOUT_A_PERSON = {"a person", "log of a person", "origin of a person", "log", "body of an event"}
_CODES = {"U": "UNAUTHENTICATED", "I": "MEMBER_INACTIVE", "F": "FORBIDDEN"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Names the national body, since there is another root with chapters below it."""
    return settings.model_copy(update={"national_body": guid("HLF")})


def fields_of_the_schema() -> dict[tuple[str, str], GraphQLField]:
    types = build_schema()._schema.type_map
    return {
        (name, field_name): field
        for name, type in types.items()
        if isinstance(type, GraphQLObjectType | GraphQLInterfaceType) and not name.startswith("__")
        for field_name, field in type.fields.items()
    }


def test_every_field_of_the_schema_has_a_line_in_the_table() -> None:
    fields = set(fields_of_the_schema())

    missing = [f"{type}.{field}" for type, field in sorted(fields - set(LINES))]
    gone = [f"{type}.{field}" for type, field in sorted(set(LINES) - fields)]
    assert missing == [], "Say in tests/access/matrix.py who may see these."
    assert gone == []


def token_of(service: Service, viewer: str) -> str | None:
    if viewer == "anonymous":
        return None
    lifetime = timedelta(seconds=-1) if viewer == "expired token" else timedelta(hours=1)
    return service.token(VIEWERS[viewer], lifetime)


async def asked(
    service: Service, viewer: str, text: str, about: dict[str, Any]
) -> tuple[int, dict[str, Any], int]:
    """Status, answer without what it says of its cost, and how many statements it took."""
    token = token_of(service, viewer)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with recorded() as statements:
        response = await service.http.post(
            f"{service.url}/graphql", json={"query": text, "variables": about}, headers=headers
        )
    answer: dict[str, Any] = response.json()
    answer.pop("extensions", None)
    return response.status_code, answer, len(of_requests(statements))


def documents() -> dict[tuple[str, str], str]:
    """One for the fields of a type that have the same right."""
    fields = fields_of_the_schema()
    selections: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for (type, field), right in LINES.items():
        if not right.startswith(_LIVE):
            composite = is_composite_type(get_named_type(fields[type, field].type))
            selections[type, right].append(selection(type, field, composite=composite))
    return {(type, right): document(type, fields) for (type, right), fields in selections.items()}


def is_empty(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(is_empty, value.values()))
    return all(map(is_empty, value)) if isinstance(value, list) else not value


def codes(answer: dict[str, Any]) -> set[str]:
    return {error["extensions"]["code"] for error in answer.get("errors", ())}


async def mistakes(
    service: Service, type: str, right: str, person: str, signs: dict[str, str], ids: dict[str, str]
) -> list[str]:
    """Asks about the person as every viewer, and returns where an answer differs from its sign."""
    text = documents()[type, right]
    about, about_nobody = (variables(text, name, ids) for name in (person, "nobody"))
    _, expected, _ = await asked(service, "operator", text, about)
    assert "errors" not in expected, (text, expected)
    wrong = []
    for viewer, sign in signs.items():
        status, answer, count = await asked(service, viewer, text, about)
        if sign == "!":
            good = status == 401 and codes(answer) == {"UNAUTHENTICATED"}
        elif sign in _CODES:
            good = codes(answer) == {_CODES[sign]} and not any((answer["data"] or {}).values())
        elif sign == "+":
            good = answer == expected
        elif sign == "=":
            good = "errors" not in answer and all(answer["data"].values())
        elif sign == "0":
            good = "errors" not in answer and is_empty(answer["data"])
        else:
            # What is not there takes as long to find as what must not be seen.
            _, absent, count_of_absent = await asked(service, viewer, text, about_nobody)
            good = answer == absent and count == count_of_absent and answer != expected
        if not good:
            wrong.append(f"{type}, {right}, for {viewer}: not {sign!r} but {status} {answer}")
    return wrong


async def test_every_field_is_given_to_those_whom_the_table_names_and_to_nobody_else(
    service: Service,
) -> None:
    ids = await found_larger_association(service)

    wrong = []
    for type, right in documents():
        wrong += await mistakes(service, type, right, "Kari", cells(right), ids)

    assert wrong == []


@pytest.mark.parametrize("person", BELONGING_TO_NOBODY)
async def test_those_who_belong_to_nobody_are_shown_to_the_national_body_alone(
    service: Service, person: str
) -> None:
    ids = await found_larger_association(service)

    wrong = []
    for (type, right), text in documents().items():
        # Nobody of them is in Oslo, whose members the table asks for.
        if right in _ABOUT_A_PERSON and "$oslo" not in text:
            wrong += await mistakes(service, type, right, person, cells_about(person, right), ids)

    assert wrong == []


_ENVELOPE = """... on StreamHeartbeat { cursor serverTime }
    ... on ResyncRequired { cursor reason }"""
SUBSCRIPTIONS = {
    "viewerChanges": """subscription { viewerChanges { __typename %s
        ... on ViewerChange { cursor viewer { member { id } accessLevel } occurredAt } } }""",
    "memberChanges": """subscription { memberChanges { __typename %s ... on MemberChange {
        cursor operation memberId member { id email phone } occurredAt } } }""",
    "syncLogChanges": """subscription { syncLogChanges { __typename %s ... on SyncLogChange {
        cursor operation entryId entry { id member { id } changes { after } } occurredAt } } }""",
}
Messages = list[dict[str, Any]]


@dataclass
class Watcher:
    """A viewer with one subscription on a socket of their own."""

    viewer: str
    field: str
    socket: Socket
    member_id: str

    async def first(self) -> str:
        """The sign of how it begins: = for a stream that is served."""
        ack = await self.socket.next()
        if not ack:
            return "!" if self.socket.connection.close_code == 4403 else "?"
        await self.socket.subscribe("1", SUBSCRIPTIONS[self.field] % _ENVELOPE)
        message = await self.socket.next()
        payload = message["payload"]
        if message["type"] == "next" and "errors" not in payload:
            heartbeat = payload["data"][self.field]
            assert heartbeat["__typename"] == "StreamHeartbeat"
            assert heartbeat["cursor"]
            assert heartbeat["serverTime"]
            return "="
        (error,) = payload if message["type"] == "error" else payload["errors"]
        signs = {code: sign for sign, code in _CODES.items()}
        return signs[error["extensions"]["code"]]

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> Messages:
        """Everything up to the message that is wanted, without heartbeats."""
        messages: Messages = []
        while not messages or not wanted(messages[-1]):
            payload = (await self.socket.next())["payload"]
            assert "errors" not in payload, (self.viewer, payload)
            message = payload["data"][self.field]
            if message["__typename"] != "StreamHeartbeat":
                messages.append(message)
        return messages

    def is_about_the_viewer(self, message: dict[str, Any]) -> bool:
        return whom(message) == self.member_id


def whom(message: dict[str, Any]) -> str:
    """The id of the member that a change is about."""
    holder = message.get("entry") or message.get("viewer") or message
    id: str = holder["member"]["id"]
    return id


async def test_every_subscription_delivers_to_those_whom_the_table_names_and_to_nobody_else(
    service: Service,
) -> None:
    ids = await found_larger_association(service)
    known = await service.data("{ members(first: 100) { edges { node { id givenName } } } }")
    by_name = {edge["node"]["givenName"]: edge["node"]["id"] for edge in known["members"]["edges"]}
    async with AsyncExitStack() as stack:
        watchers = []
        for field, viewer in itertools.product(SUBSCRIPTIONS, VIEWERS):
            opening = opened(service.url, token_of(service, viewer))
            socket = await stack.enter_async_context(opening)
            member = VIEWERS[viewer]
            watcher = Watcher(viewer, field, socket, by_name.get(member or "", ids["Kari"]))
            sign = cells(LINES["Subscription", field])[viewer]
            assert await watcher.first() == ("=" if sign in "+-" else sign), (field, viewer)
            if sign in "+-=":
                watchers.append(watcher)

        # Kari changes, then everybody who watches, which each of them sees in any case.
        people = dict.fromkeys(["Kari", *(VIEWERS[w.viewer] for w in watchers)])
        phone = {"phone": "+4799999999"}
        await service.tell(*(updated(name, 9, profile=phone) for name in people if name))
        received = {}
        for watcher in watchers:
            if (watcher.field, watcher.viewer) == ("viewerChanges", "operator"):
                continue
            told = await watcher.until(watcher.is_about_the_viewer)
            received[watcher.field, watcher.viewer] = told
        for (field, viewer), messages in received.items():
            of_kari = [message for message in messages if whom(message) == ids["Kari"]]
            sign = cells(LINES["Subscription", field])[viewer]
            if sign == "+":
                assert of_kari[:1] == received[field, "operator"][:1], (field, viewer)
            elif sign == "-":
                assert of_kari == [], (field, viewer)
            else:
                assert [whom(m) for m in messages] == [messages[-1]["viewer"]["member"]["id"]]

        # What roles give concerns everybody at once.
        change = 'setRoleAccess(input: {code: "member", accessLevel: PEER_MENTOR})'
        await service.data(f"mutation {{ {change} {{ __typename }} }}")
        for watcher in watchers:
            if watcher.field == "viewerChanges":
                (message,) = await watcher.until(lambda message: True)
                assert message["__typename"] == "ViewerChange"
            else:
                messages = await watcher.until(lambda m: m["__typename"] == "ResyncRequired")
                assert messages[-1]["reason"] == "ACCESS_CHANGED"
                assert messages[-1]["cursor"]
