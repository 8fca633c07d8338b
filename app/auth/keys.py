"""Keys that tokens are signed with, as a JSON Web Key Set (RFC 7517) states them. Opens nothing.

A key verifies one algorithm, which follows from its type. So a token can choose among keys, but
never how a key is used: no public key is ever taken for a shared secret.
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
# RFC 9864 names the curve, and deprecates the name that PyJWT knows.
_SAME_ALGORITHM = {"Ed25519": "EdDSA"}


class _Document(msgspec.Struct):
    keys: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """By key id and algorithm; a provider with a single key may have given it no id."""

    keys: Mapping[tuple[str | None, str], PyJWK]

    @classmethod
    def from_json(cls, raw: bytes) -> "SigningKeys":
        """Keys for another use, or too weak, are left out. Raises ValueError if none is left."""
        try:
            stated = msgspec.json.decode(raw, type=_Document).keys
        except msgspec.MsgspecError as error:
            raise ValueError("not a key set") from error
        keys = dict(_usable(stated))
        if not keys:
            raise ValueError("there is no key in it that could be used")
        return cls(keys)

    def find(self, header: Mapping[str, Any]) -> PyJWK | None:
        """The key that a token with this header was signed with, if it is among these."""
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
            # Whoever publishes the private part as well has lost the key.
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
