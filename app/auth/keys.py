"""Reads the public keys of a JSON Web Key Set (RFC 7517). Fetches nothing.

Each key verifies the one algorithm of its type. A token can therefore choose a key, but never how
the key is used: a public key is never taken for a shared secret.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

ALGORITHMS = ("RS256", "ES256", "EdDSA")
MIN_RSA_BITS = 2048

_ALGORITHM_OF = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
# RFC 9864 names the curve and deprecates the name that PyJWT uses.
_SAME_ALGORITHM = {"Ed25519": "EdDSA"}


class _Document(msgspec.Struct):
    keys: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """Public keys by key id and algorithm. The id is None where the provider gives none."""

    keys: Mapping[tuple[str | None, str], PyJWK]

    @classmethod
    def from_json(cls, raw: bytes) -> "SigningKeys":
        """Reads a key set without the keys that are too weak or for another use.

        A set without usable keys is valid, and empty. Raises ValueError if the document is not a
        key set.
        """
        try:
            stated = msgspec.json.decode(raw, type=_Document).keys
        except msgspec.MsgspecError as error:
            raise ValueError("The document is not a JSON Web Key Set.") from error
        return cls(dict(_usable(stated)))

    def find(self, header: Mapping[str, Any]) -> PyJWK | None:
        """Returns the key that verifies a token with this header, or None if it is not here."""
        kid, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(algorithm, str) or not isinstance(kid, str | None):
            return None
        if kid is None:
            of_algorithm = [key for (_, name), key in self.keys.items() if name == algorithm]
            return of_algorithm[0] if len(of_algorithm) == 1 else None
        return self.keys.get((kid, algorithm))


def _usable(stated: Iterable[dict[str, Any]]) -> Iterable[tuple[tuple[str | None, str], PyJWK]]:
    for jwk in stated:
        kid = jwk.get("kid")
        algorithm = _ALGORITHM_OF.get((str(jwk.get("kty")), jwk.get("crv")))
        named = jwk.get("alg", algorithm)
        operations = jwk.get("key_ops", ["verify"])
        if (
            algorithm is None
            or not isinstance(kid, str | None)
            or _SAME_ALGORITHM.get(str(named), named) != algorithm
            or jwk.get("use", "sig") != "sig"
            or not (isinstance(operations, list) and "verify" in operations)
            # A key whose private part is published is no longer a secret.
            or "d" in jwk
        ):
            continue
        try:
            key = PyJWK(jwk, algorithm)
        except PyJWTError:
            continue
        if isinstance(key.key, RSAPublicKey) and key.key.key_size < MIN_RSA_BITS:
            continue
        yield (kid, algorithm), key
