"""Reads the envelopes of CloudEvents, in all three modes, and of Event Grid's own schema.

What is stored of an envelope is the event of our own format that it carries.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

from sync import remarks
from sync.errors import NotAnEventError, NotJsonError
from sync.intake.sources import BodyReader, Headers, is_event_id
from sync.parsing.body import read_json
from sync.parsing.spelling import known_type
from sync.recording.deliveries import Delivery, read_delivery

_ATTRIBUTE = b"ce-"
_TRANSLATION = "translation"


def json_of(body: bytes) -> Any:
    """Raises NotJsonError."""
    value, _ = read_json(body)
    return value


@dataclass(frozen=True, slots=True)
class EnvelopeReader:
    """Reads what a broker delivers: a delivery for each event. `messages` reads data that is a
    message of Dataverse, where the source has a mapping."""

    messages: BodyReader | None = None

    def __call__(
        self, source: str, event_id: str, received_at: datetime, headers: Headers, body: bytes
    ) -> Sequence[Delivery]:
        try:
            return [
                delivery
                for envelope in _envelopes(headers, body)
                for delivery in self._deliveries(source, received_at, headers, envelope)
            ]
        except NotJsonError as error:
            return [Delivery(source, event_id, received_at, body, error)]
        except RecursionError:
            # It can be read, and not be written again: values can be nested deeper for the one.
            reason = NotJsonError(remarks.not_json("the values are nested too deeply"))
            return [Delivery(source, event_id, received_at, body, reason)]

    def _deliveries(
        self, source: str, received_at: datetime, headers: Headers, envelope: object
    ) -> Sequence[Delivery]:
        if not isinstance(envelope, dict) or not envelope.keys() & {"specversion", "eventType"}:
            body = _written(envelope)
            error = NotAnEventError(remarks.NOT_A_CLOUD_EVENT)
            return [Delivery(source, _hashed(body), received_at, body, error)]
        data = _data(envelope)
        if self.messages is not None and isinstance(data, dict) and "MessageName" in data:
            message = _written(data)
            return self.messages(source, _id_of(envelope), received_at, headers, message)
        event = _written(_event(envelope, data))
        return [read_delivery(source, _id_of(envelope), received_at, event)]


def _envelopes(headers: Headers, body: bytes) -> Iterator[object]:
    """Yields the envelopes as they are in structured mode. Raises NotJsonError."""
    value = json_of(body)
    attributes = {
        name.removeprefix(_ATTRIBUTE).decode("latin-1"): unquote(text.decode("latin-1"))
        for name, text in headers.items()
        if name.startswith(_ATTRIBUTE)
    }
    if "specversion" in attributes:
        yield {**attributes, "data": value}
    elif isinstance(value, list):
        yield from value
    else:
        yield value


def _data(envelope: Mapping[str, Any]) -> object:
    """Returns the data as JSON, also if it is in base64 or in a text."""
    data = envelope.get("data")
    if isinstance(encoded := envelope.get("data_base64"), str):
        try:
            data = base64.b64decode(encoded, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return None
    if not isinstance(data, str):
        return data
    try:
        return json_of(data.encode("utf-8", "replace"))
    except NotJsonError:
        return data


def _event(envelope: Mapping[str, Any], data: object) -> dict[str, Any]:
    """Returns the event: the data if it is a whole one, else what the attributes say, and the data
    beside them."""
    time = envelope.get("time", envelope.get("eventTime"))
    if isinstance(data, dict) and "type" in data and "data" in data:
        # Only our own translations say how they are to be taken.
        whole = {name: value for name, value in data.items() if name != _TRANSLATION}
        return whole if "timestamp" in whole else {**whole, "timestamp": time}
    event = {"type": _own_type(envelope), "timestamp": time, "data": data}
    if "sequence" in envelope:
        event["sequence"] = envelope["sequence"]
    return {name: value for name, value in event.items() if value is not None}


def _own_type(envelope: Mapping[str, Any]) -> object:
    """Returns the type without what stands before it, as in `no.hlf.minside.role-updated`."""
    written = envelope.get("type", envelope.get("eventType"))
    if not isinstance(written, str):
        return written
    parts = written.split(".")
    endings = (".".join(parts[start:]) for start in range(len(parts)))
    return next((ending for ending in endings if known_type(ending) is not None), written)


def _id_of(envelope: Mapping[str, Any]) -> str:
    """Returns the id and the source of the event, which together belong to it alone; without an id,
    the hash of everything."""
    id, source = envelope.get("id"), envelope.get("source", envelope.get("topic"))
    if not isinstance(id, str) or not id:
        return _hashed(_written(envelope))
    text = f"{id}@{source}" if isinstance(source, str) and source else id
    written = text.encode("utf-8", "surrogatepass")
    return text if is_event_id(written) else _hashed(written)


def _written(value: object) -> bytes:
    # It writes whatever can be read here, such as numbers of any length and halves of characters.
    return json.dumps(value).encode()


def _hashed(written: bytes) -> str:
    return f"sha256-{sha256(written).hexdigest()}"
