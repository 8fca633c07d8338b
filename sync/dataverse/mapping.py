"""The mapping file: which tables and columns of a Dataverse environment mean what here.

It is read strictly: a mistake is told with its file and line and with what is allowed there, before
anything is started.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

Text = Annotated[str, Meta(min_length=1)]
Guid = Annotated[str, Meta(pattern=r"^\{?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?$")]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s]+$")]
Columns = Text | list[Text]
Conditions = dict[str, list[bool | int | str]]
"""By column, the values that it may have."""
Codes = Annotated[dict[str, Text], Meta(min_length=1)]
Duration = Annotated[str, Meta(pattern=r"^[1-9][0-9]*[smh]$")]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class ClientSecret(_Strict, frozen=True, kw_only=True, tag_field="kind", tag="client_secret"):
    tenant: Text
    client_id: Text
    secret_env: Text


class Certificate(_Strict, frozen=True, kw_only=True, tag_field="kind", tag="certificate"):
    tenant: Text
    client_id: Text
    certificate_file: Text


class ManagedIdentity(_Strict, frozen=True, kw_only=True, tag_field="kind", tag="managed_identity"):
    client_id: Text | None = None


class StaticToken(_Strict, frozen=True, kw_only=True, tag_field="kind", tag="static_token"):
    token_env: Text


Authentication = ClientSecret | Certificate | ManagedIdentity | StaticToken


class Environment(_Strict, frozen=True, kw_only=True):
    organization_id: Guid | None = None
    api: Url | None = None
    auth: Authentication | None = None


class Reconcile(_Strict, frozen=True, kw_only=True):
    """`hold_above_share` is a share of the active members of the source."""

    start: Literal["serve", "manual"] = "serve"
    poll: Duration = "60s"
    full: Duration = "24h"
    page_size: Annotated[int, Meta(ge=1, le=5000)] = 5000
    hold_above_count: Annotated[int, Meta(ge=0)] = 10
    hold_above_share: Annotated[float, Meta(ge=0, le=1)] = 0.02


class MemberTable(_Strict, frozen=True, kw_only=True):
    entity: Text
    entity_set: Text
    id: Text
    include: Conditions = {}
    number: Columns | None = None
    given_name: Columns | None = None
    family_name: Columns | None = None
    email: Columns | None = None
    phone: Columns | None = None
    organization: Text | None = None
    active: Conditions = {}
    member_until: Text | None = None


class OrganizationTable(_Strict, frozen=True, kw_only=True):
    entity: Text
    entity_set: Text
    id: Text
    name: Text
    parent: Text | None = None
    active: Conditions = {}


class ChoiceRoles(_Strict, frozen=True, kw_only=True, tag_field="kind", tag="choice"):
    """Roles in a column of the member, with one choice or several."""

    column: Text
    codes: Codes


class RowRoles(_Strict, frozen=True, kw_only=True, tag_field="kind", tag="rows"):
    """Roles in a table of their own, a row for each."""

    entity: Text
    entity_set: Text
    id: Text
    member: Text
    organization: Text | None = None
    code: Text
    codes: Codes
    from_: Text | None = msgspec.field(default=None, name="from")
    until: Text | None = None
    active: Conditions = {}


class LinkedRoles(_Strict, frozen=True, kw_only=True, tag_field="kind", tag="many_to_many"):
    """Roles that are rows linked with the member, such as the web roles of Power Pages."""

    relationship: Text
    navigation: Text
    links: Text | None = None
    name: Text
    codes: Codes


RoleRule = ChoiceRoles | RowRoles | LinkedRoles

PROFILE = ("number", "given_name", "family_name", "email", "phone")


class PortalMapping(_Strict, frozen=True, kw_only=True):
    """A mapping file as it was read."""

    version: Literal[1]
    environment: Environment = Environment()
    reconcile: Reconcile = Reconcile()
    member: MemberTable
    organization: OrganizationTable
    role: list[RoleRule] = []

    def member_columns(self) -> set[str]:
        """Returns the columns of the member's table that mean something here."""
        table = self.member
        columns = {table.id, "modifiedon", "versionnumber", *table.include, *table.active}
        for field in PROFILE:
            columns.update(columns_of(getattr(table, field)))
        columns |= {name for name in (table.organization, table.member_until) if name}
        return columns | {rule.column for rule in self.role if isinstance(rule, ChoiceRoles)}


class MappingError(Exception):
    """The message names the file, the line, what is wrong there and what is allowed."""


def columns_of(columns: Columns | None) -> list[str]:
    """Returns the columns, the one that counts most first."""
    if columns is None:
        return []
    return [columns] if isinstance(columns, str) else columns


def duration(text: Duration) -> timedelta:
    """Returns the time that a text such as `60s`, `5m` or `24h` names."""
    unit = {"s": "seconds", "m": "minutes", "h": "hours"}[text[-1]]
    return timedelta(**{unit: int(text[:-1])})


def load_mapping(file: Path) -> PortalMapping:
    """Raises MappingError."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError(f"{file}: cannot be read: {error}") from error
    return parse_mapping(text, str(file))


def parse_mapping(text: str, file: str) -> PortalMapping:
    """Raises MappingError, which names the file as `file`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MappingError(f"{file}: is not TOML: {error}") from error
    try:
        mapping = msgspec.convert(document, PortalMapping)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        steps = _steps(path.rstrip("`"))
        if unknown := re.search(r"unknown field `(.*)`", message):
            steps.append(unknown[1])
        elif missing := re.search(r"missing required field `(.*)`", message):
            message = f"`{missing[1]}` is missing"
        raise MappingError(_told(file, text, document, steps, message)) from error
    for steps, message in _contradictions(mapping):
        raise MappingError(_told(file, text, document, steps, message))
    return mapping


def _contradictions(mapping: PortalMapping) -> Iterator[tuple[list[str | int], str]]:
    environment = mapping.environment
    if environment.api and environment.auth is None:
        yield ["environment"], "an `api` needs [environment.auth]"
    if mapping.member.entity == mapping.organization.entity:
        yield ["organization", "entity"], "is the same table as that of the members"


_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+|\.\.\.)\]")


def _steps(path: str) -> list[str | int]:
    """Splits `$.role[1].codes` into names and numbers; what is in any element ends the path."""
    steps: list[str | int] = []
    for name, index in _STEP.findall(path):
        if index == "...":
            break
        steps.append(int(index) if index else name)
    return steps


def _told(
    file: str, text: str, document: Mapping[str, Any], steps: list[str | int], message: str
) -> str:
    where = ".".join(str(step) for step in steps if isinstance(step, str))
    return (
        f"{file}, line {_line_of(text, steps)}: {where or 'the file'}: {message}. "
        f"Allowed: {_allowed(document, steps)}."
    )


_FORMS = {
    "version": "1",
    "environment.organization_id": "a GUID",
    "environment.api": "the address of the Web API, https://…/api/data/v9.2",
    "reconcile.start": '"serve" or "manual"',
    "reconcile.poll": 'a time such as "60s", "5m" or "24h"',
    "reconcile.full": 'a time such as "60s", "5m" or "24h"',
    "reconcile.page_size": "1 to 5000",
    "reconcile.hold_above_count": "0 or more",
    "reconcile.hold_above_share": "0.0 to 1.0",
    "role.codes": "what the portal has, with the role code it means here, at least one",
    "member.include": "columns, each with a list of the values it may have",
    "member.active": "columns, each with a list of the values it may have",
    "organization.active": "columns, each with a list of the values it may have",
    "role.active": "columns, each with a list of the values it may have",
    **{
        f"member.{field}": "a column, or several, of which the first that is not empty counts"
        for field in PROFILE
    },
}
_TABLES: dict[str, tuple[type[_Strict], ...]] = {
    "": (PortalMapping,),
    "environment": (Environment,),
    "environment.auth": get_args(Authentication),
    "reconcile": (Reconcile,),
    "member": (MemberTable,),
    "organization": (OrganizationTable,),
    "role": get_args(RoleRule),
}


def _allowed(document: Mapping[str, Any], steps: list[str | int]) -> str:
    """Describes what is allowed where the steps lead, or in the table around it."""
    names = [step for step in steps if isinstance(step, str)]
    for length in range(len(names), 0, -1):
        if form := _FORMS.get(".".join(names[:length])):
            return form
    while (path := ".".join(names)) not in _TABLES:
        names.pop()
    kinds = _TABLES[path]
    if len(kinds) > 1:
        by_tag = {kind.__struct_config__.tag: kind for kind in kinds}
        given = _at(document, steps[: _end_of_table(steps, names)])
        if given not in by_tag:
            return "kind = " + " or ".join(f'"{tag}"' for tag in by_tag)
        kinds = (by_tag[given],)
    fields = [field.encode_name for field in msgspec.structs.fields(kinds[0])]
    return ", ".join(["kind", *fields] if len(_TABLES[path]) > 1 else fields)


def _end_of_table(steps: list[str | int], names: list[str]) -> int:
    """Counts the steps to the table of these names: its number in a list is one of them."""
    end = len(names)
    return end + 1 if len(steps) > end and isinstance(steps[end], int) else end


def _at(document: Mapping[str, Any], steps: list[str | int]) -> object:
    """The `kind` of the table that the steps lead to."""
    value: Any = document
    for step in steps:
        value = value[step]
    return value.get("kind") if isinstance(value, dict) else None


_TABLE_LINE = re.compile(r"\s*(\[\[?)\s*([\w.-]+)\s*\]\]?")
_KEY_LINE = re.compile(r"\s*([\w-]+)\s*=")


def _line_of(text: str, steps: list[str | int]) -> int:
    """Finds the line of what the steps lead to, else of the table around it. TOML's own reader
    knows no lines."""
    names = [step for step in steps if isinstance(step, str)]
    wanted = next((step for step in steps if isinstance(step, int)), None)
    table: list[str] = []
    seen: dict[str, int] = {}
    best, depth = 1, 0
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE_LINE.match(line):
            table = header[2].split(".")
            seen[header[2]] = seen.get(header[2], -1) + 1
            path = table
        elif key := _KEY_LINE.match(line):
            path = [*table, key[1]]
        else:
            continue
        if wanted is not None and table and seen[".".join(table)] != wanted:
            continue
        if path == names[: len(path)] and len(path) > depth:
            best, depth = number, len(path)
    return best


def secret_variable(settings: Authentication | None) -> str | None:
    """Returns the environment variable that must hold a secret, if there is one."""
    if isinstance(settings, ClientSecret):
        return settings.secret_env
    return settings.token_env if isinstance(settings, StaticToken) else None


def named_secret(environment: Mapping[str, str], variable: str) -> str:
    """Returns the secret in the variable, or in the file that `VARIABLE_FILE` names; empty if there
    is neither. Raises MappingError if both are set, or the file cannot be read."""
    given = environment.get(variable, "").strip()
    file = environment.get(f"{variable}_FILE", "")
    if not file:
        return given
    if given:
        raise MappingError(f"give {variable} or {variable}_FILE, not both")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise MappingError(f"{variable}_FILE: cannot read {file}: {error.strerror}") from None
    except ValueError:
        raise MappingError(f"{variable}_FILE: {file} is not UTF-8 text") from None
