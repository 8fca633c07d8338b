"""Documents that are known before anybody sends them: by the SHA-256 of their text, as Relay's
compiler, GraphQL Codegen and Apollo's tools write it into their manifests."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import msgspec

_PREFIX = "sha256:"


class Allowed(Enum):
    """Which documents are executed."""

    ANY = "any"
    KNOWN = "known"
    KNOWN_EXCEPT_OPERATORS = "known-except-operators"


class ManifestError(Exception):
    """The message says what is wrong with the file, for whoever has made it."""


@dataclass(frozen=True, slots=True)
class KnownDocuments:
    """`texts`: by id."""

    texts: Mapping[str, str] = field(default_factory=dict)
    allowed: Allowed = Allowed.ANY

    def text(self, id: str) -> str | None:
        return self.texts.get(_digest(id))

    def knows(self, text: str) -> bool:
        return document_id(text) in self.texts

    def must_be_known(self, *, operator: bool) -> bool:
        """Of what this viewer sends."""
        if self.allowed is Allowed.KNOWN_EXCEPT_OPERATORS:
            return not operator
        return self.allowed is Allowed.KNOWN


def is_id_of(id: str, text: str) -> bool:
    return _digest(id) == document_id(text)


def document_id(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class _ApolloOperation(msgspec.Struct):
    id: str
    body: str


class _ApolloManifest(msgspec.Struct):
    format: str
    operations: list[_ApolloOperation]


def read_manifest(raw: bytes) -> dict[str, str]:
    """The texts by their ids, from an object of ids and texts (Relay, GraphQL Codegen) or from
    Apollo's format. Raises ManifestError."""
    try:
        given = msgspec.json.decode(raw)
        found = dict(_operations(given))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ManifestError("It is not a manifest of ids and documents in JSON.") from error
    for id, text in found.items():
        if not is_id_of(id, text):
            raise ManifestError(
                f"{id[:80]!r} is not the SHA-256 of its document. Set the algorithm of the tool "
                "that made it: `persistConfig.algorithm` of Relay to SHA256, `hashAlgorithm` of "
                "GraphQL Codegen to sha256."
            )
    return {_digest(id): text for id, text in found.items()}


def _digest(id: str) -> str:
    return id.removeprefix(_PREFIX).lower()


def _operations(given: Any) -> Iterator[tuple[str, str]]:
    if isinstance(given, dict) and "operations" in given:
        for operation in msgspec.convert(given, _ApolloManifest).operations:
            yield operation.id, operation.body
    else:
        yield from msgspec.convert(given, dict[str, str]).items()
