"""The profile of a member: the texts that the portal states field by field.

How to add a field: docs/maintain/adding-a-field.md.
"""

import msgspec
from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column


class ProfileColumns:
    """The columns of the profile in the table of members."""

    member_number: Mapped[str | None] = mapped_column(Text)
    given_name: Mapped[str | None] = mapped_column(Text)
    family_name: Mapped[str | None] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(Text)
    phone: Mapped[str | None] = mapped_column(Text)


class Profile(msgspec.Struct, frozen=True, rename="camel"):
    """The values of these columns, None where nothing is known."""

    member_number: str | None
    given_name: str | None
    family_name: str | None
    email: str | None
    phone: str | None


PROFILE_FIELDS = dict(zip(Profile.__struct_fields__, Profile.__struct_encode_fields__, strict=True))
"""The fields, each with its name in events and in the API."""


def empty_profile() -> Profile:
    return Profile(*(None for _ in PROFILE_FIELDS))
