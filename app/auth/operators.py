"""Decides which tokens belong to operators, who see everything and are no members."""

from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any

from app.auth.errors import InvalidTokenError, TokenFault
from app.auth.own_tokens import OPERATOR_SCOPE
from db.errors import DatabaseError, DatabaseUnavailableError
from db.vocabulary import PortalId

LOOKED_UP_SECONDS = 60.0
"""How long the answer "is no member" is used again."""
REMEMBERED_SUBJECTS = 1_000

FindMember = Callable[[PortalId], Awaitable[object | None]]


def claims_operator_rights(claims: Mapping[str, Any], required: tuple[str, str] | None) -> bool:
    """Returns True if the scope holds `sync:operate`, and a required claim has its value."""
    scope = claims.get("scope")
    if not isinstance(scope, str) or OPERATOR_SCOPE not in scope.split():
        return False
    if required is None:
        return True
    name, value = required
    stated = claims.get(name)
    return stated == value or (isinstance(stated, list) and value in stated)


class OperatorCheck:
    """Refuses operator rights to members.

    A provider may give the scope to whoever asks for it, and members can ask.
    """

    def __init__(self, find_member: FindMember) -> None:
        self._find_member = find_member
        self._no_member_until: dict[PortalId, float] = {}

    async def check(self, subject: PortalId) -> None:
        """Raises InvalidTokenError for a member, active or not, or DatabaseUnavailableError."""
        now = monotonic()
        if self._no_member_until.get(subject, now) > now:
            return
        if await self._found(subject):
            raise InvalidTokenError(TokenFault.OPERATOR_IS_MEMBER)
        self._no_member_until.pop(subject, None)
        if len(self._no_member_until) >= REMEMBERED_SUBJECTS:
            del self._no_member_until[next(iter(self._no_member_until))]
        self._no_member_until[subject] = now + LOOKED_UP_SECONDS

    async def _found(self, subject: PortalId) -> bool:
        """Raises DatabaseUnavailableError whatever keeps the database from answering."""
        try:
            return await self._find_member(subject) is not None
        except DatabaseUnavailableError:
            raise
        except DatabaseError as error:
            raise DatabaseUnavailableError("An operator could not be looked up.") from error
