"""Trusted documents: texts that the service was given beforehand, found by their SHA-256, as
Relay's compiler, GraphQL Codegen and Apollo's tools write them into their manifests."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import msgspec

_PREFIX = "sha256:"


class Allowed(Enum):
    """The documents that may be executed."""

    ANY = "any"
    TRUSTED = "trusted"
    TRUSTED_EXCEPT_OPERATORS = "trusted-except-operators"


class ManifestError(Exception):
    """Raised for a file that is no manifest. The message is for whoever made the file."""


@dataclass(frozen=True, slots=True)
class TrustedDocuments:
    """`texts`: the documents by their ids."""

    texts: Mapping[str, str] = field(default_factory=dict)

    def text(self, id: str) -> str | None:
        return self.texts.get(digest_of(id))

    def __contains__(self, text: str) -> bool:
        return document_id(text) in self.texts


def digest_of(id: str) -> str:
    """Returns the hash in small hexadecimal digits, without the name of the algorithm."""
    return id.removeprefix(_PREFIX).lower()


def is_id_of(id: str, text: str) -> bool:
    return digest_of(id) == document_id(text)


def document_id(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class _ApolloOperation(msgspec.Struct):
    id: str
    body: str


class _ApolloManifest(msgspec.Struct):
    format: str
    operations: list[_ApolloOperation]


def read_manifest(raw: bytes) -> dict[str, str]:
    """Returns the texts by their ids, from an object of ids and texts (Relay, GraphQL Codegen) or
    from Apollo's format. Raises ManifestError."""
    try:
        given = msgspec.json.decode(raw)
        found = dict(_operations(given))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ManifestError("The file is not a manifest of ids and documents in JSON.") from error
    for id, text in found.items():
        if not is_id_of(id, text):
            raise ManifestError(
                f"{id[:80]!r} is not the SHA-256 of its document. Set the algorithm of the tool "
                "that made it: `persistConfig.algorithm` of Relay to SHA256, `hashAlgorithm` of "
                "GraphQL Codegen to sha256."
            )
    return {digest_of(id): text for id, text in found.items()}


def _operations(given: Any) -> Iterator[tuple[str, str]]:
    if isinstance(given, dict) and "operations" in given:
        for operation in msgspec.convert(given, _ApolloManifest).operations:
            yield operation.id, operation.body
    else:
        yield from msgspec.convert(given, dict[str, str]).items()
