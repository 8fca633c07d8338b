"""Reads the secrets of Standard Webhooks. Imports nothing else, since settings need it early."""

import base64

_PREFIX = "whsec_"


def standard_key(secret: str) -> bytes:
    """Returns the signing key of a Standard Webhooks secret, written with `whsec_` or without, and
    with the padding of base64 or without.

    Raises ValueError for a secret that is not base64 or is empty; the message does not show it.
    """
    try:
        encoded = secret.removeprefix(_PREFIX)
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError as error:
        raise ValueError("A Standard Webhooks secret is `whsec_` followed by base64.") from error
    if not key:
        raise ValueError(
            "A Standard Webhooks secret is `whsec_` followed by base64; this one is empty."
        )
    return key
