"""The parser reads what the JSON Schema of the events allows, as it stands, and the page about
webhooks names every type and field of it."""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from db.tables.profile import PROFILE_FIELDS
from sync.errors import RejectedError
from sync.events import AnyEvent, Event, EventType, OrganizationStatement
from sync.parsing.parser import parse_event

INTEGRATE = Path(__file__).parents[2] / "docs" / "integrate"
PAGE = (INTEGRATE / "webhooks.md").read_text(encoding="utf-8")
SCHEMA = json.loads((INTEGRATE / "events.schema.json").read_bytes())
VALIDATOR = jsonschema_rs.validator_for(SCHEMA, validate_formats=True)
EXAMPLES = [
    event
    for text in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    if "type" in (event := json.loads(text))
]
TYPES = [type.value for type in EventType]
MEMBER_TYPES = [type for type in TYPES if type != EventType.ORGANIZATION_UPDATED]

PROFILE = {name: field for field, name in PROFILE_FIELDS.items()}


def read(event: object) -> AnyEvent | None:
    """Returns the event as the parser reads it, or None where it refuses it."""
    try:
        found = parse_event(json.dumps(event).encode())
    except RejectedError:
        return None
    assert isinstance(found, AnyEvent)
    return found


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Follows a reference, and picks what is not null of an alternative."""
    if "anyOf" in schema:
        return resolved(schema["anyOf"][0])
    if "$ref" not in schema:
        return schema
    target = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return resolved({**target, **{key: value for key, value in schema.items() if key != "$ref"}})


def paths(schema: dict[str, Any], at: str = "") -> dict[str, dict[str, Any]]:
    """Returns every field that the schema names, by its path as the page writes it."""
    schema = resolved(schema)
    if "items" in schema:
        return paths(schema["items"], f"{at}[]")
    found: dict[str, dict[str, Any]] = {}
    for name, field in schema.get("properties", {}).items():
        path = f"{at}.{name}".lstrip(".")
        found |= {path: resolved(field), **paths(field, path)}
    return found


FIELDS = paths(SCHEMA)
TEXTS = {path: field["maxLength"] for path, field in FIELDS.items() if "maxLength" in field}


def with_text(path: str, text: str) -> dict[str, Any]:
    """Builds an event of a type that reads this field, with the text in it."""
    type = "membership-deactivated" if path == "data.reason" else "membership-created"
    event: dict[str, Any] = {
        "type": type,
        "timestamp": "2026-11-23T09:30:00Z",
        "data": {"member": {"id": "m"}, "organization": {"id": "o"}, "roles": [{"code": "r"}]},
    }
    place: Any = event
    *parents, last = path.split(".")
    for name in parents:
        place = place[name.removesuffix("[]")]
        place = place[0] if name.endswith("[]") else place
    place[last] = text
    return event


letters = st.characters(exclude_categories=["Cc", "Cs"])
texts = st.none() | st.text(letters, max_size=5)
ids = st.text(letters, min_size=1, max_size=5)
oddities = st.none() | st.sampled_from(["", " ", "a\n", "\x7f", "x" * 101, "x" * 1001, 7, [], {}])

organizations = st.fixed_dictionaries(
    {"id": ids}, optional={"name": texts, "parentId": ids | st.none()}
)
members = st.fixed_dictionaries({"id": ids}, optional=dict.fromkeys([*PROFILE, "shoeSize"], texts))
roles = st.fixed_dictionaries({"code": ids}, optional={"organizationId": ids | st.none()})
data = st.fixed_dictionaries(
    {"member": members, "organization": organizations, "roles": st.lists(roles, max_size=3)},
    optional={"reason": texts, "state": st.sampled_from(["ACTIVE", "INACTIVE", None])},
)
plain_events = st.fixed_dictionaries(
    {
        "type": st.sampled_from(TYPES),
        "timestamp": st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
        "data": data,
    }
)


def places(value: object) -> Iterator[tuple[Any, Any]]:
    """Yields every object or list within, with each of its keys."""
    keys: Iterable[Any] = ()
    if isinstance(value, dict):
        keys = value
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        yield value, key
        yield from places(value[key])  # type: ignore[index]  # it has keys


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """Builds events, in half of which something is missing or odd."""
    event = draw(plain_events)
    if draw(st.booleans()):
        place, key = draw(st.sampled_from(list(places(event))))
        if draw(st.booleans()):
            del place[key]
        else:
            place[key] = draw(oddities)
    return event


def test_types_are_those_of_the_parser_and_each_has_an_example() -> None:
    assert SCHEMA["properties"]["type"]["enum"] == TYPES
    assert {event["type"] for event in EXAMPLES} == set(TYPES)
    assert set(re.findall(r"^\| `([a-z-]+-[a-z]+)` \|", PAGE, re.MULTILINE)) >= set(TYPES)


def test_every_field_is_explained_with_its_limit_and_no_other() -> None:
    rows = re.findall(r"^\| `([\w.\[\]]+)` \| (.*?) \|.*\|.*\|$", PAGE, re.MULTILINE)
    explained = {path: meaning for path, meaning in rows if path in FIELDS or "." in path}

    assert set(explained) == set(FIELDS) - {"data", "data.member"}
    for path, limit in TEXTS.items():
        assert re.search(rf"\b{limit} characters", explained[path]), path


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event["type"])
def test_examples_are_valid_and_read(event: dict[str, Any]) -> None:
    VALIDATOR.validate(event)

    assert read(event) is not None


@given(event=events())
def test_what_the_schema_allows_is_read_as_it_stands(event: dict[str, Any]) -> None:
    if not VALIDATOR.is_valid(event):
        return

    found = read(event)

    assert found is not None, list(VALIDATOR.iter_errors(event))
    if not isinstance(found, Event):
        return
    stated = event["data"]["member"]
    for name, field in PROFILE.items():
        given = (stated.get(name) or "").strip()
        assert (found.profile.get(field) or "") == given or not given.isascii()


@pytest.mark.parametrize(("path", "limit"), TEXTS.items())
def test_text_is_read_up_to_its_limit_and_not_beyond(path: str, limit: int) -> None:
    longest, too_long = with_text(path, "x" * limit), with_text(path, "x" * (limit + 1))

    assert VALIDATOR.is_valid(longest)
    assert not VALIDATOR.is_valid(too_long)
    assert "x" * limit in repr(read(longest))
    assert "x" * (limit + 1) not in repr(read(too_long))


@pytest.mark.parametrize("path", TEXTS)
@pytest.mark.parametrize("text", ["", " \u2003", "a\x07b", "\x9f"])
def test_schema_allows_blank_texts_no_blank_ids_and_no_control_characters(
    path: str, text: str
) -> None:
    is_id = path.rpartition(".")[2] in {"id", "parentId", "code", "organizationId"}
    event = with_text(path, text)

    assert VALIDATOR.is_valid(event) == (not text.strip() and not is_id)
    assert VALIDATOR.is_valid(event) <= (read(event) is not None)


@pytest.mark.parametrize("type", MEMBER_TYPES)
@pytest.mark.parametrize("path", ["timestamp", "data", "data.member", "data.member.id"])
def test_what_every_event_needs_is_needed_by_both(type: str, path: str) -> None:
    event = {**with_text("data.member.id", "m"), "type": type}
    place: Any = event
    *parents, last = path.split(".")
    for name in parents:
        place = place[name]
    del place[last]

    assert not VALIDATOR.is_valid(event)
    assert read(event) is None


def test_roles_and_organization_are_needed_where_the_page_says() -> None:
    changed: dict[str, Any] = {**with_text("data.member.id", "m"), "type": "role-updated"}
    del changed["data"]["roles"]
    joined = with_text("data.member.id", "m")
    del joined["data"]["organization"]

    for event in (changed, joined):
        assert not VALIDATOR.is_valid(event)
        assert read(event) is None


def test_event_about_a_chapter_needs_its_id_and_no_member() -> None:
    event = {**with_text("data.organization.id", "o"), "type": "organization-updated"}
    del event["data"]["member"]

    assert VALIDATOR.is_valid(event)
    assert read(event) is not None
    for organization in (None, {}, {"name": "HLF"}):
        event["data"]["organization"] = organization
        assert not VALIDATOR.is_valid(event)
        assert read(event) is None


def test_null_for_the_organization_means_what_the_page_says() -> None:
    event = with_text("data.member.id", "m")
    event["data"]["organization"] = None

    read_as = {type: read({**event, "type": type}) for type in MEMBER_TYPES}

    assert read_as["membership-created"] is None
    for type, found in read_as.items():
        if found is not None:
            clears = type in ("membership-updated", "membership-stated")
            assert found.organization is (None if clears else UNSET)


def test_parent_that_is_absent_is_not_stated_and_null_is_the_top() -> None:
    absent, top = with_text("data.organization.name", "HLF"), with_text("data.organization.id", "o")
    top["data"]["organization"]["parentId"] = None

    for event, parent in ((absent, UNSET), (top, None)):
        found = read(event)
        assert isinstance(found, Event)
        assert isinstance(found.organization, OrganizationStatement)
        assert found.organization.parent_id is parent
