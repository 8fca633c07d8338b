"""The profile of a member: the texts that the portal states field by field."""

import msgspec


class Profile(msgspec.Struct, frozen=True, rename="camel"):
    """Every field is a column of `members` with the same name, and None while nothing is known.

    How to add one: docs/maintain/adding-a-field.md.
    """

    member_number: str | None
    given_name: str | None
    family_name: str | None
    email: str | None
    phone: str | None


PROFILE_FIELDS = dict(zip(Profile.__struct_fields__, Profile.__struct_encode_fields__, strict=True))
"""The fields, each with its name in events and in the API."""


def empty_profile() -> Profile:
    return Profile(*(None for _ in PROFILE_FIELDS))
