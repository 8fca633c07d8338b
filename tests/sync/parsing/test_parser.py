"""The parser: what it reads, what it refuses, and that nothing unclean gets past it."""

import json
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET

from db.vocabulary import canonical_portal_id
from sync.errors import NotAnEventError, NotJsonError
from sync.events import (
    Event,
    EventType,
    OrganizationStatement,
    RoleStatement,
    UnknownEvent,
    parse_event,
)
from tests.support.builders import (
    body_of,
    created,
    deactivated,
    guid,
    organization,
    role,
    role_updated,
    updated,
)

KARI = "6d81597f-0f9f-e711-8122-000d3aa2331c"


def parsed(event: dict[str, Any]) -> Event:
    found = parse_event(body_of(event))
    assert isinstance(found, Event)
    return found


def with_member_id(id: object) -> dict[str, Any]:
    event = created()
    event["data"]["member"]["id"] = id
    return event


def test_creation_tells_the_whole_profile() -> None:
    event = parsed(created("Kari", profile={"givenName": "Kari"}, roles=[role("member", "HLF")]))

    assert event.type is EventType.MEMBERSHIP_CREATED
    assert event.member_id == guid("Kari")
    assert event.profile == {
        "member_number": None,
        "given_name": "Kari",
        "family_name": None,
        "email": None,
        "phone": None,
    }
    assert event.organization == OrganizationStatement(guid("HLF Oslo"), "HLF Oslo", None)  # type: ignore[arg-type]  # a GUID
    assert event.roles == {RoleStatement("member", guid("HLF"))}  # type: ignore[arg-type]  # a GUID


def test_creation_without_roles_tells_that_there_are_none() -> None:
    event = created()
    del event["data"]["roles"]

    assert parsed(event).roles == frozenset()


def test_update_tells_only_what_it_names() -> None:
    event = parsed(updated(profile={"phone": None, "email": "kari@example.no"}))

    assert event.profile == {"phone": None, "email": "kari@example.no"}
    assert event.organization is UNSET
    assert event.roles is None


def test_null_means_cleared_only_in_an_update() -> None:
    null: dict[str, Any] = {"profile": {"phone": None}, "organization": None}

    cleared, silent = parsed(updated(**null)), parsed(deactivated(**null))

    assert (cleared.profile, cleared.organization) == ({"phone": None}, None)
    assert (silent.profile, silent.organization) == ({}, UNSET)


def test_roles_of_an_event_that_is_not_about_roles_are_not_read() -> None:
    assert parsed(updated(roles=[role("coordinator")])).roles is None


def test_empty_and_blank_text_is_no_text() -> None:
    event = parsed(updated(profile={"phone": "", "email": "   ", "givenName": " Kari "}))

    assert event.profile == {"phone": None, "email": None, "given_name": "Kari"}


def test_letters_are_composed() -> None:
    event = parsed(updated(profile={"givenName": unicodedata.normalize("NFD", "Åse")}))

    assert event.profile == {"given_name": "Åse"}


@pytest.mark.parametrize(
    "written", [KARI.upper(), f"{{{KARI}}}", KARI.replace("-", ""), f" {KARI} "]
)
def test_guid_is_the_same_however_it_is_written(written: str) -> None:
    assert parsed(with_member_id(written)).member_id == KARI


def test_id_that_is_no_guid_is_kept_as_it_is() -> None:
    assert parsed(with_member_id("Contact-17")).member_id == "Contact-17"


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-23T09:30:00Z",
        "2026-11-23T10:30:00+01:00",
        "2026-11-23t09:30:00.000z",
        "2026-11-23T04:00:00-05:30",
    ],
)
def test_time_is_in_utc_however_it_is_written(written: str) -> None:
    event = parsed({**updated(), "timestamp": written})

    assert event.occurred_at == datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    assert event.occurred_at.tzinfo is UTC


def test_unknown_fields_are_ignored_everywhere() -> None:
    event = created(
        organization={**organization(), "founded": 1947}, roles=[{"code": "member", "x": 1}]
    )
    event["data"]["member"]["shoeSize"] = 44
    event["data"]["campaign"] = {"deep": [1]}
    event["version"] = 3

    assert parsed(event).member_id == guid("Kari")


def test_type_that_is_not_known_is_an_unknown_event() -> None:
    assert parse_event(b'{"type": "newsletter-opened"}') == UnknownEvent("newsletter-opened")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b"not json",
        b'{"type": "membership-created"} trailing',
        b'{"type": "\xff"}',
        b'{"type": "\xc3"}',
        b"\xef\xbb\xbf{}x",
        b'{"type": "membership-updated", "timestamp": "2026-11-23T09:30:00Z", "data": {"member":'
        b' {"id": "x", "givenName": "\\ud800"}}}',
        b'{"type": "membership-created", "data": [1, 2',
        b'{"x":' * 100_000,
        b'{"type": "membership-updated", "timestamp": nan, "data": {}}',
    ],
)
def test_body_that_is_not_json_is_told_so(body: bytes) -> None:
    with pytest.raises(NotJsonError):
        parse_event(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"type": "\xff"}',
        b'{"type": "membership-updated", "timestamp": "2026-11-23T09:30:00Z", "data": {"member":'
        b' {"id": "x", "givenName": "K\xffri"}}}',
    ],
)
def test_what_is_not_utf_8_is_told_with_its_place_in_the_body(body: bytes) -> None:
    with pytest.raises(NotJsonError, match=rf"in position {body.index(0xFF)}:"):
        parse_event(body)


@pytest.mark.parametrize("name", ["\\ud83d", "K\\ud83dri", "\\ud83d\\u0041", "\\ude00 Kari"])
def test_half_a_character_is_not_told_as_a_body_that_was_cut_off(name: str) -> None:
    body = (
        '{"type": "membership-updated", "timestamp": "2026-11-23T09:30:00Z", "data": {"member": '
        f'{{"id": "x", "givenName": "{name}"}}}}}}'
    )

    with pytest.raises(NotJsonError, match=r"`\\ud83d` is half|`\\ude00` is half"):
        parse_event(body.encode())


@pytest.mark.parametrize(
    ("event", "where"),
    [
        ([], "`$`"),
        ({}, "`type`"),
        ({"type": None}, "`$.type`"),
        ({"type": ""}, "`$.type`"),
        ({"type": "x" * 101}, "`$.type`"),
        ({"type": "a\u0000b"}, "`$.type`"),
        ({"type": "membership-created"}, "`timestamp`"),
        ({"type": "membership-created", "timestamp": "2026-11-23T09:30:00Z"}, "`data`"),
        ({**updated(), "timestamp": "yesterday"}, "`$.timestamp`"),
        ({**updated(), "timestamp": "2026-11-23T09:30:00"}, "`$.timestamp`"),
        ({**updated(), "timestamp": 1764000000}, "`$.timestamp`"),
        ({**updated(), "timestamp": None}, "`$.timestamp`"),
        ({**updated(), "timestamp": "0001-01-01T00:00:00+10:00"}, "`$.timestamp`"),
        ({**updated(), "timestamp": "9999-12-31T23:59:59-10:00"}, "`$.timestamp`"),
        ({**updated(), "data": None}, "`$.data`"),
        ({**updated(), "data": {}}, "`member`"),
        (with_member_id(None), "`$.data.member.id`"),
        (with_member_id(17), "`$.data.member.id`"),
        (with_member_id(""), "`$.data.member.id`"),
        (with_member_id("   "), "`$.data.member.id`"),
        (with_member_id("x" * 101), "`$.data.member.id`"),
        (created(organization=None), "`$.data.organization`"),
        (created(organization={}), "`id`"),
        (created(organization={"id": guid("x"), "parentId": " "}), "parentId`"),
        (role_updated(roles=None), "`$.data.roles`"),  # type: ignore[arg-type]  # what is wrong
        (role_updated(roles=[{}]), "`code`"),
        (role_updated(roles=[{"code": " "}]), "`$.data.roles[0].code`"),
        (role_updated(roles=[role(f"r{number}") for number in range(101)]), "`$.data.roles`"),
        (created(roles=[role(f"r{number}") for number in range(101)]), "`$.data.roles`"),
        (role_updated(roles=[role("x" * 101)]), "`$.data.roles[0].code`"),
        (role_updated(roles=[{"code": "x", "organizationId": "x" * 101}]), "organizationId`"),
        (created(organization={"id": "x" * 101}), "`$.data.organization.id`"),
        (created(organization={"id": "x", "name": "x" * 201}), "`$.data.organization.name`"),
        (created(organization={"id": "x", "parentId": "x" * 101}), "parentId`"),
        (updated(profile={"memberNumber": "x" * 201}), "`$.data.member.memberNumber`"),
        (updated(profile={"givenName": "x" * 201}), "`$.data.member.givenName`"),
        (updated(profile={"familyName": "x" * 201}), "`$.data.member.familyName`"),
        (updated(profile={"phone": "x" * 201}), "`$.data.member.phone`"),
        (deactivated(reason="x" * 1001), "`$.data.reason`"),
        (role_updated(roles=["member"]), "`$.data.roles[0]`"),  # type: ignore[list-item]  # what is wrong
        (updated(profile={"givenName": 1}), "givenName`"),
        (updated(profile={"givenName": "Ka\u0000ri"}), "given"),
        (updated(profile={"givenName": "Ka\nri"}), "given"),
        (updated(profile={"email": "x" * 321}), "`$.data.member.email`"),
        (updated(profile={"givenName": "Ka\x07ri"}), "`$.data.member.givenName`"),
    ],
)
def test_json_that_is_no_event_is_told_where_it_is_wrong(event: object, where: str) -> None:
    with pytest.raises(NotAnEventError) as refusal:
        parse_event(json.dumps(event).encode())

    assert where in str(refusal.value)


def test_hundred_roles_are_not_too_many() -> None:
    event = parsed(role_updated(roles=[role(f"r{number}") for number in range(100)]))

    assert len(event.roles or ()) == 100


text = st.text(st.characters(codec=None), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
TEMPLATES = [
    created(profile={"givenName": "Kari"}, roles=[role("member", "HLF")]),
    updated(profile={"phone": "1"}, organization=organization("HLF Bodø", "HLF")),
    role_updated(roles=[role("member"), role("coordinator", "HLF")]),
    deactivated(reason="moved"),
]


def paths_into(value: Any) -> list[tuple[Any, ...]]:
    """To every value inside, the whole first."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [(), *((key, *path) for key, part in inner for path in paths_into(part))]


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


@st.composite
def almost_events(draw: st.DrawFn) -> bytes:
    """Events of which something was replaced by whatever JSON can hold, surrogates included."""
    event: Any = draw(st.sampled_from(TEMPLATES))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(paths_into(event)))
        event = replaced(event, path, draw(json_values))
    return json.dumps(event).encode()


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
@example(b"\xff")
def test_no_body_is_a_surprise(body: bytes) -> None:
    _parse_or_refuse(body)


@given(almost_events())
def test_whatever_passes_the_parser_is_clean(body: bytes) -> None:
    event = _parse_or_refuse(body)

    if isinstance(event, Event):
        ids = {event.member_id, *event.organization_ids()}
        codes = {role.code for role in event.roles or ()}
        stated = event.organization
        names = {stated.name} if isinstance(stated, OrganizationStatement) else set()
        texts = {*ids, *codes, *names, *event.profile.values(), event.reason}
        assert all(_is_clean(text) for text in texts if isinstance(text, str))
        assert all(id == canonical_portal_id(id) for id in ids)
        assert event.occurred_at.tzinfo is UTC
    elif isinstance(event, UnknownEvent):
        assert _is_clean(event.type)


def _parse_or_refuse(body: bytes) -> Event | UnknownEvent | None:
    try:
        return parse_event(body)
    except (NotJsonError, NotAnEventError):
        return None


def _is_clean(text: str) -> bool:
    return (
        text != ""
        and text == text.strip()
        and unicodedata.is_normalized("NFC", text)
        and not any(unicodedata.category(character) == "Cc" for character in text)
        and text.encode().decode() == text
    )
