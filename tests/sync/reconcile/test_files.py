"""Files of members: what is read of their lines, and what is told of wrong ones."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import UNSET

from db.vocabulary import ActivationState
from sync.events import Event, OrganizationStatement
from sync.reconcile.files import FileFormatError, Line, WrongLine, read_lines
from tests.support.builders import guid, updated

AT = datetime(2024, 12, 1, 12, 0, tzinfo=UTC)
HEADER = "portalId,givenName,email,organizationId,organizationName,roles,state"


def lines(folder: Path, text: str | bytes, name: str = "members.csv") -> list[Line | WrongLine]:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_lines(file, AT))


def event(folder: Path, text: str | bytes) -> Event:
    (line,) = lines(folder, text)
    assert isinstance(line, Line), line
    return line.event


def reason(folder: Path, text: str) -> str:
    (line,) = lines(folder, text)
    assert isinstance(line, WrongLine), line
    return line.reason


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_is_read_whoever_wrote_it(
    tmp_path: Path, delimiter: str, bom: bytes, end: str
) -> None:
    row = [
        guid("Kari"),
        "Kåre",
        "",
        guid("HLF Oslo"),
        "HLF Oslo",
        "member|coordinator@o1",
        "active",
    ]
    text = end.join([HEADER, ",".join(row), ""]).replace(",", delimiter)

    read = event(tmp_path, bom + text.encode())

    assert read.member_id == guid("Kari")
    assert read.profile == {"given_name": "Kåre", "email": None}
    assert isinstance(read.organization, OrganizationStatement)
    assert (read.organization.id, read.organization.name) == (guid("HLF Oslo"), "HLF Oslo")
    assert read.organization.parent_id is UNSET
    assert {(role.code, role.organization_id) for role in read.roles or ()} == {
        ("member", None),
        ("coordinator", "o1"),
    }
    assert read.state is ActivationState.ACTIVE
    assert read.occurred_at == AT


def test_column_that_is_absent_says_nothing(tmp_path: Path) -> None:
    read = event(tmp_path, f"portalId\n{guid('Kari')}\n")

    assert read.profile == {}
    assert read.organization is UNSET
    assert read.roles is None
    assert read.state is None


def test_field_that_is_empty_clears(tmp_path: Path) -> None:
    read = event(tmp_path, f"portalId,phone,organizationId,roles\n{guid('Kari')},,,\n")

    assert read.profile == {"phone": None}
    assert read.organization is None
    assert read.roles == frozenset()


def test_line_may_say_when_it_was_so(tmp_path: Path) -> None:
    read = event(tmp_path, f"portalId,changedAt\n{guid('Kari')},2024-11-30T10:00:00+01:00\n")

    assert read.occurred_at == datetime(2024, 11, 30, 9, 0, tzinfo=UTC)


def test_field_may_hold_what_separates_others(tmp_path: Path) -> None:
    read = event(tmp_path, f'portalId,familyName\n{guid("Kari")},"Moe, født ""Lie"""\n')

    assert read.profile == {"family_name": 'Moe, født "Lie"'}


def test_json_lines_have_the_same_names_or_are_events(tmp_path: Path) -> None:
    row = {"portalId": guid("Kari"), "phone": None, "roles": ["member"], "state": "INACTIVE"}
    text = json.dumps(row) + "\n\n" + json.dumps(updated("Per")) + "\n"

    kari, per = lines(tmp_path, text, "members.jsonl")

    assert isinstance(kari, Line)
    assert isinstance(per, Line)
    assert (kari.event.profile, kari.event.state) == ({"phone": None}, ActivationState.INACTIVE)
    assert (per.number, per.event.member_id, per.dated) == (3, guid("Per"), True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("portalId,state\n,ACTIVE\n", "no portalId"),
        ("portalId,state\nm1,perhaps\n", "ACTIVE or INACTIVE"),
        ("portalId,state\nm1,\n", "ACTIVE or INACTIVE"),
        ("portalId,roles\nm1,@o1\n", "code@organizationId"),
        ("portalId,roles\nm1,member@\n", "code@organizationId"),
        ("portalId,changedAt\nm1,yesterday\n", "2026-11-23T09:30:00Z"),
        ("portalId,state\nm1\n", "1 fields, and the header names 2"),
        ('{"portalId": "m1", "shoeSize": 40}\n', "unknown field 'shoeSize'"),
        ('{"portalId": ["m1"]}\n', "portalId that is no text"),
        ("{\n", "is not JSON"),
    ],
)
def test_wrong_line_is_told_with_the_reason(tmp_path: Path, text: str, told: str) -> None:
    assert told in reason(tmp_path, text)


def test_wrong_line_is_told_with_its_number(tmp_path: Path) -> None:
    text = "portalId,state\nm1,ACTIVE\nm2,perhaps\nm3,ACTIVE\n"

    read = lines(tmp_path, text)

    assert [line.number for line in read if isinstance(line, WrongLine)] == [3]
    assert [line.number for line in read if isinstance(line, Line)] == [2, 4]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "portalId"),
        (b"name,email\n", "'name'"),
        (b"portalId,portalId\n", "'portalId'"),
        (b"portalId,givenName\nm1,K\xe5re\n", "UTF-8"),
        (b'portalId,givenName\nm1,"K\n', "no CSV"),
    ],
)
def test_file_that_cannot_be_read_is_told_as_a_whole(
    tmp_path: Path, text: bytes, told: str
) -> None:
    with pytest.raises(FileFormatError, match=told):
        lines(tmp_path, text)
