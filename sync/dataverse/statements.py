"""Translates a message, by the mapping, into events in our own format.

A message tells a part of a row. What it does not tell is not guessed: it is left unsaid, with a
remark, or the message is rejected with the reason.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from db.vocabulary import PortalId, canonical_portal_id
from sync.dataverse.mapping import (
    PROFILE,
    ChoiceRoles,
    Conditions,
    LinkedRoles,
    PortalMapping,
    RowRoles,
    columns_of,
)
from sync.dataverse.messages import (
    Columns,
    Message,
    Reference,
    Row,
    Value,
    columns_of_entity,
    id_of,
)
from sync.errors import NotAnEventError
from sync.events import EventType

OSLO = ZoneInfo("Europe/Oslo")

_CREATES = ("Create", "CreateMultiple")
_DELETES = ("Delete", "DeleteMultiple")
_CHANGES = ("Update", "UpdateMultiple", "Upsert", "UpsertMultiple", "Assign")
_STATES = ("SetState", "SetStateDynamicEntity")
_ROW_MESSAGES = (*_CREATES, *_DELETES, *_CHANGES, *_STATES)
_LINKS = ("Associate", "Disassociate")
_JSON_NAMES = {
    "number": "memberNumber",
    "given_name": "givenName",
    "family_name": "familyName",
    "email": "email",
    "phone": "phone",
}
_STAMPS = ("modifiedon", "versionnumber")
# Rows begin active, and a message of their creation need not say so.
_AT_CREATION: Columns = {"statecode": 0}


@dataclass(slots=True)
class Statement:
    """An event to be: its type, its time and its `data`."""

    type: EventType
    occurred_at: datetime
    data: dict[str, Any]
    sequence: int | None = None
    remarks: list[str] = field(default_factory=list)
    only_if_known: bool = False


@dataclass(frozen=True, slots=True)
class Foreign:
    """A message that is of no concern here: its table or its operation means nothing."""

    type: str


def statements_of(
    message: Message, mapping: PortalMapping, received_at: datetime
) -> list[Statement | Foreign]:
    """Returns what the message says, a statement for each row that it is about.

    Raises NotAnEventError with the reason if that cannot be told from the message.
    """
    require_environment(message, mapping)
    return list(_Translation(message, mapping, received_at).statements())


def type_of(message: Message) -> str:
    """Returns how the log calls a message that is no event."""
    return f"{message.name}-{message.table}".lower()


def require_environment(message: Message, mapping: PortalMapping) -> None:
    """Raises NotAnEventError for a message of another environment."""
    wanted = mapping.environment.organization_id
    if wanted and message.organization_id != canonical_portal_id(wanted):
        raise NotAnEventError(
            f"The message comes from the environment {message.organization_id or '(none)'}; the "
            f"mapping is for {wanted}."
        )


class _Translation:
    def __init__(self, message: Message, mapping: PortalMapping, received_at: datetime) -> None:
        self._message = message
        self._mapping = mapping
        self._received_at = received_at
        self._foreign = Foreign(type_of(message))

    def statements(self) -> Iterator[Statement | Foreign]:
        name, table = self._message.name, self._message.table
        if name in _LINKS:
            yield self._link()
        elif table in self._role_tables():
            raise NotAnEventError(
                f"A row of {table} tells of one role only; which roles the member has in all can "
                "only be read from the portal."
            )
        elif table == self._mapping.organization.entity and name in _ROW_MESSAGES:
            yield from self._rows()
        elif table != self._mapping.member.entity:
            yield self._foreign
        elif name == "Merge":
            yield from self._merge()
        elif name in _ROW_MESSAGES:
            yield from self._rows()
        else:
            yield self._foreign

    def _role_tables(self) -> set[str]:
        return {rule.entity for rule in self._mapping.role if isinstance(rule, RowRoles)}

    def _link(self) -> Foreign:
        relationship = self._message.parameters.get("Relationship")
        name = relationship.get("SchemaName") if isinstance(relationship, dict) else None
        rules = [rule for rule in self._mapping.role if isinstance(rule, LinkedRoles)]
        if self._message.stripped or name in {rule.relationship for rule in rules}:
            raise NotAnEventError(
                f"{self._message.name} tells of one link only; which roles the member has in all "
                "can only be read from the portal."
            )
        return self._foreign

    def _merge(self) -> Iterator[Statement]:
        """Yields the statements of a merge: the survivor may have got columns of the other, which
        is then inactive."""
        survivor = id_of(self._message.parameters.get("Target")) or self._message.id
        merged = id_of(self._message.parameters.get("SubordinateId"))
        if merged is None or survivor is None:
            raise NotAnEventError("The merge does not tell which rows it is about.")
        content = columns_of_entity(self._message.parameters.get("UpdateContent"))
        if content:
            yield self._member(Row(self._message.table, survivor, content))
        yield self._ended(merged, f"Merged into {survivor} in the portal.", certain=False)

    def _rows(self) -> Iterator[Statement]:
        rows = self._message.rows
        if not rows and self._message.name in _DELETES and self._message.id is not None:
            rows = [Row(self._message.table, self._message.id, {})]
        if not rows:
            why = (
                "it was larger than 256 KB, so that Dataverse left its columns out"
                if self._message.stripped
                else "it shows no row"
            )
            raise NotAnEventError(
                f"What the message says cannot be told: {why}. The row can only be read from the "
                "portal."
            )
        for row in rows:
            if row.table == self._mapping.organization.entity:
                yield self._chapter(row)
            elif self._message.name in _DELETES:
                included = all_hold(self._mapping.member.include, row.before)
                yield self._ended(
                    row.id, "The row was deleted in the portal.", certain=bool(included)
                )
            else:
                yield self._member(self._with_state(row))

    def _with_state(self, row: Row) -> Row:
        if self._message.name not in _STATES:
            return row
        given = self._message.parameters
        told: Columns = {"statecode": given.get("State"), "statuscode": given.get("Status")}
        return Row(row.table, row.id, {**row.stated, **told}, row.before, row.version)

    def _when(self, columns: Columns) -> datetime:
        modified = columns.get("modifiedon")
        if isinstance(modified, datetime):
            return modified
        return self._message.created_at or self._received_at

    def _ended(self, id: PortalId, reason: str, *, certain: bool) -> Statement:
        """Returns the statement that a member has left. `certain`: it is known to have been a
        member, so that one not known here is created."""
        at = self._message.created_at or self._received_at
        data = {"member": {"id": id}, "reason": reason}
        return Statement(EventType.MEMBERSHIP_DEACTIVATED, at, data, only_if_known=not certain)

    def _chapter(self, row: Row) -> Statement:
        table = self._mapping.organization
        told: dict[str, Any] = {"id": row.id}
        data = {"organization": told}
        if self._message.name in _DELETES:
            told["closed"] = True
            at = self._message.created_at or self._received_at
            return Statement(EventType.ORGANIZATION_UPDATED, at, data)
        columns = self._with_state(row).stated
        if table.name in columns:
            told["name"] = _text(columns[table.name])
        if table.parent and table.parent in columns:
            parent = columns[table.parent]
            told["parentId"] = parent.id if isinstance(parent, Reference) else None
        active = all_hold(table.active, columns)
        if table.active and active is not None:
            told["closed"] = not active
        when = self._when(columns)
        return Statement(EventType.ORGANIZATION_UPDATED, when, data, row.version)

    def _member(self, row: Row) -> Statement:
        whole = self._message.name in _CREATES
        if whole:
            absent = dict.fromkeys(self._mapping.member_columns().difference(_STAMPS))
            row = Row(
                row.table, row.id, {**absent, **_AT_CREATION, **row.stated}, version=row.version
            )
        return member_statement(row, self._mapping, self._when(row.stated), whole=whole)


def member_statement(row: Row, mapping: PortalMapping, at: datetime, *, whole: bool) -> Statement:
    """Returns what the columns of a member's row say. `whole`: all columns are there."""
    reading = _MemberReading(row, mapping, at)
    if reading.is_member() is False:
        # Who is no member is nobody whose data are needed.
        ended = {"member": {"id": row.id}, "reason": "By the mapping, the row is not a member's."}
        type = EventType.MEMBERSHIP_DEACTIVATED
        return Statement(type, at, ended, row.version, only_if_known=True)
    member: dict[str, Any] = {"id": row.id, **reading.profile()}
    data: dict[str, Any] = {"member": member}
    home = reading.home()
    if home:
        data |= home
    roles = reading.roles()
    if roles is not None:
        data["roles"] = [{"code": code} for code in roles]
    state = reading.state()
    type = EventType.MEMBERSHIP_STATED
    others = len(member) > 1 or home or roles is not None
    if state is None and roles is None:
        type = EventType.MEMBERSHIP_UPDATED
    elif state is None and not (len(member) > 1 or home):
        type = EventType.ROLE_UPDATED
    elif state is not None and not others:
        active = state == "ACTIVE"
        type = EventType.MEMBERSHIP_REACTIVATED if active else EventType.MEMBERSHIP_DEACTIVATED
    elif whole and state == "ACTIVE" and roles is not None and home.get("organization"):
        type = EventType.MEMBERSHIP_CREATED
    if type is EventType.MEMBERSHIP_STATED and state is not None:
        data["state"] = state
    only_if_known = not reading.is_member()
    return Statement(type, at, data, row.version, reading.remarks, only_if_known)


class _MemberReading:
    def __init__(self, row: Row, mapping: PortalMapping, at: datetime) -> None:
        self._stated = row.stated
        self._known = {**row.before, **row.stated}
        self._mapping = mapping
        self._at = at
        self.remarks: list[str] = []

    def is_member(self) -> bool | None:
        """True if the row is a member's; None if the columns do not tell."""
        return all_hold(self._mapping.member.include, self._known)

    def profile(self) -> dict[str, str | None]:
        told: dict[str, str | None] = {}
        for name in PROFILE:
            columns = columns_of(getattr(self._mapping.member, name))
            if not self._stated.keys() & set(columns):
                continue
            for column in columns:
                if column not in self._known:
                    self._unsaid(name, [column])
                    break
                if text := _text(self._known[column]):
                    told[_JSON_NAMES[name]] = text
                    break
            else:
                told[_JSON_NAMES[name]] = None
        return told

    def home(self) -> dict[str, Any]:
        column = self._mapping.member.organization
        if column is None or column not in self._stated:
            return {}
        where = self._stated[column]
        if not isinstance(where, Reference) or where.table != self._mapping.organization.entity:
            return {"organization": None}
        return {"organization": {"id": where.id, **({"name": where.name} if where.name else {})}}

    def roles(self) -> list[str] | None:
        rules = self._mapping.role
        told = [rule for rule in rules if isinstance(rule, ChoiceRoles)]
        columns = {rule.column for rule in told}
        if not self._stated.keys() & columns:
            return None
        untold = sorted(columns - self._known.keys())
        if untold or len(told) < len(rules):
            self._unsaid("roles", untold or ["the other tables with roles"])
            return None
        codes: set[str] = set()
        for rule in told:
            for choice in choices(self._known[rule.column]):
                if choice in rule.codes:
                    codes.add(rule.codes[choice])
                else:
                    self.remarks.append(
                        f"The value {choice} of {rule.column} is not in the mapping, so that it "
                        "gives no role."
                    )
        return sorted(codes)

    def state(self) -> str | None:
        """Returns the state: active is only who is known to fulfil everything. What is missing is
        remarked on."""
        table = self._mapping.member
        deciding = {*table.include, *table.active}
        if table.member_until:
            deciding.add(table.member_until)
        if not self._stated.keys() & deciding:
            return None
        holds = [
            all_hold(table.include, self._known),
            all_hold(table.active, self._known),
            self._not_ended(),
        ]
        if False in holds:
            return "INACTIVE"
        if None in holds:
            self._unsaid("state", sorted(deciding - self._known.keys()))
            return None
        return "ACTIVE"

    def _not_ended(self) -> bool | None:
        column = self._mapping.member.member_until
        if column is None:
            return True
        if column not in self._known:
            return None
        until = day_of(self._known[column])
        return until is None or until >= self._at.astimezone(OSLO).date()

    def _unsaid(self, what: str, columns: list[str]) -> None:
        self.remarks.append(
            f"The message does not tell the {what}, since it lacks {', '.join(columns)}; an image "
            "of the step with all mapped columns tells it."
        )


def all_hold(conditions: Conditions, columns: Mapping[str, Any]) -> bool | None:
    """Returns None if the columns that are there fulfil the conditions, and others are missing."""
    told = {name: values for name, values in conditions.items() if name in columns}
    if any(columns[name] not in values for name, values in told.items()):
        return False
    return True if len(told) == len(conditions) else None


def _text(value: Value) -> str | None:
    if value is None or isinstance(value, (dict, list)):
        return None
    return (value.name if isinstance(value, Reference) else str(value).strip()) or None


def choices(value: Value) -> list[str]:
    """Returns the values of a choice column: a number, a list, or a text with commas."""
    if value is None:
        return []
    if isinstance(value, list):
        return [choice for item in value for choice in choices(item)]
    return [part.strip() for part in str(value).split(",") if part.strip()]


def day_of(value: Value) -> date | None:
    """Returns the day, in Norway, of a date or a time."""
    if isinstance(value, datetime):
        return value.astimezone(OSLO).date()
    if isinstance(value, str):
        try:
            return date.fromisoformat(value[:10])
        except ValueError:
            return None
    return None


def document_of(statement: Statement, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the statement as an event of our own format. `origin` is kept beside it."""
    translation: dict[str, Any] = {}
    if statement.remarks:
        translation["remarks"] = statement.remarks
    if statement.only_if_known:
        translation["onlyIfKnown"] = True
    return {
        "type": statement.type.value,
        "timestamp": statement.occurred_at.astimezone(UTC).isoformat(),
        **({"sequence": statement.sequence} if statement.sequence is not None else {}),
        "data": statement.data,
        **({"translation": translation} if translation else {}),
        "dataverse": dict(origin),
    }
