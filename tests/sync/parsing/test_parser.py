"""The parser: what it needs, what it mends, and that nothing unclean gets past it."""

import json
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET

from db.tables.profile import PROFILE_FIELDS
from db.vocabulary import PortalId, canonical_portal_id
from sync.errors import NotAnEventError, NotJsonError
from sync.events import (
    AnyEvent,
    Event,
    EventType,
    OrganizationStatement,
    Outline,
    RoleStatement,
    RowMessage,
    UnknownEvent,
)
from sync.parsing.parser import parse_event
from tests.support.builders import (
    EPOCH,
    at,
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
OSLO = PortalId(guid("HLF Oslo"))


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
    assert event.profile == {**dict.fromkeys(PROFILE_FIELDS), "given_name": "Kari"}
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
    "written",
    [KARI.upper(), f"{{{KARI}}}", f"({KARI.upper()})", KARI.replace("-", ""), f" {KARI} "],
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


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b"not json",
        b'{"type": "membership-created"} trailing',
        b"\xef\xbb\xbf{}x",
        b'{"type": "membership-created", "data": [1, 2',
        b'{"x":' * 100_000,
        b'{"type": "membership-updated", "timestamp": nan, "data": {}}',
    ],
)
def test_body_that_is_not_json_is_refused_as_such(body: bytes) -> None:
    with pytest.raises(NotJsonError):
        parse_event(body)


@pytest.mark.parametrize(
    ("event", "where"),
    [
        ([], "`$`"),
        ({}, "`$.type`"),
        ({"type": None}, "`$.type`"),
        ({"type": ""}, "`$.type`"),
        ({"type": {}}, "`$.type`"),
        ({"type": "x" * 101}, "`$.type`"),
        ({"type": "membership-created"}, "`$.timestamp`"),
        ({"type": "membership-created", "timestamp": "2026-11-23T09:30:00Z"}, "`$.data`"),
        ({**updated(), "timestamp": "yesterday"}, "`$.timestamp`"),
        ({**updated(), "timestamp": "2026-11-23T09:30:00"}, "`$.timestamp`"),
        ({**updated(), "timestamp": "2026-11-23"}, "`$.timestamp`"),
        ({**updated(), "timestamp": "2026-02-30T09:30:00Z"}, "`$.timestamp`"),
        ({**updated(), "timestamp": "٢٠٢٦-11-23T09:30:00Z"}, "`$.timestamp`"),
        ({**updated(), "timestamp": 1764000000}, "`$.timestamp`"),
        ({**updated(), "timestamp": None}, "`$.timestamp`"),
        ({**updated(), "data": None}, "`$.data`"),
        ({**updated(), "data": []}, "`$.data`"),
        ({**updated(), "data": {}}, "`$.data.member`"),
        ({**updated(), "data": {"member": "Kari"}}, "`$.data.member`"),
        (with_member_id(None), "`$.data.member.id`"),
        (with_member_id(17), "`$.data.member.id`"),
        (with_member_id(""), "`$.data.member.id`"),
        (with_member_id("   "), "`$.data.member.id`"),
        (with_member_id("x" * 101), "`$.data.member.id`"),
        (created(organization=None), "`$.data.organization`"),
        (role_updated(roles=None), "`$.data.roles`"),  # type: ignore[arg-type]  # what is wrong
        (created(roles={"code": "x"}), "`$.data.roles`"),
        (created(roles="member"), "`$.data.roles`"),
        (role_updated(roles=[{}]), "`$.data.roles[0].code`"),
        (role_updated(roles=[{"code": " "}]), "`$.data.roles[0].code`"),
        (role_updated(roles=[role(f"r{number}") for number in range(101)]), "`$.data.roles`"),
        (created(roles=[role(f"r{number}") for number in range(101)]), "`$.data.roles`"),
        (role_updated(roles=[role("x" * 101)]), "`$.data.roles[0].code`"),
        (role_updated(roles=[{"code": "x", "organizationId": "x" * 101}]), "organizationId`"),
        (role_updated(roles=[{"code": "x", "organizationId": 5}]), "organizationId`"),
        (created(roles=["member"]), "`$.data.roles[0]`"),
    ],
)
def test_what_is_needed_to_act_and_cannot_be_read_is_refused_with_its_place(
    event: object, where: str
) -> None:
    with pytest.raises(NotAnEventError) as refusal:
        parse_event(json.dumps(event).encode())

    assert where in str(refusal.value)


@pytest.mark.parametrize(
    "id",
    [
        f"0x{KARI.replace('-', '')[2:]}",
        f"urn:uuid:{KARI}",
        KARI.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")),
        f"\u200b{KARI}",
        f"{KARI[:20]}\u200d{KARI[20:]}",
        KARI[:-1],
        f"{KARI}0",
        KARI.replace("-", "", 1),
        f"{{{KARI}",
        f"{{{KARI.replace('-', '')}}}",
        "Kari Nordmann",
    ],
)
def test_what_only_resembles_an_id_is_none(id: str) -> None:
    with pytest.raises(NotAnEventError, match=r"`\$\.data\.member\.id` must be an id"):
        parse_event(body_of(with_member_id(id)))


def test_refusal_holds_what_could_be_read() -> None:
    event = role_updated(roles=[{}], organization=organization())

    with pytest.raises(NotAnEventError) as refusal:
        parse_event(body_of({**event, "type": "Role.Updated"}))

    assert refusal.value.outline == Outline(
        "role-updated", EPOCH + timedelta(minutes=1), PortalId(guid("Kari")), OSLO
    )


@pytest.mark.parametrize(
    ("profile", "mended", "remark"),
    [
        ({"phone": "+47\n900 \t 00000"}, {"phone": "+47 900 00000"}, "blanks in `$.data.member.p"),
        ({"givenName": "Ka\x00ri"}, {"given_name": "Ka ri"}, "blanks in `$.data.member.givenName"),
        ({"givenName": "Kari\u2028Anne"}, {"given_name": "Kari Anne"}, "blanks in"),
        ({"memberNumber": 104233}, {"member_number": "104233"}, "number in `$.data.member.member"),
        ({"memberNumber": 104233.0}, {"member_number": "104233"}, "number in"),
        ({"memberNumber": 1.5}, {"member_number": "1.5"}, "number in"),
        ({"memberNumber": True}, {}, "`$.data.member.memberNumber` is not a text"),
        ({"phone": ["1"]}, {}, "`$.data.member.phone` is not a text"),
        ({"phone": "x" * 201}, {}, "201 characters; the limit is 200"),
        ({"email": "x" * 321}, {}, "321 characters; the limit is 320"),
        ({"givenName": "K\ud83dri"}, {"given_name": "K\ufffdri"}, "Half characters in"),
    ],
)
def test_flawed_field_is_mended_or_ignored_with_a_remark(
    profile: dict[str, Any], mended: dict[str, str], remark: str
) -> None:
    event = parse_event(json.dumps(updated(profile=profile)).encode())

    assert isinstance(event, Event)
    assert event.profile == mended
    assert [remark in found for found in event.remarks] == [True]


def test_flawed_field_of_a_creation_is_not_stated() -> None:
    event = parsed(created(profile={"phone": {}, "email": None}))

    assert "phone" not in event.profile
    assert event.profile["email"] is None


@pytest.mark.parametrize(
    ("reason", "kept", "remark"),
    [
        ("flyttet\r\ntil Bergen", "flyttet til Bergen", "blanks in `$.data.reason`"),
        ("x" * 1001, "x" * 1000, "1001 characters; only the first 1000 were kept"),
        (17, "17", "number in `$.data.reason`"),
        ({"code": 1}, None, "`$.data.reason` is not a text"),
    ],
)
def test_flawed_reason_is_mended_or_ignored_with_a_remark(
    reason: object, kept: str | None, remark: str
) -> None:
    event = parsed(deactivated(reason=reason))

    assert event.reason == kept
    assert [remark in found for found in event.remarks] == [True]


@pytest.mark.parametrize(
    ("organization", "stated"),
    [
        ("HLF Oslo", UNSET),
        ([], UNSET),
        ({"id": f"urn:{KARI}"}, UNSET),
        ({"id": 5}, UNSET),
        ({"id": " "}, None),
        ({"id": None}, None),
        ({}, None),
        ({"id": KARI, "parentId": 5}, OrganizationStatement(PortalId(KARI))),
        ({"id": KARI, "name": "x" * 201}, OrganizationStatement(PortalId(KARI))),
        ({"id": KARI, "name": {}}, OrganizationStatement(PortalId(KARI))),
    ],
)
@pytest.mark.parametrize("event", [created, updated])
def test_flawed_organization_is_ignored_with_a_remark_and_a_blank_id_is_no_home(
    event: Callable[..., dict[str, Any]], organization: object, stated: object
) -> None:
    found = parsed(event(organization=organization))

    assert found.organization == stated
    assert len(found.remarks) == 1


def test_blank_organization_id_in_an_event_about_something_else_states_nothing() -> None:
    found = parsed(deactivated(organization={"id": ""}))

    assert found.organization is UNSET
    assert found.remarks == ("`$.data.organization.id` cannot be read. It was ignored.",)


def test_blank_parent_is_no_parent() -> None:
    found = parsed(updated(organization={"id": KARI, "parentId": ""}))

    assert found.organization == OrganizationStatement(PortalId(KARI), UNSET, None)


@pytest.mark.parametrize(
    "type",
    [
        "membership.deactivated",
        "Membership_Deactivated",
        " MEMBERSHIP-DEACTIVATED ",
        "\tmembership-deactivated\n",
    ],
)
def test_type_is_known_in_any_spelling(type: str) -> None:
    assert parsed({**deactivated(), "type": type}).type is EventType.MEMBERSHIP_DEACTIVATED


@pytest.mark.parametrize(
    ("type", "known"),
    [
        ("membership-deactivatd", "membership-deactivated"),
        ("MembershipDeactivated", "membership-deactivated"),
        ("membership-de-activated", "membership-deactivated"),
        ("role-update", "role-updated"),
        ("roles_updated", "role-updated"),
    ],
)
def test_type_within_two_letters_of_a_known_one_is_refused(type: str, known: str) -> None:
    with pytest.raises(NotAnEventError, match=f"Did you mean '{known}'"):
        parse_event(body_of({**deactivated(), "type": type}))


@pytest.mark.parametrize("type", ["newsletter-opened", "membership-exported", "contact", "rolle"])
def test_other_type_is_an_unknown_event_with_what_could_be_read(type: str) -> None:
    found = parse_event(body_of({**deactivated(organization=organization()), "type": type}))

    assert isinstance(found, UnknownEvent)
    assert found.type == type
    assert found.outline == Outline(
        type, EPOCH + timedelta(minutes=1), PortalId(guid("Kari")), OSLO
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, 999999, UTC)),
        ("2017-01-01T00:59:60.25+01:00", datetime(2016, 12, 31, 23, 59, 59, 999999, UTC)),
        ("0001-01-01T00:00:00+10:00", datetime.min.replace(tzinfo=UTC)),
        ("9999-12-31T23:59:59-10:00", datetime.max.replace(tzinfo=UTC)),
        ("2026-11-23T09:30Z", datetime(2026, 11, 23, 9, 30, tzinfo=UTC)),
    ],
)
def test_unusual_time_is_read(written: str, read: datetime) -> None:
    assert parsed({**updated(), "timestamp": written}).occurred_at == read


def test_byte_order_mark_is_skipped_with_a_remark() -> None:
    event = parse_event(b"\xef\xbb\xbf" + body_of(updated()))

    assert isinstance(event, Event)
    assert event.remarks == ("The body begins with a byte order mark, which was skipped.",)


@pytest.mark.parametrize(
    "flaw",
    [
        b'"reason": "a\nb"',
        b'"reason": "\xe5pen"',
        b'"reason": "\\ud800"',
        b'"x": 1e999',
        b'"x": ' + b"9" * 5000,
        b'"x": NaN',
        b'"x": ' + b"[" * 50_000 + b"1" + b"]" * 50_000,
        b'"reason": ' + b'{"x":' * 5_000 + b"1" + b"}" * 5_000,
    ],
    ids=lambda flaw: flaw[:20].decode("latin-1"),
)
def test_flawed_json_beside_who_what_and_when_is_read(flaw: bytes) -> None:
    body = body_of(deactivated()).replace(b'"data": {', b'"data": {' + flaw + b", ")

    event = parse_event(body)

    assert isinstance(event, Event)
    assert event.member_id == guid("Kari")


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


@given(
    reason=json_values,
    profile=st.dictionaries(st.sampled_from([*PROFILE_FIELDS.values(), "other"]), json_values),
    organization=json_values
    | st.fixed_dictionaries(
        {}, optional={"id": json_values, "name": json_values, "parentId": json_values}
    ),
    beside=st.dictionaries(text, json_values, max_size=3),
    sequence=json_values,
    type=st.sampled_from(
        ["membership-deactivated", "Membership.Deactivated", "MEMBERSHIP_DEACTIVATED"]
    ),
)
def test_whatever_is_wrong_beside_who_what_and_when_the_deactivation_is_read(
    reason: object,
    profile: dict[str, object],
    organization: object,
    beside: dict[str, object],
    sequence: object,
    type: str,
) -> None:
    data = {
        **beside,
        "member": {**profile, "id": guid("Kari")},
        "organization": organization,
        "reason": reason,
    }
    event = {**beside, "type": type, "timestamp": at(3), "sequence": sequence, "data": data}

    found = parse_event(json.dumps(event).encode())

    assert isinstance(found, Event)
    assert (found.type, found.member_id, found.occurred_at) == (
        EventType.MEMBERSHIP_DEACTIVATED,
        guid("Kari"),
        EPOCH + timedelta(minutes=3),
    )


def _parse_or_refuse(body: bytes) -> AnyEvent | UnknownEvent | None:
    try:
        found = parse_event(body)
    except (NotJsonError, NotAnEventError):
        return None
    assert not isinstance(found, RowMessage)
    return found


def _is_clean(text: str) -> bool:
    return (
        text != ""
        and text == text.strip()
        and unicodedata.is_normalized("NFC", text)
        and not any(unicodedata.category(character) == "Cc" for character in text)
        and text.encode().decode() == text
    )
