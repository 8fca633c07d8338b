"""The mapping file: what it says is read, and a mistake in it is told with its place."""

from pathlib import Path

import pytest

import sync.dataverse
from app.settings import SettingsError, load_settings
from sync.dataverse.mapping import (
    ChoiceRoles,
    LinkedRoles,
    MappingError,
    RowRoles,
    load_mapping,
    parse_mapping,
)

EXAMPLE = Path(sync.dataverse.__file__).parent / "example.toml"
TEXT = EXAMPLE.read_text(encoding="utf-8")
API = """
api = "https://org6eadd181.api.crm4.dynamics.com/api/data/v9.2"

[environment.auth]
kind = "client_secret"
tenant = "00000000-0000-0000-0000-000000000000"
client_id = "11111111-1111-1111-1111-111111111111"
secret_env = "MINSIDE_CLIENT_SECRET"

[reconcile]
poll = "60s"
page_size = 5000
"""
FULL = TEXT.replace("\n[member]", f"{API}\n[member]", 1)


def test_example_is_read_whole() -> None:
    mapping = load_mapping(EXAMPLE)

    assert mapping.member.phone == ["mobilephone", "telephone1"]
    assert [type(rule) for rule in mapping.role] == [ChoiceRoles, RowRoles, LinkedRoles]
    assert {"new_verv", "new_ermedlem", "statecode", "modifiedon"} <= mapping.member_columns()


def test_mapping_with_a_web_api_is_read() -> None:
    mapping = parse_mapping(FULL, "min-side.toml")

    assert mapping.environment.api is not None
    assert mapping.reconcile.poll == "60s"


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ('email = "em', 'emial = "em', ["member.emial", "given_name, family_name, email"]),
        ('kind = "rows"', 'kind = "row"', ["role.kind", '"choice" or "rows" or "many_to_many"']),
        ('poll = "60s"', 'poll = "60"', ["reconcile.poll", '"60s", "5m" or "24h"']),
        ('entity_set = "new_vervs"\n', "", ["`entity_set` is missing", "from, until"]),
        ("version = 1\n", "version = 2\n", ["version", "Allowed: 1."]),
        ("page_size = 5000", "page_size = 9000", ["reconcile.page_size", "1 to 5000"]),
        ('tenant = "0', 'tenan = "0', ["environment.auth.tenan", "client_id, secret_env"]),
        ('codes = { "Like', 'codez = { "Like', ["role.codez", "navigation, links, name, codes"]),
        ("[organization]", "[organisation]", ["organisation", "member, organization, role"]),
        ('given_name = "firstname"', "given_name = 3", ["member.given_name", "a column"]),
        ('entity = "account"', 'entity = "contact"', ["organization.entity", "same table"]),
        ("[environment.auth]", "[environment.aut]", ["environment.aut", "api, auth"]),
    ],
)
def test_mistake_is_told_with_file_line_and_what_is_allowed(
    right: str, wrong: str, told: list[str]
) -> None:
    assert right in FULL
    text = FULL.replace(right, wrong, 1)

    with pytest.raises(MappingError) as raised:
        parse_mapping(text, "min-side.toml")

    message = str(raised.value)
    line = int(message.removeprefix("min-side.toml, line ").partition(":")[0])
    at = text.splitlines()[line - 1]
    if wrong:
        assert at == next(row for row in text.splitlines() if wrong.strip() in row)
    else:
        assert at.startswith("[[role]]")
    for words in told:
        assert words in message


def test_file_that_is_no_toml_is_told_with_its_line() -> None:
    with pytest.raises(MappingError, match=r"min-side\.toml: is not TOML: .*line 3"):
        parse_mapping("version = 1\n\nmember = = 2\n", "min-side.toml")


def test_api_needs_a_way_to_sign_in() -> None:
    text = TEXT.replace("[environment]\n", '[environment]\napi = "https://org.example"\n')

    with pytest.raises(MappingError, match=r"environment: .*environment\.auth"):
        parse_mapping(text, "min-side.toml")


def sources(**given: object) -> dict[str, object]:
    return {"sources": {"min-side": {"scheme": "dataverse", "secrets": ["a long key"], **given}}}


def test_settings_take_a_source_with_its_mapping() -> None:
    settings = load_settings(**sources(mapping=str(EXAMPLE), header="X-Portal-Key"))

    assert settings.sources["min-side"].mapping == EXAMPLE


def test_mistake_in_the_mapping_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "min-side.toml"
    file.write_text(TEXT.replace('email = "em', 'emial = "em'), encoding="utf-8")

    with pytest.raises(SettingsError, match=r"min-side: .*min-side\.toml, line \d+: member\.emial"):
        load_settings(**sources(mapping=str(file)))


def test_source_without_its_mapping_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs a mapping"):
        load_settings(**sources())
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(**sources(mapping=str(tmp_path / "absent.toml")))


def test_mapping_belongs_to_dataverse_and_cloudevents_only() -> None:
    wrong = {"scheme": "shared-key", "header": "X", "secrets": ["k"], "mapping": str(EXAMPLE)}

    with pytest.raises(
        SettingsError, match="belongs to the schemes dataverse and cloudevents only"
    ):
        load_settings(sources={"flow": wrong})
