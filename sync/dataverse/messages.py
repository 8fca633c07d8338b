"""Messages as Dataverse writes them: the JSON of a .NET `RemoteExecutionContext`.

A message is read into plain values: arrays of keys and values become mappings, wrapped values lose
their wrapping. What they mean is decided elsewhere.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard

from db.vocabulary import PortalId, canonical_portal_id
from sync.errors import NotAnEventError, NotJsonError
from sync.parsing.texts import read_sequence

_DATE = re.compile(r"/Date\((-?\d{1,16})([+-]\d{4})?\)/")
_GUID = re.compile(r"\{?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?")


@dataclass(frozen=True, slots=True)
class Reference:
    """A row that is pointed at."""

    table: str
    id: PortalId
    name: str | None = None


Value = str | int | float | bool | datetime | Reference | list[Any] | dict[str, Any] | None
Columns = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Row:
    """A row as a message shows it. `stated` are the columns of the operation and of the images
    made after it, `before` those of the images made before it."""

    table: str
    id: PortalId
    stated: Columns
    before: Columns = field(default_factory=dict)
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One operation. `parameters` are its input parameters by name; `stripped`: Dataverse left
    them out, since the message was too large."""

    name: str
    table: str
    id: PortalId | None
    organization_id: str
    step_id: str
    created_at: datetime | None
    parameters: Mapping[str, Value]
    rows: list[Row]
    stripped: bool


def decode_body(body: bytes) -> dict[str, Any]:
    """Returns the JSON object of a body, also when it is Windows-1252 or JSON within a string.

    Raises NotJsonError or NotAnEventError.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("cp1252", "replace")
    document: object = text
    for _ in range(3):
        if not isinstance(document, str):
            break
        try:
            document = json.loads(document)
        except (ValueError, RecursionError) as error:
            raise NotJsonError(f"The body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise NotAnEventError("The body is not a JSON object.")
    return document


def read_message(document: Mapping[str, Any], *, stripped: bool = False) -> Message:
    """Raises NotAnEventError if it is no `RemoteExecutionContext`."""
    name, table = document.get("MessageName"), document.get("PrimaryEntityName")
    if not isinstance(name, str) or not isinstance(table, str):
        raise NotAnEventError(
            "The body is no RemoteExecutionContext: it has no MessageName or PrimaryEntityName."
        )
    parameters = _pairs(document.get("InputParameters"))
    return Message(
        name=name,
        table=table,
        id=_id(document.get("PrimaryEntityId")),
        organization_id=_id(document.get("OrganizationId")) or "",
        step_id=_step_id(document),
        created_at=_created_at(document.get("OperationCreatedOn")),
        parameters=parameters,
        rows=list(_rows(document, table, parameters)),
        stripped=stripped or not parameters,
    )


def _step_id(document: Mapping[str, Any]) -> str:
    step = document.get("OwningExtension")
    return (_id(step.get("Id")) or "") if isinstance(step, dict) else ""


def _created_at(value: object) -> datetime | None:
    """Returns the time of the operation. It is written in the local time of the server as if that
    were UTC, so that its offset has to be added: `/Date(1506409448000-0700)/` is the same moment as
    a `modifiedon` of `/Date(1506384248000)/`."""
    if not isinstance(value, str) or not (found := _DATE.fullmatch(value)):
        return None
    moment = _moment(int(found[1]))
    if moment is None or found[2] is None:
        return moment
    sign = -1 if found[2][0] == "-" else 1
    hours, minutes = int(found[2][1:3]), int(found[2][3:])
    return moment + sign * timedelta(hours=hours, minutes=minutes)


def _moment(milliseconds: int) -> datetime | None:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def _rows(
    document: Mapping[str, Any], table: str, parameters: Mapping[str, Value]
) -> Iterator[Row]:
    """Yields the rows that the message shows: one, or one for each of its targets."""
    images = document.get("PreEntityImages"), document.get("PostEntityImages")
    targets = parameters.get("Targets")
    if isinstance(targets, list):
        before = document.get("PreEntityImagesCollection")
        after = document.get("PostEntityImagesCollection")
        for index, target in enumerate(targets):
            yield from _row(target, table, _nth(before, index), _nth(after, index))
        return
    target = parameters.get("Target", parameters.get("EntityMoniker"))
    if target is not None:
        yield from _row(target, table, *images)


def _nth(images: object, index: int) -> object:
    """Returns the image of one of several targets; they stand in arrays beside them."""
    return images[index] if isinstance(images, list) and index < len(images) else None


def _row(target: Value, table: str, before: object, after: object) -> Iterator[Row]:
    if isinstance(target, Reference):
        yield Row(target.table or table, target.id, _image(after), _image(before))
    elif isinstance(target, dict) and _is_entity(target):
        columns = _columns(target)
        table = target.get("LogicalName") or table
        id = _id(target.get("Id")) or _id(columns.get(f"{table}id"))
        if id is not None:
            known = {**_image(after), **columns}
            version = _version(known.get("versionnumber"), target.get("RowVersion"))
            yield Row(table, id, known, _image(before), version)


def _version(*candidates: object) -> int | None:
    versions = (read_sequence(value) for value in candidates)
    return next((version for version in versions if version is not None), None)


def _image(images: object) -> Columns:
    """Joins all images: a step may have several, with a part of the columns each."""
    columns: Columns = {}
    for entity in _pairs(images).values():
        if isinstance(entity, dict) and _is_entity(entity):
            columns |= _columns(entity)
    return columns


def _is_entity(value: Mapping[str, Any]) -> bool:
    return "Attributes" in value


def _columns(entity: Mapping[str, Any]) -> Columns:
    return _pairs(entity.get("Attributes"))


def columns_of_entity(value: Value) -> Columns:
    """Returns the columns of an entity among the parameters."""
    return _columns(value) if isinstance(value, dict) and _is_entity(value) else {}


def _pairs(value: object) -> Columns:
    """Turns an array of keys and values into a mapping; some serializers write a mapping
    themselves."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items() if key != "__type"}
    if not isinstance(value, list):
        return {}
    return {
        pair["key"]: _plain(pair.get("value"))
        for pair in value
        if isinstance(pair, dict) and isinstance(pair.get("key"), str)
    }


def _plain(value: Any) -> Value:
    """Unwraps a value; an entity stays as it is, since it has more than columns."""
    if isinstance(value, str):
        found = _DATE.fullmatch(value)
        return _moment(int(found[1])) if found else _mended(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict) or _is_entity(value):
        return value  # type: ignore[no-any-return]  # JSON has no other values
    if "Entities" in value:
        return _plain(value["Entities"])
    if "LogicalName" in value and (id := _id(value.get("Id"))) is not None:
        name = value.get("Name")
        return Reference(value["LogicalName"], id, _mended(name) if _is_text(name) else None)
    if "Value" in value:
        return _plain(value["Value"])
    return value


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def _id(value: object) -> PortalId | None:
    """Returns a GUID; None for the empty one and for anything else."""
    if not isinstance(value, str) or not _GUID.fullmatch(value):
        return None
    id = canonical_portal_id(value)
    return None if set(id) == {"0", "-"} else id


def id_of(value: Value) -> PortalId | None:
    """Returns the id that a parameter holds, as a GUID or as a reference."""
    return value.id if isinstance(value, Reference) else _id(value)


_MOJIBAKE = re.compile("[\u00c2-\u00f4][\u0080-\u00bf\u0152-\u2122]")


def _mended(text: str) -> str:
    """Mends UTF-8 that was read as Windows-1252 on its way: `KÃ¥re` is `Kåre`."""
    if not _MOJIBAKE.search(text):
        return text
    try:
        return b"".join(map(_windows_1252, text)).decode()
    except UnicodeError:
        return text


def _windows_1252(character: str) -> bytes:
    """Returns the byte of a character; the five that Windows-1252 leaves undefined are control
    characters."""
    return character.encode("latin-1" if "\x80" <= character <= "\x9f" else "cp1252")
